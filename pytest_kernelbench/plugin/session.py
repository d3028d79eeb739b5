"""One session with ``--strategy``: tasks, strategies, the facts of the run, and its items. Imports no pytest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.ledger import Ledger, check_settings, read_run
from pytest_kernelbench.pinned.regressions import Baselines, ItemResult, result_of
from pytest_kernelbench.plugin.facts import run_facts, settings_of
from pytest_kernelbench.plugin.kept import Gone, KeptKernels
from pytest_kernelbench.plugin.run_options import RunOptions, keep_out_of_git, resolve
from pytest_kernelbench.policies.pinned import version_of
from pytest_kernelbench.records import Judged, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import as_option, load_tasks

if TYPE_CHECKING:
    from pytest_kernelbench.lookahead import Lookahead
    from pytest_kernelbench.workbench import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parts of the command line that are not options of this plugin.

    ``here``: the folder that pytest was started in. ``paths_named``: whether files or folders were named.
    ``items_named``: the ids of items that were named, if their tasks are not files of this repository, each with its
    task's id. ``beside_tests``: the strategy comes from a configuration file, so the repository's own tests are
    collected too. ``collect_only``: no item will run. ``run_named``: the user named the run folder.
    """

    here: Path
    paths_named: bool = False
    items_named: Mapping[str, str] = field(default_factory=dict)
    beside_tests: bool = False
    collect_only: bool = False
    run_named: bool = False


