"""Turns of two workers by the judge's clock, of which only one can run: what ``attestation`` measures with.

One turn: both workers are stopped; the judge writes new inputs into the slots; one worker goes on, calls its kernel
once on each slot, keeps the outputs and answers with their addresses; at that answer it is stopped with everything it
started, and the clock stops. The judge reads some of the outputs in the worker's own memory (``foreign``). So nothing
can be computed before the inputs are there, and nothing after the clock has stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from random import Random, SystemRandom
from typing import NamedTuple

import torch

from pytest_kernelbench.evaluation.bench import Drawn
from pytest_kernelbench.evaluation.clock.attestation import Side
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.foreign import Place
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot, refresh
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.records import Outcome

# The answer of a turn's last call is always checked, since that call may still run when the worker answers, and so many
# of the others: to gain anything that counts, a candidate must skip one call in three.
CHECKED_AT_RANDOM = 1
# A wrong control means that an escaped process of the candidate has changed its inputs. The inputs are compared after
# every turn; the answers, each of which takes the judge a call, in this share of turns. A candidate that changes inputs
# and restores them, in half of the turns of two series of eleven, escapes once in 2,000.
CONTROL_CHECKED = 0.5
# How many turns of one call follow each other in a row, and the answers of how many are checked. To gain there, a
# candidate must skip half of the calls, which is found in two rows of three. Turns of a row are alike: with rows of
# twelve, the first look at recorded claims was off in 0.9 % where it was in 0.3 % with rows of six (H200).
LONE_TURNS, LONE_TURNS_CHECKED = 6, 2
# Outputs of turns may take this share of a device's memory until they are compared, once others may use the device:
# comparing them at once was 38 % of the time of turns (15 tasks of level 1, H200), in which other trials waited.
SHARE_UNCHECKED = 0.02

_random = SystemRandom()


class _LookedAt(NamedTuple):
    """A slot's inputs after a call, copies of what the call left (None: not to be checked), and the inputs due."""

    side: Side
    slot: JudgeSlot
    given: Sequence[torch.Tensor]
    left: Sequence[torch.Tensor] | None
    drawn: Drawn

    @property
    def n_bytes(self) -> int:
        """Memory of the copies, if the inputs are copies too."""
        return bytes_of(self.given) + bytes_of(self.left or ())


