"""The hooks of a session with ``--strategy``: they translate between pytest and ``Session``."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.device.names import needs_no_gpu
from pytest_kernelbench.extensions import KINDS, Added, Extensions, entry_points
from pytest_kernelbench.plugin import benchmarking, collection
from pytest_kernelbench.plugin.durations import Durations
from pytest_kernelbench.plugin.gate_lines import GateLines
from pytest_kernelbench.plugin.junit import failure_to_error
from pytest_kernelbench.plugin.kernel_pool import task_of
from pytest_kernelbench.plugin.options import one_line_errors
from pytest_kernelbench.plugin.policy_gpus import policy_device
from pytest_kernelbench.plugin.progress import Progress
from pytest_kernelbench.plugin.run_options import read_options
from pytest_kernelbench.plugin.session import Asked, Finished, session_of

NOTHING_BELOW = (
    "no task lies below the paths that were named; without a path, the tasks of --tasks or of kernels/ run, "
    "and tests of your own where their file is named"
)
# More items than any machine samples and builds while one item is judged.
MOST_ITEMS_AHEAD = 256
# Options of pytest with which no item is called: a session then has no run.
SHOW_ONLY = ("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test")


def asked_of(config: pytest.Config) -> Asked:
    """The parts of the command line that are not options of this plugin."""
    paths_named = config.args_source is config.ArgsSource.ARGS
    items_named = collection.items_named(config.args, config.rootpath) if paths_named else {}
    return Asked(
        here=config.invocation_params.dir,
        paths_named=paths_named,
        items_named=items_named,
        beside_tests=config.option.kernelbench_configured and not items_named,
        collect_only=any(getattr(config.option, name, False) for name in SHOW_ONLY),
        run_named=config.option.kernelbench_run is not None,
    )


def added_by_hooks(config: pytest.Config) -> Iterator[Added]:
    """The objects that ``conftest.py`` files and other plugins add by the hooks of ``hookspecs``.

    Raises UsageError for a hook that returns no dictionary.
    """
    for kind in KINDS:
        hook = f"pytest_kernelbench_{kind}"
        for implementation in getattr(config.hook, hook).get_hookimpls():
            file = getattr(implementation.plugin, "__file__", None)
            place = f"{Path(file).name if file else implementation.plugin_name} ({hook})"
            added = implementation.function()
            if not isinstance(added, Mapping):
                raise UsageError(f'{place}: returns {added!r}, not a dictionary; return {{"NAME": ...}}')
            for name, given in added.items():
                yield Added(kind, name, given, place)


class KernelBench:
    """The hooks, in the process that runs the session and in each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker = hasattr(config, "workerinput")
        run = Path(config.workerinput["kernelbench_run"]) if self.worker else None  # type: ignore[attr-defined]
        self.extensions = Extensions()
        with one_line_errors():
            self.extensions.add([*entry_points(), *added_by_hooks(config)])
        options = read_options(config, run=run)
        with one_line_errors():
            self.session = config.stash[collection.SESSION] = session_of(options, asked_of(config))
        if self.session.only_tasks:
            config.args = [str(config.rootpath)]
        self.bridge: benchmarking.BenchmarkBridge | None = None
        self.policy_device: str | None = None
        self.ordered = False
        self.left_out: str | None = None
        self.finished: Finished | None = None
        self.unreported: str | None = None

    # Collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self.progress = Progress(self.config)
        self.gate_lines = GateLines(self.session.options.gate_options.undecided)
        self.config.pluginmanager.register(self.gate_lines)
        option, owns_workers = self.config.option, self.config.pluginmanager.has_plugin("dsession")
        with one_line_errors():
            self.bridge = benchmarking.bridge_for(self.config)
            if self.bridge:
                self.session.baselines = self.bridge.baselines
            if not needs_no_gpu(option.kernelbench_device):
                named = option.kernelbench_policy_gpus
                self.policy_device = policy_device(named, worker=self.worker, owns_workers=owns_workers)
        if owns_workers:
            from pytest_kernelbench.plugin.sharding import Sharding

            self.config.pluginmanager.register(Sharding())
        if not self.worker and self.session.resumed is None:
            # A resumed run reads most results from its folder: its durations say nothing about the next session.
            self.config.pluginmanager.register(Durations(self.config))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        with one_line_errors():
            # A selector that names no task ends the session here.
            tasks = self.session.tasks
            named = self.session.options.tasks and not self.session.gone_named
            left_out = self.session.kept.left_out(tasks) if named else None
            self.left_out = None if self.session.asked.items_named else left_out

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if self.session.only_tasks and path == self.config.rootpath:
            return collection.TaskSet.from_parent(parent, path=path)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        asked = self.session.asked
        if asked.beside_tests and not asked.paths_named:
            items[:0] = collection.items_beside_tests(session)
        names = [strategy.name for strategy in self.session.strategies]
        shard = self.session.options.shard
        named = [name for name, task in asked.items_named.items() if task not in self.session.gone_named]
        items[:], left_out = collection.in_order(items, names, shard, named=named)
        if left_out:
            self.config.hook.pytest_deselected(items=left_out)
        gone = (collection.GoneItem.of(session, each) for each in self.session.gone())
        items += [item for item in gone if not asked.items_named or item.nodeid in asked.items_named]
        self.ordered = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        will_run = (item for item in session.items if not (self.bridge and self.bridge.skips(item)))
        found = (item.task if isinstance(item, collection.KernelItem) else task_of(item) for item in will_run)
        tasks = list({task.id: task for task in found if task is not None}.values())
        # pytest calls this hook even if pytest_collection_modifyitems raised an error.
        if tasks and self.ordered and not self.session.asked.collect_only:
            with one_line_errors():
                self.gate_lines.remark = self.session.kept.check_sizes(tasks)
                self.session.open(tasks, progress=self.progress, policy_device=self.policy_device)
            self.progress.items = sum(isinstance(item, collection.KernelItem) for item in session.items)

    # Running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if isinstance(item, collection.KernelItem):
            self.progress.begin(item.task.short_id, item.strategy.name)
        following = item.session.items[item.session.items.index(item) + 1 :]
        # An xdist worker knows only the next item.
        known = [nextitem] if self.worker else following[:MOST_ITEMS_AHEAD]
        self.session.look_ahead(
            [(each.task, each.strategy) for each in known if isinstance(each, collection.KernelItem)]
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self.progress.clear()
        if call.when == "teardown":
            self.progress.end()
        if isinstance(item, collection.KernelItem) and call.when == "call":
            # Builtin values only: the report crosses from xdist's worker to its controller.
            report.kernelbench = collection.word_for(item.selection)  # type: ignore[attr-defined]
            # A missed gate is a failure. Every other exception is a fault of the harness: an error.
            missed = call.excinfo is not None and isinstance(call.excinfo.value, pytest.fail.Exception)
            report.kernelbench_failed = missed  # type: ignore[attr-defined]
            if call.excinfo is not None and isinstance(call.excinfo.value, UsageError):
                item.session.shouldfail = str(call.excinfo.value)  # every other item would raise the same error
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        word = getattr(report, "kernelbench", None)
        if word is None or report.kernelbench_failed or report.outcome not in ("passed", "failed"):  # type: ignore[attr-defined]
            return None  # pytest reports a missed gate as a failure; the plugin that reruns items reports a rerun
        return ("passed", ".", f"PASSED {word}") if report.passed else ("error", "E", "ERROR")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when == "call" and getattr(report, "kernelbench_failed", True) is False:
            failure_to_error(self.config, report)

    # The end

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.session.close()
        if self.worker or self.session.asked.collect_only:
            return
        try:
            self.finished = self.session.finish(width=self.config.get_terminal_writer().fullwidth)
        except UsageError as error:
            # The items have run and their records are written; a row of the run folder cannot be read.
            self.unreported = str(error)
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self.finished and self.finished.missed_gates and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and "deselected" not in terminalreporter.stats
        if nothing and self.session.asked.paths_named and not self.session.asked.beside_tests:
            terminalreporter.write_line(f"kernelbench: {NOTHING_BELOW}", yellow=True)
        if self.left_out:
            terminalreporter.write_line(f"kernelbench: {self.left_out}", yellow=True)
        if self.unreported:
            terminalreporter.write_line(f"kernelbench: no report: {self.unreported}", red=True)
        if self.finished is None:
            return
        run = self.session.options.run
        terminalreporter.section("kernelbench")
        lines: Sequence[str] = [*self.session.warnings, *self.finished.lines, ""]
        for line in [*lines, f"open {run / 'report.html'}", f"recorded in {run}; to resume:", f"  {self._resume()}"]:
            terminalreporter.write_line(line)
        for line in self.finished.missed_gates:
            terminalreporter.write_line(f"kernelbench: {line}", red=True)

    def pytest_unconfigure(self) -> None:
        self.session.close()
        self.extensions.remove()
        # pytest looks for garbage five times at its end, and Python again: with a policy loaded, for 0.2 s each time,
        # among 440,000 objects of torch and transformers. After one look here they pass over what is left.
        gc.collect()
        gc.freeze()

    def _resume(self) -> str:
        arguments = [str(argument) for argument in self.config.invocation_params.args]
        if not self.session.asked.run_named:
            arguments.append(f"--kernelbench-run={self.session.options.run}")
        return shlex.join(["pytest", *arguments])

    # xdist

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["kernelbench_run"] = str(self.session.options.run)