class Shows(Protocol):
    """Shows progress. Called with a line, replaces the status; ``tell`` prints a line that stays; ``waiting`` is called
    while nothing happens.
    """

    def __call__(self, line: str) -> None: ...
    def tell(self, line: str) -> None: ...
    def waiting(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a session: the report as ``lines`` for the terminal, and one line for each missed gate."""

    lines: Sequence[str]
    missed_gates: Sequence[str]


class Session:
    """The tasks and strategies of one run, in this process.

    The constructor reads the run folder, and raises UsageError if the folder was made with other settings. Set
    ``baselines`` before ``tasks`` is read. Call ``open`` before the first item and ``close`` after the last.
    """

    def __init__(self, options: RunOptions, asked: Asked) -> None:
        self.options = options
        self.asked = asked
        self.strategies = options.strategies
        self.baselines = Baselines()
        self.resumed = read_run(options.run)
        if self.resumed:
            check_settings(options.run, self.resumed, settings_of(options))
        self.bench: Workbench | None = None
        self._lookahead: Lookahead | None = None
        # The task files below the paths that were named.
        self._found: list[Task] = []

    # Tasks

    @property
    def only_tasks(self) -> bool:
        """Whether only tasks are collected and no other test: no path was named, and the strategy was."""
        return not (self.asked.paths_named or self.asked.beside_tests)

    @cached_property
    def device_and_sizes(self) -> tuple[str, str]:
        """``cpu`` or ``cuda``, and ``full`` or ``small``. Raises UsageError and HarnessError."""
        if self.asked.collect_only and not self.resumed and self.options.sizes == "auto":
            return "auto", "full"  # no item will run, and to look for a device takes seconds
        return resolve(self.options, self.resumed)

    @cached_property
    def kept(self) -> KeptKernels:
        """The kernel files that strategies of this session evaluate."""
        return KeptKernels(self.options, self.asked.here, self.baselines)

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks of the session. Empty if paths were named and ``--tasks`` was not: then every task file below these
        paths is collected. Raises TaskError.
        """
        return [] if self.asked.paths_named and not self.options.tasks else self.default_tasks

    @cached_property
    def default_tasks(self) -> list[Task]:
        """The tasks of ``--tasks``; without it the tasks of kernel files, or the default tasks. Raises UsageError."""
        named = [each for each in self.options.tasks if each not in self.gone_named]
        selectors = named if self.options.tasks else self.kept.selectors()
        # No selector is left if the tasks of all kernel files are gone.
        return self.load(selectors) if selectors else []

    def load(self, selectors: Sequence[str] | str) -> list[Task]:
        """The tasks that ``selectors`` name, in the sizes of this session. Raises TaskError."""
        return load_tasks(selectors, sizes=self.device_and_sizes[1], small=self.options.small, named=as_option)

    def sized(self, task: Task) -> Task | None:
        """``task`` in the sizes of this session; None if ``--tasks`` leaves it out."""
        if not self.tasks:
            self._found.append(task)
            return self.load([str(task.path)])[0]
        return next((named for named in self.tasks if named.path == task.path), None)

    def gone(self) -> list[Gone]:
        """The kernel files whose task is renamed or gone. Call it when all tasks are collected.

        They are reported by the first shard only.
        """
        if self.options.shard[0] > 1:
            return []
        some = bool(self.asked.paths_named or self.options.tasks) and not self.asked.items_named
        return self.kept.gone([*self.tasks, *self._found], some=some)

    @cached_property
    def gone_named(self) -> set[str]:
        """The ids of tasks that are gone, among the tasks of the items that the command line names."""
        named = set(self.asked.items_named.values())
        return {each.task for each in self.kept.gone([], some=False) if each.task in named} if named else set()

    def belongs(self, task: Task, strategy: Strategy) -> bool:
        """Whether ``task`` is an item of ``strategy``."""
        return self.kept.belongs(task, strategy)

    # Items

    def open(
        self,
        tasks: Sequence[Task],
        *,
        progress: Shows,
        policy_device: str | None = None,
    ) -> None:
        """Make or resume the run folder for ``tasks``. Raises UsageError.

        ``policy_device``: the device of policies' weights; None for the judge's device.
        """
        from pytest_kernelbench.evaluation.baselines import stronger
        from pytest_kernelbench.evaluation.judges.caches import builds_folder
        from pytest_kernelbench.lookahead import Lookahead
        from pytest_kernelbench.policies import check_answers
        from pytest_kernelbench.workbench import Workbench

        options, (device, sizes) = self.options, self.device_and_sizes
        own = (each.sampling.policy for each in self.strategies)
        for policy in dict.fromkeys([options.policy, *filter(None, own)]):
            check_answers(policy, tasks)
        if options.judges is None:
            builds_folder()  # raises if the folder cannot be written, before the run begins
        ledger = Ledger.open(options.run, run_facts(options, tasks, device=device, sizes=sizes, here=self.asked.here))
        if not self.asked.run_named:
            keep_out_of_git(options.run)
        if options.pins:
            ledger.note(pins={name: version_of(pins) for name, pins in options.pins.items()})
        self.bench = Workbench(
            ledger,
            policy=options.policy,
            device=device,
            seed=options.seed,
            tasks=tasks,
            null=options.null,
            baselines=stronger(options.baselines),
            judges=options.judges,
            say=progress,
            tell=progress.tell,
            waiting=progress.waiting,
            policy_device=policy_device if is_gpu(device) else None,
        )
        self._lookahead = Lookahead(self.bench)

    def look_ahead(self, items: Sequence[tuple[Task, Strategy]]) -> None:
        """Begin to sample and build for ``items``, the items after the current one."""
        if self._lookahead is not None:
            self._lookahead.look(items)

    def run_item(self, task: Task, strategy: Strategy) -> ItemResult:
        """Run one item; compare its kernel with the baseline if a gate asks. Raises HarnessError and PolicyError."""
        from pytest_kernelbench.pipeline import run_item

        assert self.bench is not None
        try:
            outcome = run_item(task, strategy, self.bench)
            kept = self.options.pins.get(strategy.name, {}).get(task.id)
            return result_of(outcome, self.baselines, self.bench, gates=self.options.gate_options, kept=kept)
        finally:
            self.bench.release()

    def judge(self, task: Task, strategy: Strategy) -> list[Judged]:
        """The judged candidates of an item; none is chosen. Raises HarnessError and PolicyError."""
        from pytest_kernelbench.pipeline import pool

        assert self.bench is not None
        try:
            return pool(task, strategy, self.bench)
        finally:
            self.bench.release()

    # The end

    def finish(self, *, width: int) -> Finished | None:
        """Write the reports; None if no run was begun. ``width``: columns of the terminal."""
        if not (self.options.run / "run.json").exists():
            return None
        from pytest_kernelbench.report.metrics import failed_gates
        from pytest_kernelbench.report.render import NOT_WRITTEN, RunRecords, render, report_json, write_reports

        records = RunRecords.load(self.options.run)
        report = report_json(records)
        left_out = write_reports(records, report, self.options.run)
        # The terminal names only files that could not be written. ``python -m pytest_kernelbench report`` also says
        # which figures lack data.
        unwritten = [line for line in left_out if NOT_WRITTEN in line]
        missed = [
            line
            for strategy in records.strategies
            for line in failed_gates(records.results(strategy), self.options.gates.get(strategy.name, []))
        ]
        return Finished([*render(report, width=width), *(["", *unwritten] if unwritten else [])], missed)

    @property
    def warnings(self) -> list[str]:
        """Lines about the run folder."""
        return self.bench.ledger.warnings if self.bench else []

    def close(self) -> None:
        """End every thread and process that was started; may be called twice."""
        if self._lookahead is not None:
            self._lookahead.close()
        if self.bench is not None:
            self.bench.close()


def session_of(options: RunOptions, asked: Asked) -> Session:
    """The session. If the command line names items by id, the session has the tasks of these. Raises UsageError."""
    if asked.items_named:
        tasks = options.tasks or tuple(dict.fromkeys(asked.items_named.values()))
        options, asked = replace(options, tasks=tasks), replace(asked, paths_named=False)
    return Session(options, asked)
