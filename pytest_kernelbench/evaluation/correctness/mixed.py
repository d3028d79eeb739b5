"""``mixed`` inputs, of which each part of the batch is of another kind; their answer is judged part by part.

On values near 100,000 an answer may be off by more than the size of the answer to the task's own draw, so each part has
a tolerance of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from pytest_kernelbench.evaluation.correctness.comparison import Expected, Tolerance, WrongElements
from pytest_kernelbench.evaluation.correctness.domain import MIXED

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.correctness.reference import Reference


class Part(NamedTuple):
    """Rows ``begin`` to ``end`` - 1, of one kind."""

    kind: str
    begin: int
    end: int

    @property
    def key(self) -> str:
        """Key of this part's tolerances: not the kind's, because a part has fewer elements than whole inputs."""
        return f"{MIXED}: {self.kind}"


def parts_of_mixed(reference: Reference) -> list[Part]:
    """The parts of ``mixed`` inputs that have rows; none where there are no such inputs."""
    kinds = [level.kind for level in reference.levels_mixed()]
    rows = len(reference.example_answers[0]) if kinds else 0
    bounds = [rows * number // max(1, len(kinds)) for number in range(len(kinds) + 1)]
    parts = [Part(*each) for each in zip(kinds, bounds, bounds[1:], strict=False)]
    return [part for part in parts if part.end > part.begin]


def expected_in_parts(
    reference: Reference, eager: Sequence[torch.Tensor], by_part: Mapping[str, Sequence[Tolerance | None]]
) -> list[ExpectedInParts]:
    """What is expected of each output: the ``eager`` answer to ``mixed`` inputs, within the tolerances by part."""
    parts = parts_of_mixed(reference)
    return [
        ExpectedInParts(
            Expected.of(each, None, by_part[MIXED][number]),
            tuple((part, Expected.of(each[part.begin : part.end], None, by_part[part.key][number])) for part in parts),
        )
        for number, each in enumerate(eager)
    ]


class ExpectedInParts(NamedTuple):
    """One expected output, as a whole and part by part, with the methods of ``Expected``.

    An answer beyond the tolerance of ``whole`` is wrong. An answer beyond the tolerance of one part alone need not be:
    a product by Strassen's rule adds rows of all parts, and has the rounding errors of the largest.
    """

    whole: Expected
    parts: tuple[tuple[Part, Expected], ...]

    def objection(self, got: torch.Tensor) -> str | None:
        """Why ``got`` is wrong as a whole, in one line; None if it is right."""
        return self.whole.objection(got)

    def fault(self, got: torch.Tensor) -> Fault | None:
        """The first part that is wrong by its own tolerance."""
        for part, expected in self.parts:
            objection = expected.objection(got[part.begin : part.end])
            if objection is not None:
                return Fault(part.kind, objection)
        return None

    def is_near(self, got: torch.Tensor, factor: float) -> bool:
        """As ``Expected.is_near``."""
        return self.whole.is_near(got, factor)

    def wrong_elements(self, got: torch.Tensor) -> list[WrongElements]:
        """As ``Expected.wrong_elements``."""
        return self.whole.wrong_elements(got)


class Fault(NamedTuple):
    """The kind of inputs on which an answer is wrong, and why."""

    kind: str
    objection: str


def kind_at_fault(outputs: Sequence[torch.Tensor], answers: Sequence[Expected | ExpectedInParts]) -> Fault | None:
    """The first kind of ``mixed`` inputs on whose rows ``outputs`` are wrong by its own tolerance; None: on no kind."""
    in_parts = zip(outputs, answers, strict=True)
    faults = (due.fault(got) for got, due in in_parts if isinstance(due, ExpectedInParts))
    return next((fault for fault in faults if fault is not None), None)
