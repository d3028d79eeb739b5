"""A large batch whose rows are independent is computed in parts, so that float64 fits beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pytest_kernelbench.evaluation.correctness.comparison import differ_by_rounding
from pytest_kernelbench.evaluation.correctness.domain import TASK
from pytest_kernelbench.evaluation.correctness.widened import bytes_of, rows_of
from pytest_kernelbench.evaluation.shortage import is_for_company

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.correctness.reference import Reference

# In float64, inputs and outputs of many level-1 tasks take 26 GB; a batch whose rows are independent goes in parts.
AT_ONCE_BYTES = 2 << 30


def parts_of(reference: Reference, outputs: Sequence[torch.Tensor]) -> int:
    """In how many parts the reference is computed: 1 unless it is large and computes each row by itself."""
    if reference.written or not all(layout.is_contiguous for layout in reference.layouts):
        return 1
    wanted = math.ceil(2 * (bytes_of(reference.example_inputs) + bytes_of(outputs)) / AT_ONCE_BYTES)
    sizes = {t.shape[0] if t.dim() else 1 for t in (*reference.example_inputs, *outputs)}
    rows = sizes.pop()
    if wanted == 1 or sizes or rows < 3:
        return 1
    # From the middle: an answer that depends on rows before or after these is another one without them.
    begin, end = rows // 3, 2 * rows // 3
    try:
        middle = reference.run(rows_of(reference.example_inputs, begin, end))
    except RuntimeError as error:
        if is_for_company(error):
            raise
        return 1
    alike = len(middle) == len(outputs) and all(
        part.shape == whole[begin:end].shape and differ_by_rounding(part, whole[begin:end])
        for part, whole in zip(middle, outputs, strict=True)
    )
    return min(wanted, rows) if alike else 1


def treats_rows_alone(reference: Reference) -> bool:
    """Whether the rows in the middle of an answer stay the same when all other rows of the inputs change.

    A batch norm in training does not: every row of its answer depends on every row of its inputs.
    """
    rows = len(reference.example_answers[0])
    begin, end = rows // 3, max(rows // 3 + 1, 2 * rows // 3)
    values = reference.draw(TASK)
    others = [
        other.index_copy(0, torch.arange(begin, end, device=value.device), value[begin:end])
        if value.dim() and len(value) == rows
        else value
        for value, other in zip(values, reference.draw("signed"), strict=True)
    ]
    answers = [reference.answers(each) for each in (values, others)]
    return all(differ_by_rounding(one[begin:end], other[begin:end]) for one, other in zip(*answers, strict=True))
