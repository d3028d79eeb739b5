"""Findings of a judge about a task, which its successor uses again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_kernelbench.evaluation.correctness.comparison import Tolerance
from pytest_kernelbench.evaluation.correctness.tolerances import Tolerances
from pytest_kernelbench.tasks.findings import TaskFindings


@dataclass(slots=True)
class Known:
    """Tolerances and findings of one task, on one kind of device, at one precision, seed and protocol.

    Both come from the reference alone. They are half to nine tenths of a new judge's first trial on a CPU.
    """

    tolerances: Tolerances = field(default_factory=dict)
    findings: TaskFindings | None = None

    def to_json(self) -> dict[str, Any]:
        rows = {kind: [each and asdict(each) for each in of_kind] for kind, of_kind in self.tolerances.items()}
        return {"tolerances": rows, "findings": self.findings and self.findings.to_json()}

    def learn(self, row: Mapping[str, Any]) -> None:
        """Take over from another judge's row what is not known here."""
        for kind, of_kind in row["tolerances"].items():
            self.tolerances.setdefault(kind, [each and Tolerance(**each) for each in of_kind])
        if self.findings is None and row["findings"] is not None:
            self.findings = TaskFindings.from_json(row["findings"])
