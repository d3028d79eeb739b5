"""Findings about a task's reference, made before candidates are judged: a line of ``tasks.jsonl``. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_kernelbench.records import fields_of

UNDEFINED = "not defined on inputs that are"
ALWAYS, SEEDED, NEVER = "always", "seeded", "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFindings:
    """Properties of one reference on one device and at one precision. ``task_sha256`` identifies its text and sizes.

    ``repeatable``: whether equal inputs give equal outputs ``always``, only with an equally ``seeded`` generator
    (dropout), or ``never``. ``constant``: whether the output for one set of inputs would also pass as the output for
    other inputs. ``writes_inputs``: whether ``forward`` changes its arguments. ``undefined_on``: the kinds of inputs on
    which the reference raises or returns values that are not finite. ``seconds_per_call``: wall time of the first call.
    ``n_bytes``: memory of one set of inputs and outputs. ``refused``: one line that says why no candidate can be judged
    by this reference; fields that were not determined are then None.
    """

    task: str
    task_sha256: str | None = None
    device: str
    precision: str
    repeatable: str | None = None
    constant: bool | None = None
    writes_inputs: bool | None = None
    undefined_on: tuple[str, ...] = ()
    seconds_per_call: float | None = None
    n_bytes: int | None = None
    refused: str | None = None

    @property
    def uncounted_because(self) -> str:
        """Why the speed-up of a correct candidate does not count for this task; empty if it does."""
        if self.constant:
            return "the task's answer does not depend on its inputs"
        if self.repeatable == SEEDED:
            return "the reference draws at random in every call, so that answers of timed calls cannot be checked"
        return ""

    @property
    def remarks(self) -> list[str]:
        """Remarks on the reference for a reader of the results, one clause each. May be empty."""
        found = [self.refused] if self.refused else []
        if self.constant:
            found.append("its answer does not depend on its inputs: candidates are judged, none counts as fast")
        if self.repeatable == SEEDED:
            found.append("it draws at random: both sides are seeded alike, none counts as fast")
        if self.writes_inputs:
            found.append("it writes to its inputs")
        if self.undefined_on:
            found.append(f"{UNDEFINED} {', '.join(self.undefined_on)}")
        return found

    @property
    def notable(self) -> list[str]:
        """The ``remarks`` that limit results: no speed-up counts, or no candidate was judged."""
        return [each for each in self.remarks if not each.startswith(UNDEFINED)]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> TaskFindings:
        return cls(**fields_of(cls, row))
