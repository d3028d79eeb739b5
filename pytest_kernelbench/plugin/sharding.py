"""Under pytest-xdist: a GPU for each worker, longest tasks first, and no item lost with a worker.

Workers beyond the number of GPUs are of use: they sample and build while another times, and the lock on each GPU
keeps two from timing at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling

from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.plugin.durations import seconds_by_task, task_part
from pytest_kernelbench.plugin.policy_gpus import divided


class Sharding:
    """Hooks of the process that owns an xdist session with ``--strategy``."""

    def __init__(self) -> None:
        self.retried: set[str] = set()
        self.not_run: dict[str, None] | None = None
        self.died = False

    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: Sequence[Any]) -> None:
        if config.option.kernelbench_device == "cpu":
            return
        # In the specification, so that it is set before a worker imports anything and its replacement has it too.
        gpus, named = visible_gpus(os.environ), config.option.kernelbench_policy_gpus
        judges, policy = divided(gpus, named) if named else (gpus, [])
        for number, spec in enumerate(spec for spec in specs if spec.popen):
            if judges:
                own = ",".join([judges[number % len(judges)], *policy])
                spec.env.setdefault("CUDA_VISIBLE_DEVICES", own)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        if config.option.dist != "load":
            return None
        return LongestFirst(config, log, seconds=seconds_by_task(config))

    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        if self.not_run is None:
            self.not_run = dict.fromkeys(ids)

    def pytest_testnodedown(self, error: object | None) -> None:
        self.died = self.died or error is not None

    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        # What the worker had done of it is recorded; another goes on from there. Twice is no accident.
        if crashitem not in self.retried and isinstance(sched, LongestFirst):
            self.retried.add(crashitem)
            report.outcome = "rerun"  # type: ignore[assignment]
            sched.mark_test_pending(crashitem)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None  # type: ignore[comparison-overlap]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.not_run and (report.when == "call" or report.outcome in ("failed", "skipped")):
            self.not_run.pop(report.nodeid, None)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.died and self.not_run and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.died and self.not_run:
            died = f"kernelbench: not run, because a worker died and none took its place: {', '.join(self.not_run)}"
            terminalreporter.write_line(died, red=True)


class LongestFirst(LoadScheduling):
    """xdist's ``load`` with another order; what it does about a worker that dies is inherited.

    ``seconds`` is what each task took the last time; a task that never ran is taken for a long one. A worker must
    know the item after the one that it runs, so it holds one task more, which is handed out as late as that allows.
    """

    def __init__(self, config: pytest.Config, log: Any, *, seconds: Mapping[str, float]) -> None:
        super().__init__(config, log)
        self.seconds = seconds

    def schedule(self) -> None:
        """Give each worker its first task; from then on, ``check_schedule``."""
        assert self.collection_is_completed
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            self.collection = next(iter(self.node2collection.values()))
            self.pending[:] = sorted(range(len(self.collection)), key=self._rank)
            for node in self.nodes:
                self._send_task(node)
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node: Any, duration: float = 0) -> None:
        """Let ``node`` know what comes after the item that it runs, or that nothing does."""
        if node.shutting_down or self.collection is None:
            return
        while self.pending and len(self.node2pending[node]) < 2:
            self._send_task(node)
        if not self.pending:
            node.shutdown()

    def _rank(self, index: int) -> tuple[float, int]:
        assert self.collection is not None
        return -self.seconds.get(task_part(self.collection[index]), float("inf")), index

    def _send_task(self, node: Any) -> None:
        """The first task that waits, all of its items."""
        assert self.collection is not None
        tasks = [task_part(self.collection[index]) for index in self.pending]
        count = next((number for number, task in enumerate(tasks) if task != tasks[0]), len(tasks))
        self._send_tests(node, count)
