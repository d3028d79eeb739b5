"""Judges an answer that is a little beyond its tolerance once more, by tolerances measured on these very inputs.

A tolerance is measured on one draw of a kind and holds for others. Where a result may jump (two keys of an attention
that are equally near, two values that are equally large), one draw does not show how far answers to problems within a
rounding of each other lie apart on the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_kernelbench.evaluation.correctness.comparison import Expected
from pytest_kernelbench.evaluation.correctness.domain import MIXED
from pytest_kernelbench.evaluation.correctness.mixed import ExpectedInParts
from pytest_kernelbench.evaluation.correctness.reference import Reference
from pytest_kernelbench.evaluation.correctness.rounding import FEW
from pytest_kernelbench.evaluation.correctness.ties import either_way
from pytest_kernelbench.evaluation.correctness.tolerances import (
    PRECISE,
    Tolerances,
    measured_on,
    measured_on_parts,
)
from pytest_kernelbench.evaluation.correctness.widened import is_real

# An error beyond so many times the tolerance is no rounding: most wrong kernels have one, and four more runs of the
# reference are not spent on them. ``LITTLE_FAR_OUT`` is for kinds far from the task's own inputs. Of few elements the
# tolerance may say nothing: all 640 of level2/9 (CUDA-L1) may be zero in the draw on which it was measured.
LITTLE, LITTLE_FAR_OUT = 30.0, 1e5

Due = Sequence[Expected | ExpectedInParts]


def once_more(
    reference: Reference, kind: str, values: Sequence[torch.Tensor], got: Sequence[torch.Tensor], due: Due
) -> Due:
    """The expected answers ``due`` to ``values``, with tolerances measured on these; as given if ``got`` is far off."""
    factor = LITTLE if kind in PRECISE else LITTLE_FAR_OUT
    if not all(output.numel() < FEW or each.is_near(output, factor) for each, output in zip(due, got, strict=True)):
        return due
    if reference.chooses:
        either = either_way(lambda: reference.answers(values, kind))
        usual = reference.answers(values, kind)
        due = [
            _opened(each, (it != one) | (it != other)) for each, it, one, other in zip(due, usual, *either, strict=True)
        ]
    if not any(map(is_real, reference.example_answers)):
        return due
    if any(isinstance(each, ExpectedInParts) for each in due):
        by_part = measured_on_parts(reference, values)
        return [_widened(each, by_part, number) for number, each in enumerate(due)]
    found = measured_on(reference, kind, values)
    return [each.widened(known) for each, known in zip(due, found, strict=True) if isinstance(each, Expected)]


def _widened(due: Expected | ExpectedInParts, by_part: Tolerances, number: int) -> ExpectedInParts:
    assert isinstance(due, ExpectedInParts)
    parts = ((part, each.widened(by_part[part.key][number])) for part, each in due.parts)
    return ExpectedInParts(due.whole.widened(by_part[MIXED][number]), tuple(parts))


def _opened(due: Expected | ExpectedInParts, differ: torch.Tensor) -> Expected | ExpectedInParts:
    """``due``, where any integer is right that depends on the order of equal values (the mask ``differ``)."""
    if isinstance(due, ExpectedInParts):
        parts = ((part, _opened_here(each, differ[part.begin : part.end])) for part, each in due.parts)
        return ExpectedInParts(_opened_here(due.whole, differ), tuple(parts))
    return _opened_here(due, differ)


def _opened_here(due: Expected, differ: torch.Tensor) -> Expected:
    return due if due.tolerance is not None else replace(due, open=differ)
