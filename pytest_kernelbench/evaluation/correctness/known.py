"""What a judge has found out about a task, for other judges and its successor."""

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

    Both depend on the reference alone. Computing them takes half to nine tenths of a new judge's first trial on a CPU.
    """

    tolerances: Tolerances = field(default_factory=dict)
    findings: TaskFindings | None = None

    def to_json(self) -> dict[str, Any]:
        rows = {kind: [each and asdict(each) for each in of_kind] for kind, of_kind in self.tolerances.items()}
        return {"tolerances": rows, "findings": self.findings and self.findings.to_json()}

    def learn(self, row: Mapping[str, Any]) -> None:
        """Take over the entries of another judge's row that are missing here."""
        for kind, of_kind in row["tolerances"].items():
            self.tolerances.setdefault(kind, [each and Tolerance(**each) for each in of_kind])
        if self.findings is None and row["findings"] is not None:
            self.findings = TaskFindings.from_json(row["findings"])
