"""Preregistration: a study's comparisons, written to a file before it is made, with a hash that a report checks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import fields_of, sha256_of
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.strategy.primary import Primary


@dataclass(frozen=True, slots=True, kw_only=True)
class Preregistration:
    """``tasks`` are ids, or ``task 1``, ``task 2``, ... where only their number was planned; ``margin`` may be None."""

    comparison: str
    score: str
    span: str
    margin: float | None
    tasks: tuple[str, ...]
    k: int
    seeds: tuple[int, ...]
    written: str

    @classmethod
    def planned(
        cls, primary: Primary, *, tasks: Sequence[str], k: int, seeds: Sequence[int], margin: float | None
    ) -> Preregistration:
        """A plan with the present time."""
        words = primary.selector.split("-")
        return cls(
            comparison=str(primary),
            score="sum" if "sum" in words else "mean",
            span=next((word for word in ("code", "all", "tempered") if word in words), "answer"),
            margin=margin,
            tasks=tuple(tasks),
            k=k,
            seeds=tuple(seeds),
            written=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )

    @property
    def sha256(self) -> str:
        """Hash of the plan: if it is published, it shows later that the plan was not changed."""
        return sha256_of(json.dumps(asdict(self), sort_keys=True))

    def write(self, path: Path) -> None:
        """Raises UsageError where there is a file already, for a plan is not made twice, or none can be written."""
        text = json.dumps({**asdict(self), "sha256": self.sha256}, indent=1) + "\n"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise UsageError(
                f"{path}: is there already, and a preregistration is not written again; name another file"
            ) from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); name another file") from error

    @classmethod
    def read(cls, path: Path) -> tuple[Preregistration, bool]:
        """With whether it is as it was written. Raises UsageError for a file that holds none."""
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**fields_of(cls, row))
            return found, row["sha256"] == found.sha256
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read ({error.strerror}); name a file that plan --preregister wrote"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: no preregistration; plan --preregister writes one") from error

    def changes(self, records: RunRecords) -> list[str]:
        """Differences between a run and its plan, a few words each; empty without differences."""
        tasks = sorted({records.unit(name).task for name in records.tasks})
        k = max((each.k for each in records.strategies if each.adaptation is None), default=0)
        drawn = {
            "comparison": (self.comparison, records.options.get("primary")),
            "margin": (self.margin, records.options.get("margin") if self.margin is not None else None),
            "K": (self.k, k),
            "seeds": (sorted(self.seeds), sorted(records.seeds)),
            "tasks": self._tasks(tasks),
        }
        found = [f"{name} {_words(plan)} -> {_words(done)}" for name, (plan, done) in drawn.items() if plan != done]
        started = str(records.options.get("started") or "")
        if started and started < self.written:
            found.append(f"written at {self.written}, after the run began at {started}")
        return found

    def _tasks(self, tasks: Sequence[str]) -> tuple[object, object]:
        if all(name == f"task {number}" for number, name in enumerate(self.tasks, 1)):
            return len(self.tasks), len(tasks)
        return sorted(self.tasks), list(tasks)


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) if len(value) <= 5 else f"{len(value)} of {value[0]}, ..."
    return "none" if value is None else str(value)


def preregistration_json(path: Path, records: RunRecords) -> dict[str, Any]:
    """The plan's entry in a report: its hash, whether the file is unchanged, and the differences of the run."""
    found, untouched = Preregistration.read(path)
    return {**asdict(found), "sha256": found.sha256, "untouched": untouched, "changes": found.changes(records)}


def preregistration_line(found: Mapping[str, Any]) -> str:
    """When the plan was written, its hash, and what was changed since, in one line."""
    head = f"preregistered {found['written']}, sha256 {found['sha256'][:16]}"
    if not found["untouched"]:
        return f"{head}: the file was changed after it was written, and proves nothing"
    if found["changes"]:
        return f"{head}: changed since: {'; '.join(found['changes'])}"
    return f"{head}: nothing was changed"
