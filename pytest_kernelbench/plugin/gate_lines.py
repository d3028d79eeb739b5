"""The results of the gates on kept kernels, printed at the end of a session, with xdist and without."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

NAMES_SHOWN = 5


class GateLines:
    """Hooks: the process that runs an item attaches the gate's result to its report; the session's owner prints it."""

    def __init__(self, undecided: str) -> None:
        """``undecided``: "pass" or "fail", for an item whose gate is undecided. Set ``remark`` for a line about all."""
        self._undecided = undecided
        self.remark: str | None = None
        self._gates: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        gate = getattr(item, "gate", None)
        if call.when == "call" and gate is not None:
            # Builtin values only, checked here: a bad one must not end the run on its way to the controller.
            report.kernelbench_gate = json.loads(json.dumps(gate))  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        gate = getattr(report, "kernelbench_gate", None)
        if gate is not None:
            self._gates[gate["name"]] = gate

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.remark is not None:
            terminalreporter.write_line(f"kernelbench: {self.remark}", yellow=True)
        for name, gate in sorted(self._gates.items()):
            if gate["lines"] or gate["verdict"] == "undecided":
                terminalreporter.write_line(f"{name}: {gate['summary']}")
            for line in gate["lines"]:
                terminalreporter.write_line(f"    {line}")
        undecided = sorted(name for name, gate in self._gates.items() if gate["verdict"] == "undecided")
        if undecided:
            compared = sum(gate["verdict"] is not None for gate in self._gates.values())
            more = f" and {len(undecided) - NAMES_SHOWN} more" if len(undecided) > NAMES_SHOWN else ""
            what = "they pass" if self._undecided == "pass" else "they fail"
            terminalreporter.write_line(
                f"kernelbench: undecided: {len(undecided)} of {compared} compared with a baseline "
                f"({', '.join(undecided[:NAMES_SHOWN])}{more}); {what} (--kernelbench-undecided={self._undecided})",
                yellow=True,
            )
