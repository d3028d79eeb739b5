"""Checks whether a candidate is right: untimed calls on inputs of every kind that the reference is defined on.

The protocol's own draws come first. Then comes ``mixed`` (every kind of ``domain.py``, each on a part of the batch), or
each kind on all of the inputs if the answer has no rows of its own; last a call with moved parameters. A wrong answer
before that is a verdict. A candidate that does not follow its parameters is right as the task uses it, so this is only
a remark unless the strategy demands it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, MIXED, MOVED, TASK
from pytest_kernelbench.evaluation.correctness.mixed import parts_of_mixed
from pytest_kernelbench.evaluation.correctness.operators import forbid_torch
from pytest_kernelbench.evaluation.failures import CandidateFailed, WrongValues
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot
from pytest_kernelbench.evaluation.handles.session import REFERENCE, SEEDED, WorkerSession
from pytest_kernelbench.evaluation.protocols import Protocol

FIXED_PARAMETERS = "its parameters are fixed at construction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Demands on a candidate besides right answers.

    ``parameters``: it must follow parameters that are set after its construction. ``own_kernels``: it must not have
    torch compute for it.
    """

    parameters: bool = False
    own_kernels: bool = False


class Examined(NamedTuple):
    """A candidate that is right: the seconds of its last call, remarks for people, and the weights with which it is.

    ``weights``: those of its own constructor (``SEEDED``) or the reference's (``REFERENCE``).
    """

    seconds_per_call: float
    remarks: tuple[str, ...]
    weights: str = SEEDED


def kinds_to_check(bench: Bench, protocol: Protocol) -> list[str]:
    """The kinds of inputs to check, in order: those on which the reference is defined, as it is on the task's draw."""
    own = [kind for kind in protocol.draws if bench.usable(kind)] or [TASK]
    if not protocol.beyond:
        return own
    if bench.reference.answers_by_row and bench.usable(MIXED):
        return [*own, MIXED]
    return [*own, *(kind for kind in (TASK, *BEYOND_THE_TASK) if kind not in own and bench.usable(kind))]


def kinds_not_covered(bench: Bench, protocol: Protocol) -> list[str]:
    """Kinds of inputs of which the candidate saw too little in the checks of ``kinds_to_check``.

    Where a row of an answer is about all rows of the inputs, as after a batch norm in training, ``mixed`` inputs are
    of no kind in particular; and of a batch with fewer rows than there are kinds, some have no row.
    """
    if MIXED not in kinds_to_check(bench, protocol):
        return []
    reference = bench.reference
    covered = {part.kind for part in parts_of_mixed(reference)} if reference.rows_are_independent else set()
    return [kind for kind in (TASK, *BEYOND_THE_TASK) if kind not in covered and bench.usable(kind)]


def prepare(bench: Bench, protocol: Protocol) -> None:
    """Measure the tolerances of all checks, before slots take the memory."""
    bench.measure_tolerances(_kinds_of_checks(bench, protocol))


def prepare_checks(bench: Bench, protocol: Protocol) -> None:
    """As ``prepare``, and compute the inputs and answers of the checks of ``examine`` as far as they are kept."""
    prepare(bench, protocol)
    bench.answer_ahead(_kinds_of_checks(bench, protocol))


def _kinds_of_checks(bench: Bench, protocol: Protocol) -> list[str]:
    """Kinds of inputs of the checks of ``examine``, in their order."""
    moves = protocol.beyond and bench.usable(MOVED)
    return [*kinds_to_check(bench, protocol), *([MOVED] if moves else ())]


def examine_with_either_weights(session: WorkerSession, protocol: Protocol, demands: Demands) -> Examined:
    """Check a candidate with the weights that it made, and where those are wrong, with the reference's.

    A constructor that folds a constant into its weights is right with its own; one that makes its parameters in another
    order, and so draws other values, is right with the reference's. Raises CandidateFailed, that of its own weights.
    """
    try:
        return _examine_and_profile(session, protocol, demands)
    except WrongValues as own:
        try:
            if not session.adopt_weights():
                raise own
            examined = _examine_and_profile(session, protocol, demands)
        except CandidateFailed:
            raise own from None
        return examined._replace(weights=REFERENCE)


def _examine_and_profile(session: WorkerSession, protocol: Protocol, demands: Demands) -> Examined:
    prepare(session.bench, protocol)
    (slot,) = session.have_slots(1)
    examined = examine(session, slot, protocol, demands)
    if demands.own_kernels:
        forbid_torch(session, slot)
    return examined


def examine(session: WorkerSession, slot: JudgeSlot, protocol: Protocol, demands: Demands) -> Examined:
    """Check a candidate that is loaded. Raises CandidateFailed at the first wrong answer."""
    kinds = kinds_to_check(session.bench, protocol)
    seconds = 0.0
    for number, kind in enumerate(kinds):
        seconds = session.check(slot, number, kind)
    moves = protocol.beyond and session.bench.usable(MOVED)
    return Examined(seconds, _remarks_on_parameters(session, slot, len(kinds), demands) if moves else ())


def examine_what_is_not_covered(session: WorkerSession, protocol: Protocol) -> None:
    """Check a candidate that passed ``examine`` on each of ``kinds_not_covered``, with all inputs of that kind.

    For candidates that were not checked on every kind at other sizes, where that is cheaper. Raises CandidateFailed.
    """
    (slot,) = session.have_slots(1)
    begin = len(kinds_to_check(session.bench, protocol)) + 1
    for number, kind in enumerate(kinds_not_covered(session.bench, protocol), begin):
        session.check(slot, number, kind)


def _remarks_on_parameters(session: WorkerSession, slot: JudgeSlot, number: int, demands: Demands) -> tuple[str, ...]:
    if not session.move_parameters(True):
        wrong: CandidateFailed | None = CandidateFailed.incorrect("its state has other names or shapes", MOVED)
    else:
        wrong = None
        try:
            session.check(slot, number, MOVED)
        except WrongValues as failure:
            wrong = failure
        finally:
            session.move_parameters(False)
    if wrong is not None and demands.parameters:
        raise wrong
    return () if wrong is None else (FIXED_PARAMETERS,)
