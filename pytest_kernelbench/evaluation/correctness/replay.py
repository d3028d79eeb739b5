"""Calls a candidate again on one kind of inputs, to see where it is wrong and by how much. Nothing is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.correctness.comparison import as_real
from pytest_kernelbench.evaluation.correctness.domain import KINDS, MIXED, MOVED, TASK
from pytest_kernelbench.evaluation.correctness.doubt import Due
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.judges.replayed import Replayed, WrongElement
from pytest_kernelbench.records import Outcome

# Inputs are drawn anew, so a candidate that is wrong on some draws of a kind may be right on a single one.
DRAWS = 3
MOST_ELEMENTS = 10
REPLAYED = (TASK, *KINDS, MIXED, MOVED)


def replay(session: WorkerSession, kind: str) -> Replayed:
    """Call the candidate that is loaded on up to ``DRAWS`` new draws of a kind, until an answer is wrong.

    Raises CandidateFailed where it fails otherwise, and HarnessError where the reference is not defined on the kind.
    """
    if kind not in REPLAYED:
        raise HarnessError(f"{kind}: no such kind of inputs; there are {', '.join(REPLAYED)}")
    if not session.bench.usable(kind):
        raise HarnessError(
            f"{session.bench.task_id}: the reference has no answer to {kind} inputs on {session.bench.device}; "
            "replay on the device of the run"
        )
    (slot,) = session.have_slots(1)
    if kind == MOVED and not session.move_parameters(True):
        return Replayed(outcome=Outcome.INCORRECT.value, detail="its state has other names or shapes")
    for number in range(DRAWS):
        check = session.bench.check(number, kind)
        left = session.called(slot, check.values, f"running on {kind} inputs").left
        due, objection = slot.looked_at(check, left)
        if objection is not None:
            found = Replayed(outcome=Outcome.INCORRECT.value, detail=f"{kind} inputs: {objection.detail}")
            return with_elements(found, left, due)
    return Replayed(outcome=Outcome.CORRECT.value)


def with_elements(found: Replayed, left: Sequence[torch.Tensor], due: Due) -> Replayed:
    """``found`` with the first ``MOST_ELEMENTS`` wrong elements of all outputs, and the number of all of them."""
    n_wrong = 0
    elements: list[WrongElement] = []
    for number, (got, expected) in enumerate(zip(left, due, strict=False)):
        wrong = expected.wrong_elements(got)
        n_wrong += sum(int(each.places.numel()) for each in wrong)
        for piece in wrong:
            for at, value in enumerate(piece.places[: MOST_ELEMENTS - len(elements)].tolist()):
                place = torch.unravel_index(torch.tensor(value), as_real(got).shape)
                elements.append(
                    WrongElement(
                        output=number,
                        place=tuple(int(each) for each in place),
                        got=float(piece.got[at]),
                        due=float(piece.due[at]),
                        allowed=float(piece.allowed[at]),
                    )
                )
    return replace(found, n_wrong=n_wrong, elements=tuple(elements))
