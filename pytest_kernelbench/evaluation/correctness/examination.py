"""Is a candidate right? One call after the other, untimed, on inputs of every kind that the reference is defined on.

The protocol's own draws come first, then ``mixed`` (every kind of ``domain.py``, each on a part of the batch), or each
kind on all of the inputs where the answer has no rows of its own; last a call with moved parameters. What fails before
that is a verdict; a candidate that does not follow its parameters is right as the task uses it, so that is a remark
unless the strategy demands it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, MIXED, MOVED, TASK
from pytest_kernelbench.evaluation.correctness.mixed import parts_of_mixed
from pytest_kernelbench.evaluation.correctness.operators import forbid_torch
from pytest_kernelbench.evaluation.failures import CandidateFailed, WrongValues
from pytest_kernelbench.evaluation.protocols import Protocol
from pytest_kernelbench.evaluation.racks import JudgeSlot
from pytest_kernelbench.evaluation.session import LOAD_TIMEOUT_S, REFERENCE, SEEDED, WorkerSession

FIXED_PARAMETERS = "its parameters are fixed at construction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Demands on a candidate besides right answers.

    ``parameters`` that are set later must be followed; with ``own_kernels``, torch must not compute for it.
    """

    parameters: bool = False
    own_kernels: bool = False


class Examined(NamedTuple):
    """What is known of a candidate that is right: seconds of its last call, and remarks for people.

    ``weights``: with which it is right, those of its own constructor (``SEEDED``) or the reference's (``REFERENCE``).
    """

    seconds_per_call: float
    remarks: tuple[str, ...]
    weights: str = SEEDED


def kinds_to_check(bench: Bench, protocol: Protocol) -> list[str]:
    """Kinds of inputs, in order; a logarithm is not defined on every signed input, the task's own draw always is."""
    own = [kind for kind in protocol.draws if bench.usable(kind)] or [TASK]
    if not protocol.beyond:
        return own
    if bench.reference.answers_by_row and bench.usable(MIXED):
        return [*own, MIXED]
    return [*own, *(kind for kind in (TASK, *BEYOND_THE_TASK) if kind not in own and bench.usable(kind))]


def kinds_not_covered(bench: Bench, protocol: Protocol) -> list[str]:
    """Kinds of which ``kinds_to_check`` shows too little.

    Where a row of an answer is about all rows of the inputs, as after a batch norm in training, ``mixed`` inputs are
    of no kind in particular; and of a batch with fewer rows than there are kinds, some have no row.
    """
    if MIXED not in kinds_to_check(bench, protocol):
        return []
    reference = bench.reference
    covered = {part.kind for part in parts_of_mixed(reference)} if reference.rows_are_independent else set()
    return [kind for kind in (TASK, *BEYOND_THE_TASK) if kind not in covered and bench.usable(kind)]


def prepare(bench: Bench, protocol: Protocol) -> None:
    """Have the tolerances of all that is to be checked, before slots take the memory."""
    bench.measure_tolerances(_kinds_of_checks(bench, protocol))


def prepare_checks(bench: Bench, protocol: Protocol) -> None:
    """The same, and the inputs and answers of the checks of ``examine`` as far as they are kept."""
    prepare(bench, protocol)
    bench.answer_ahead(_kinds_of_checks(bench, protocol))


def _kinds_of_checks(bench: Bench, protocol: Protocol) -> list[str]:
    """Kinds of inputs of the checks of ``examine``, in their order."""
    moves = protocol.beyond and bench.usable(MOVED)
    return [*kinds_to_check(bench, protocol), *([MOVED] if moves else ())]


def examine_with_either_weights(session: WorkerSession, protocol: Protocol, demands: Demands) -> Examined:
    """Check a candidate with the weights that it made, and where those are wrong, with the reference's.

    A constructor that folds a constant into its weights is right with its own, and one that makes its parameters in
    another order, and so draws others, with the reference's. Raises CandidateFailed, the one of its own weights.
    """
    try:
        return _examine_and_profile(session, protocol, demands)
    except WrongValues as own:
        try:
            if not session.adopt_weights(timeout_s=LOAD_TIMEOUT_S):
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
    """Check a candidate that was examined on each kind of which it was shown too little, all inputs of that kind.

    For candidates that other sizes, where that costs next to nothing, did not show each kind. Raises CandidateFailed.
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
