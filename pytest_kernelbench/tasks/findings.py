"""What is known of a task's reference before a candidate is judged by it: a line of ``tasks.jsonl``. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_kernelbench.records import fields_of

UNDEFINED = "not defined on inputs that are"
ALWAYS, SEEDED, NEVER = "always", "seeded", "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFindings:
    """A look at one reference on one device, at one precision and the sizes that ``task_sha256`` stands for.

    ``repeatable``: whether the same inputs give the same answer ``always``, only under the same ``seeded`` generator
    (dropout), or ``never``. ``constant``: whether the answer to any inputs would pass for the answer to others.
    ``writes_inputs``: whether ``forward`` changes its arguments. ``undefined_on`` names the kinds of inputs on which
    the reference raises or is not finite. ``seconds_per_call`` is the first call's wall time, ``n_bytes`` what one set
    of inputs and outputs takes. ``refused`` says in one line why nothing can be judged by this reference; then what
    was not found out is None.
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
        """Why no candidate's speed-up may count, though it may be correct; empty where it may."""
        if self.constant:
            return "the task's answer does not depend on its inputs"
        if self.repeatable == SEEDED:
            return "the reference draws at random in every call, so that answers of timed calls cannot be checked"
        return ""

    @property
    def remarks(self) -> list[str]:
        """What a reader of results should know, one clause each; empty where there is nothing."""
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
        """Of ``remarks``, those that change what a number means: nothing counts, or nothing was judged."""
        return [each for each in self.remarks if not each.startswith(UNDEFINED)]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> TaskFindings:
        return cls(**fields_of(cls, row))