class TakingTurns:
    """Two workers with their slots, stopped; see ``attestation.TwoProcesses``.

    Inputs and outputs of some calls are copied after each turn. They are compared with what is due by
    ``check_outputs``, or before that when they take more than ``most_unchecked`` bytes (0: at once).
    """

    def __init__(
        self, candidate: WorkerSession, control: WorkerSession, calls: int, *, most_unchecked: float = 0
    ) -> None:
        self._sessions: dict[Side, WorkerSession] = {"candidate": candidate, "control": control}
        self.calls = calls
        self._most_unchecked = most_unchecked
        self._unchecked: list[_LookedAt] = []

    def turn(self, side: Side) -> float:
        """Seconds of one turn. Raises CandidateFailed, ControlFailed, DeviceBusy, CannotRead."""
        with self._errors_of(side):
            seconds = self._turn(side)
        self._check_many()
        return seconds

    def lone_turns(self, side: Side) -> list[float]:
        """Seconds of some turns of one call in a row; answers are looked at after the last. Raises as ``turn`` does."""
        with self._errors_of(side):
            seconds = self._lone_turns(side)
        self._check_many()
        return seconds

    def check_outputs(self) -> None:
        """Compare the copies that were not compared yet. Raises CandidateFailed or ControlFailed if one is wrong."""
        while self._unchecked:
            call = self._unchecked.pop(0)
            with self._errors_of(call.side):
                self._check(call)

    def _check_many(self) -> None:
        """Compare copies if they take much memory."""
        if sum(each.n_bytes for each in self._unchecked) > self._most_unchecked:
            self.check_outputs()

    def _check(self, call: _LookedAt) -> None:
        session = self._sessions[call.side]
        session.make_room_for_judge()
        values = session.check_inputs(call.slot, call.drawn, call.given)
        if call.left is not None:
            session.check_left(call.slot, call.left, values)

    def _errors_of(self, side: Side) -> AbstractContextManager[None]:
        return nullcontext() if side == "candidate" else of_control()

    def empty_turn(self) -> float:
        """Seconds of a turn of the control without calls."""
        with of_control():
            done = self._sessions["control"].calls([])
        assert done is not None
        return done[0]

    def _turn(self, side: Side) -> float:
        session = self._sessions[side]
        # The system's generator alone would take 0.2 ms for 256 slots, six times as long.
        order = Random(_random.getrandbits(128)).sample(range(self.calls), self.calls)
        asked = self._asked(session, [session.slots[number] for number in order])
        looked_at = sorted({self.calls - 1, *_random.sample(range(self.calls), CHECKED_AT_RANDOM)})
        is_tried = session is self._sessions["candidate"]
        copied = is_tried or _random.random() <= CONTROL_CHECKED
        # All at once: the worker may be asked to free memory, and would go on for that.
        copies = [asked.copied(session, number) if copied else None for number in looked_at]
        for number, left in zip(looked_at, copies, strict=True):
            self._look_at(side, asked, number, left)
        return asked.seconds

    def _lone_turns(self, side: Side) -> list[float]:
        session = self._sessions[side]
        slots = _random.sample(list(session.slots[: self.calls]), min(LONE_TURNS, self.calls))
        looked_at = _random.sample(slots, min(LONE_TURNS_CHECKED, len(slots)))
        seconds, copies = [], []
        for slot in slots:
            asked = self._asked(session, [slot])
            seconds.append(asked.seconds)
            if slot in looked_at:
                # Now: the worker's next call frees the output. The slot's inputs stay.
                copies.append((asked, asked.copied(session, 0)))
        for asked, left in copies:
            self._look_at(side, asked, 0, left)
        return seconds

    def _look_at(self, side: Side, asked: _Asked, number: int, left: Sequence[torch.Tensor] | None) -> None:
        """Check, now or later, that a call did not change its inputs, and that its outputs are right.

        ``left``: copies of what it left; None if its outputs are not to be checked.
        """
        slot = asked.slots[number]
        call = _LookedAt(side, slot, slot.given(), left, asked.drawn[slot.number])
        if bytes_of(call.given) <= self._most_unchecked:
            self._unchecked.append(call._replace(given=[each.clone() for each in call.given]))
        else:
            self._check(call)

    @staticmethod
    def _asked(session: WorkerSession, slots: Sequence[JudgeSlot]) -> _Asked:
        session.take_memory_again(slots)
        for _ in range(2):
            drawn = refresh(slots, session.bench)
            device_named(session.bench.device).settle()
            done = session.calls(slots)
            if done is not None:
                return _Asked(slots, drawn, *done)
        raise CandidateFailed(Outcome.VOID, "returns memory of an earlier output as a copy", ("forged_answer",))


class _Asked(NamedTuple):
    """One turn: its slots, what was written to them, its seconds, and where the worker has the outputs of each slot."""

    slots: Sequence[JudgeSlot]
    drawn: dict[int, Drawn]
    seconds: float
    places: list[list[Place]]

    def copied(self, session: WorkerSession, number: int) -> list[torch.Tensor]:
        """What call ``number`` left: its outputs, read in the worker's memory, and the inputs that it writes to."""
        return [*session.read(self.places[number]), *self.slots[number].inputs_left()]


def most_unchecked(device: str) -> float:
    """Bytes of outputs that may wait to be compared; 0 where no other trial may use the device meanwhile."""
    return SHARE_UNCHECKED * device_named(device).memory_bytes() if traits_of(device).trials_beside_others else 0


class ControlFailed(Exception):
    """The reference, or the kernel that a candidate is to replace, failed in a worker of its own."""


@contextmanager
def of_control() -> Iterator[None]:
    """Marks errors of the control, as opposed to errors of the candidate."""
    try:
        yield
    except CandidateFailed as failure:
        raise ControlFailed(str(failure)) from failure
