"""Under pytest-xdist: each worker has a GPU, the longest tasks run first, and a dead worker's item runs again.

More workers than GPUs make sense: a worker samples and builds while another one times candidates. A lock on each GPU
keeps two workers from timing at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling

from pytest_kernelbench.evaluation.device.names import needs_no_gpu
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
        if needs_no_gpu(config.option.kernelbench_device):
            return
        # Set in the worker's specification: the variable is then there before the worker imports anything, and a
        # worker that replaces a dead one has it too.
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
        # The records of the interrupted item are kept, and another worker goes on from there. An item that ends two
        # workers is not given to a third.
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
    """xdist's scheduler ``load`` with the longest tasks first. How it handles a dead worker is inherited.

    ``seconds``: what each task took in the last session; a task that never ran counts as long. A worker must know the
    item after the one that it runs, so it always holds one more task. That task is sent as late as possible.
    """

    def __init__(self, config: pytest.Config, log: Any, *, seconds: Mapping[str, float]) -> None:
        super().__init__(config, log)
        self.seconds = seconds

    def schedule(self) -> None:
        """Send each worker its first task. ``check_schedule`` sends the others."""
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
        """Send ``node`` a task if it does not know the item after the current one, or tell it that none is left."""
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
        """Send ``node`` all items of the first waiting task."""
        assert self.collection is not None
        tasks = [task_part(self.collection[index]) for index in self.pending]
        count = next((number for number, task in enumerate(tasks) if task != tasks[0]), len(tasks))
        self._send_tests(node, count)
