"""The pytest plugin: hooks only. Without ``--strategy`` it collects nothing and loads nothing heavy."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import time
from collections.abc import Generator
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kernelbench import __version__
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.ledger import Ledger, check_settings, read_run
from pytest_kernelbench.pinned.regressions import ItemResult, result_of
from pytest_kernelbench.plugin import benchmarking, collection, fixtures, options
from pytest_kernelbench.plugin.durations import Durations
from pytest_kernelbench.plugin.kept import KeptKernels
from pytest_kernelbench.plugin.policy_gpus import divided
from pytest_kernelbench.plugin.progress import Progress
from pytest_kernelbench.policies.pinned import version_of
from pytest_kernelbench.records import Judged, Selection, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import load_tasks

if TYPE_CHECKING:
    from pytest_kernelbench.lookahead import Lookahead
    from pytest_kernelbench.workbench import Workbench

MARKER = (
    'kernelbench(level, task, strategy): a task under a strategy; -m "kernelbench(level=1)" selects. '
    'On a test of your own, kernelbench(tasks="level1/19", strategies="pinned") names what it runs with'
)
NOTHING_BELOW = (
    "no task lies below the paths that were named; without a path, the tasks of --tasks or of kernels/ run, "
    "and tests of your own where their file is named"
)
# Of an item each, they are more than any host builds while one is judged.
MOST_ITEMS_AHEAD = 256
REPORTED_VERSIONS = ("pytest-kernelbench", "pytest", "torch", "triton", "transformers", "peft", "numpy")


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(fixtures, "kernelbench-fixtures")
    options.fill_in(config)
    if config.option.strategy:
        benchmarking.before_pytest_benchmark(config)
        config.pluginmanager.register(KernelBench(config), "kernelbench-session")
    else:
        options.refuse_without_strategy(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"kernelbench: {__version__}" if config.option.strategy else None


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    # Here, not in the session's own plugin: xdist asks before that is there. None: what xdist says.
    options.fill_in(config)
    if not config.option.strategy or config.option.kernelbench_device == "cpu":
        return None
    gpus, named = visible_gpus(os.environ), config.option.kernelbench_policy_gpus
    try:
        return len(divided(gpus, named)[0] if named else gpus) or None
    except UsageError:
        return None  # said in one line when the session begins


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    return collection.files_at(file_path, parent, (yield))


class KernelBench:
    """The hooks of a session with ``--strategy``, in the process that runs it and in each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker = hasattr(config, "workerinput")
        run = Path(config.workerinput["kernelbench_run"]) if self.worker else None  # type: ignore[attr-defined]
        self.options = options.read_options(config, run=run)
        self.paths_named = config.args_source is config.ArgsSource.ARGS
        self.items_named = collection.items_named(config.args, config.rootpath) if self.paths_named else {}
        if self.items_named:
            self.paths_named = False
            tasks = self.options.tasks or tuple(dict.fromkeys(self.items_named.values()))
            self.options = replace(self.options, tasks=tasks)
        self.beside_tests = config.option.kernelbench_configured and not self.items_named
        if not (self.paths_named or self.beside_tests):
            config.args = [str(config.rootpath)]
        with options.one_line_errors():
            self.resumed = read_run(self.options.run)
            if self.resumed:
                check_settings(self.options.run, self.resumed, self.settings)
        self.bridge: benchmarking.BenchmarkBridge | None = None
        self.kept = KeptKernels(
            self.options,
            config.invocation_params.dir,
            due=lambda strategy: self.bridge.baseline_tasks(strategy) if self.bridge else [],
        )
        config.stash[collection.BENCHMARK] = collection.Benchmark(
            strategies=self.options.strategies,
            find_tasks=lambda: [] if self.paths_named and not self.options.tasks else self.default_tasks(),
            default_tasks=self.default_tasks,
            sizes=lambda: self.device_and_sizes[1],
            run_item=self.run_item,
            judge=self.judge,
            only_tasks=not (self.paths_named or self.beside_tests),
            beside_tests=self.beside_tests,
            belongs=self.kept.belongs,
            small=self.options.small,
        )
        self.policy_device: str | None = None
        self.ordered = False
        self.left_out: str | None = None
        self.bench: Workbench | None = None
        self.lookahead: Lookahead | None = None
        self.report: list[str] = []
        self.missed_gates: list[str] = []

    @cached_property
    def device_and_sizes(self) -> tuple[str, str]:
        if self.config.option.collectonly and not self.resumed and self.options.sizes == "auto":
            return "auto", "full"  # nothing will run: asking for the device would take seconds
        return options.resolve(self.options, self.resumed)

    def default_tasks(self) -> list[Task]:
        """What ``--tasks`` names; without it, the tasks of kept kernels, or the default ones. Raises UsageError."""
        named = self.options.tasks or self.kept.selectors()
        return load_tasks(named, sizes=self.device_and_sizes[1], small=self.options.small)

    # Collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        with options.one_line_errors():
            self.bridge = benchmarking.bridge_for(self.config)
            self.policy_device = self._set_gpus_apart()
        if self.config.pluginmanager.has_plugin("dsession"):
            from pytest_kernelbench.plugin.sharding import Sharding

            self.config.pluginmanager.register(Sharding())
        if not self.worker and self.resumed is None:
            # Of a resumed run, most is read and not computed.
            self.config.pluginmanager.register(Durations(self.config))

    def _set_gpus_apart(self) -> str | None:
        """Where policies' weights go, None: to the judge's device. Raises UsageError.

        The GPUs are put into an order, judges first, before torch looks for them. Workers of xdist find theirs so.
        """
        named = self.config.option.kernelbench_policy_gpus
        if not named or self.config.option.kernelbench_device == "cpu":
            return None
        if self.worker:
            n, gpus = len(named.split(",")), visible_gpus(os.environ)
        else:
            judges, policy = divided(visible_gpus(os.environ), named)
            if self.config.pluginmanager.has_plugin("dsession"):
                return None  # it runs no item, and its workers' GPUs are counted as it sees them
            n, gpus = len(policy), [*judges, *policy]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        return "cuda:" + ",".join(str(len(gpus) - n + place) for place in range(n))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        with options.one_line_errors():
            # A selector that names nothing ends it here.
            tasks = self.config.stash[collection.BENCHMARK].tasks
            left_out = self.kept.left_out(tasks) if self.options.tasks else None
            self.left_out = None if self.items_named else left_out

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if self.config.stash[collection.BENCHMARK].only_tasks and path == self.config.rootpath:
            return collection.TaskSet.from_parent(parent, path=path)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        if self.beside_tests and not self.paths_named:
            items[:0] = collection.items_beside_tests(session)
        names = [strategy.name for strategy in self.options.strategies]
        items[:], left_out = collection.in_order(items, names, self.options.shard, named=list(self.items_named))
        if left_out:
            self.config.hook.pytest_deselected(items=left_out)
        self.ordered = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        will_run = (item for item in session.items if not (self.bridge and self.bridge.skips(item)))
        found = (item.task if isinstance(item, collection.KernelItem) else fixtures.task_of(item) for item in will_run)
        tasks = list({task.id: task for task in found if task is not None}.values())
        # pytest calls this as well when what came before it raised.
        if not (tasks and self.ordered) or self.config.option.collectonly:
            return
        from pytest_kernelbench.lookahead import Lookahead
        from pytest_kernelbench.policies import check_answers
        from pytest_kernelbench.workbench import Workbench

        device, _ = self.device_and_sizes
        with options.one_line_errors():
            own = (each.sampling.policy for each in self.options.strategies)
            for policy in dict.fromkeys([self.options.policy, *filter(None, own)]):
                check_answers(policy, tasks)
            ledger = Ledger.open(self.options.run, self.run_facts(tasks))
            if self.config.option.kernelbench_run is None:
                options.keep_out_of_git(self.options.run)
            if self.options.pins:
                ledger.note(pins={name: version_of(pins) for name, pins in self.options.pins.items()})
        self.progress = Progress(self.config)
        self.bench = Workbench(
            ledger,
            policy=self.options.policy,
            device=device,
            seed=self.options.seed,
            tasks=tasks,
            null=self.options.null,
            judges=self.options.judges,
            say=self.progress,
            tell=self.progress.tell,
            policy_device=self.policy_device if device == "cuda" else None,
        )
        self.lookahead = Lookahead(self.bench)

    # Running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if self.lookahead is not None:
            following = item.session.items[item.session.items.index(item) + 1 :]
            # A worker of xdist knows no more than the next one.
            known = [nextitem] if self.worker else following[:MOST_ITEMS_AHEAD]
            self.lookahead.look(
                [(each.task, each.strategy) for each in known if isinstance(each, collection.KernelItem)]
            )

    def run_item(self, task: Task, strategy: Strategy) -> ItemResult:
        from pytest_kernelbench.pipeline import run_item

        assert self.bench is not None
        try:
            selection = run_item(task, strategy, self.bench)
            return result_of(
                task,
                strategy,
                selection,
                self.bench,
                baseline=self.bridge.baseline(task.id, strategy.name) if self.bridge else None,
                max_slowdown=self.bridge.max_slowdown if self.bridge else None,
                kept=self.options.pins.get(strategy.name, {}).get(task.id),
            )
        finally:
            self.bench.release()
            self.progress.clear()

    def judge(self, task: Task, strategy: Strategy) -> list[Judged]:
        from pytest_kernelbench.pipeline import pool

        assert self.bench is not None
        try:
            return pool(task, strategy, self.bench)
        finally:
            self.bench.release()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, collection.KernelItem) and call.when == "call":
            # Builtin values only: the report crosses from xdist's worker to its controller.
            report.kernelbench = word_for(item.selection)  # type: ignore[attr-defined]
            # A gate that is missed is a failure; everything else that goes wrong is the harness's error.
            report.kernelbench_failed = missed_a_gate(call.excinfo)  # type: ignore[attr-defined]
            if call.excinfo is not None and isinstance(call.excinfo.value, UsageError):
                item.session.shouldfail = str(call.excinfo.value)  # it would be the same for every other item
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        word = getattr(report, "kernelbench", None)
        if word is None or report.skipped or report.kernelbench_failed:  # type: ignore[attr-defined]
            return None
        return ("passed", ".", f"PASSED {word}") if report.passed else ("error", "E", "ERROR")

    # The end

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.close()
        if self.worker or self.config.option.collectonly or not (self.options.run / "run.json").exists():
            return
        from pytest_kernelbench.report.metrics import failed_gates
        from pytest_kernelbench.report.render import NOT_WRITTEN, RunRecords, render, report_json, write_reports

        records = RunRecords.load(self.options.run)
        report = report_json(records)
        self.report = render(report, width=self.config.get_terminal_writer().fullwidth)
        left_out = write_reports(records, report, self.options.run)
        # What figures need and lack is said by ``report``; what there was no room for is said here.
        self.report += ["", *unwritten] if (unwritten := [line for line in left_out if NOT_WRITTEN in line]) else []
        for strategy in records.strategies:
            self.missed_gates += failed_gates(records.results(strategy), self.options.gates.get(strategy.name, []))
        if self.missed_gates and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and "deselected" not in terminalreporter.stats
        if nothing and self.paths_named and not self.beside_tests:
            terminalreporter.write_line(f"kernelbench: {NOTHING_BELOW}", yellow=True)
        if self.left_out:
            terminalreporter.write_line(f"kernelbench: {self.left_out}", yellow=True)
        if not self.report:
            return
        terminalreporter.section("kernelbench")
        for line in [*(self.bench.ledger.warnings if self.bench else ()), *self.report, ""]:
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"open {self.options.run / 'report.html'}")
        terminalreporter.write_line(f"recorded in {self.options.run}; to resume:")
        terminalreporter.write_line(f"  {self.resume_command()}")
        for line in self.missed_gates:
            terminalreporter.write_line(f"kernelbench: {line}", red=True)

    def pytest_unconfigure(self) -> None:
        self.close()

    def close(self) -> None:
        if self.lookahead is not None:
            self.lookahead.close()
        if self.bench is not None:
            self.bench.close()

    def resume_command(self) -> str:
        arguments = [str(argument) for argument in self.config.invocation_params.args]
        if self.config.option.kernelbench_run is None:
            arguments.append(f"--kernelbench-run={self.options.run}")
        return shlex.join(["pytest", *arguments])

    # xdist

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["kernelbench_run"] = str(self.options.run)

    # run.json

    @property
    def settings(self) -> dict[str, Any]:
        """What is known before the device is asked for."""
        chosen = {"device_kind": self.options.device, "sizes": self.options.sizes}
        return {
            "policy": self.options.policy,
            "seed": self.options.seed,
            # Of what strategies name, the first counts; the option must be what the run began with.
            **({"primary": self.options.primary} if self.config.option.kernelbench_primary else {}),
            **{key: value for key, value in chosen.items() if value != "auto"},
            "strategies": [each.to_json() for each in self.options.strategies],
        }

    def run_facts(self, tasks: list[Task]) -> dict[str, Any]:
        from pytest_kernelbench.workbench import margin_of

        device, sizes = self.device_and_sizes
        strategies = self.options.strategies
        ids = list(dict.fromkeys(task.id for task in tasks))
        return {
            "schema": 1,
            **self.settings,
            "primary": self.options.primary,
            "primary_by": self.options.primary_by,
            "strategies": [{**each.to_json(), "tasks": ids} for each in strategies],
            "policy_version": None,
            "policy_label": None,
            "device_kind": device,
            "device": None,
            "sizes": sizes,
            "protocol": ", ".join(dict.fromkeys(each.evaluation.protocol for each in strategies)),
            # Where protocols differ, the report's own counts use the strictest; selections have each its own.
            "margin": max(margin_of(each, device) for each in strategies),
            "tasks": ids,
            "task_sha256": {task.id: task.sha256 for task in tasks},
            "selectors": list(self.options.tasks),
            "null": self.options.null,
            "shard": "{}/{}".format(*self.options.shard),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": installed_versions(),
            "git": git_state(self.config.invocation_params.dir),
            "machine": None,
        }


def missed_a_gate(excinfo: pytest.ExceptionInfo[BaseException] | None) -> bool:
    return excinfo is not None and isinstance(excinfo.value, pytest.fail.Exception)


def word_for(selection: Selection | None) -> str:
    """``fast 1.42x``, ``correct 0.97x`` or ``unsolved``; empty where the harness failed."""
    if selection is None:
        return ""
    if selection.index is None:
        return "unsolved"
    speedup = selection.confirmed_speedup
    return ("fast" if selection.fast else "correct") + (f" {speedup:.2f}x" if speedup is not None else "")


def installed_versions() -> dict[str, str]:
    """Of what a number depends on, without importing it."""
    versions = {}
    for name in REPORTED_VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether tracked files were changed; None outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
