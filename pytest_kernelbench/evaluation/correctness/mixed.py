"""Inputs of which every part of the batch is of another kind: which part is answered wrong?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from pytest_kernelbench.evaluation.correctness.comparison import Expected
from pytest_kernelbench.evaluation.correctness.reference import Reference


class Fault(NamedTuple):
    """The kind of inputs on which an answer is wrong, and why."""

    kind: str
    objection: str


def kind_at_fault(reference: Reference, outputs: Sequence[torch.Tensor], answers: Sequence[Expected]) -> Fault | None:
    """The first kind, of those that share the rows of ``mixed`` inputs, whose rows are answered wrong."""
    levels = reference.levels_mixed()
    for number, level in enumerate(levels):
        for output, expected in zip(outputs, answers, strict=True):
            begin, end = (len(output) * bound // len(levels) for bound in (number, number + 1))
            objection = replace(expected, exact=expected.exact[begin:end]).objection(output[begin:end])
            if objection is not None:
                return Fault(level.kind, objection)
    return None
