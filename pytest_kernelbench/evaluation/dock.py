"""Where the accused stands: one worker, the questions put to it, and what its silence means."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import answers, messages
from pytest_kernelbench.evaluation.bench import Bench, Drawn
from pytest_kernelbench.evaluation.building.builds import BUILD_LIMIT_S, BuildWanted
from pytest_kernelbench.evaluation.clock.freezing import ProcessTree, StillStarting
from pytest_kernelbench.evaluation.correctness.comparison import Expected
from pytest_kernelbench.evaluation.correctness.domain import MIXED
from pytest_kernelbench.evaluation.correctness.reference import kind_at_fault
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.foreign import Memory, NotThere, Place
from pytest_kernelbench.evaluation.layouts import is_dense
from pytest_kernelbench.evaluation.racks import JudgeSlot, Objection, Rack
from pytest_kernelbench.evaluation.worker.stopwatch import Profile
from pytest_kernelbench.evaluation.workers import WorkerProcess
from pytest_kernelbench.inline.complaints import MAX_LOG, errors_first, first_error
from pytest_kernelbench.records import Outcome

QUESTION_TIMEOUT_S = 10.0
# A first call may be slow, a timed one may not.
MAY_BUILD = frozenset("load adopt_weights move_parameters run warm".split())
TIMING_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 60.0
# A library may need more for a timed call than for the first ones.
SPARE_MEMORY = 1.25
# What a worker may compute between two questions: putting its last answer away, a pool's threads going to sleep.
IDLE_CPU_SECONDS = 0.005
IDLE_CPU_SHARE = 0.3
# The same of one that is stopped. Children that have ended are accounted for in steps of 10 ms.
ASLEEP_CPU_SECONDS = 0.03
ASLEEP_CPU_SHARE = 0.05
REFRESHES = 3
BETWEEN_REFRESHES_S = 0.05
# Of sums that race, some come out right.
ASKED_AGAIN = 3
# ``Evaluation.weights``.
SEEDED, REFERENCE = "seeded", "reference"


class CandidateFailed(Exception):
    """The trial ends here, with this outcome."""

    def __init__(self, outcome: Outcome, detail: str, flags: tuple[str, ...] = (), *, quoted: bool = False) -> None:
        super().__init__(detail)
        self.outcome = outcome
        # Whether the detail holds words that the candidate chose.
        self.quoted = quoted
        # The candidate may have written it: one printable line, and of a build all lines, errors first.
        on_build = outcome is Outcome.BUILD_ERROR
        line = (first_error(detail) if on_build else None) or _shortened(" ".join(detail.split()))
        self.detail = "".join(c if c.isprintable() else "?" for c in line)
        self.log = messages.printable(errors_first(detail), MAX_LOG) if on_build else None
        self.flags = flags
        # The kind of inputs on which it failed, where it was one.
        self.draw: str | None = None

    @classmethod
    def incorrect(cls, detail: str, draw: str) -> CandidateFailed:
        """A wrong answer to inputs of a kind."""
        failure = cls(Outcome.INCORRECT, detail)
        failure.draw = draw
        return failure


class WrongValues(CandidateFailed):
    """An answer of the right structure, types and shapes has wrong values."""


def _shortened(line: str, ends: int = 250) -> str:
    """What went wrong stands first, and what a compiler or a library says of it last."""
    return line if len(line) <= 2 * ends else f"{line[:ends]} ... {line[-ends:]}"


class Dock:
    """One worker under trial. Every method raises CandidateFailed when the candidate, or its process, fails.

    Until the candidate is loaded, what fails is the harness.
    """

    def __init__(self, worker: WorkerProcess, bench: Bench, rack: Rack, *, cache: Path, watch: socket.socket) -> None:
        self._worker = worker
        self.bench = bench
        self._device = device_named(bench.device)
        self.rack = rack
        self._watch = watch
        self._attached = 0
        self._mapped: set[str] = set()
        self._ready = False
        self._loaded = False
        self._closed = False
        # Seconds for which torch's compiler was building for the candidate, as far as its process says.
        self.built_s = 0.0
        # What the worker's torch had at most, beside the slots; not known before its first call.
        self._peak_bytes: int | None = None
        self._gave_room = False
        # What torch held here when the worker was known to have room; None where it must be looked at anew.
        self._left_room_at: int | None = None
        self._tree = ProcessTree(worker.warden)
        self._memory: Memory | None = None
        # When it was stopped, and the CPU's time that it had used then; None while it may run.
        self._asleep_since: tuple[float, float] | None = None
        self._asleep_s = self._worked_asleep_s = 0.0
        question = {
            "ask": "prepare",
            "task_source": bench.source,
            "seed": bench.seed,
            "precision": bench.precision,
            "cache": str(cache),
            "architecture": self._device.architecture(),
        }
        self._send(question)

    @property
    def slots(self) -> Sequence[JudgeSlot]:
        """All that the worker has mapped."""
        return self.rack.first(self._attached)

    def close(self) -> None:
        """End the worker with all it started; once it has ended, nothing happens."""
        if not self._closed:
            self._closed = True
            self._tree.close()
            if self._memory is not None:
                self._memory.close()
            self._worker.kill()

    def spent_seconds(self) -> float:
        """CPU time of the worker so far, and of all that it started."""
        return self._worker.spent_seconds()

    def wait_until_ready(self) -> None:
        """Raises HarnessError when the worker cannot load the reference."""
        if self._ready:
            return
        self._answer("prepare", timeout_s=READY_TIMEOUT_S, doing="starting", on_error=Outcome.RUNTIME_ERROR)
        self._ready = True

    def load(self, source: str, *, timeout_s: float, weights: str = SEEDED) -> None:
        """The candidate is loaded, with the weights of its own constructor or (``REFERENCE``) with the reference's."""
        self.wait_until_ready()
        self._loaded = True
        question = {"ask": "load", "candidate_source": source, "weights": weights}
        self._ask(question, timeout_s=timeout_s, doing="loading", on_error=Outcome.BUILD_ERROR)

    def adopt_weights(self, *, timeout_s: float) -> bool:
        """Have a new instance of the candidate with the reference's weights.

        Returns whether there is one that differs: the states must have the same names and shapes, and other values.
        """
        answer = self._ask({"ask": "adopt_weights"}, timeout_s=timeout_s, doing="loading")
        return bool(answer.adopted)

    def have_slots(self, count: int) -> list[JudgeSlot]:
        """``count`` slots that both sides have mapped; those that are not there yet are made."""
        slots = self.rack.first(count)
        made = slots[self._attached :]
        if not made:
            return slots
        self._left_room_at = None
        new = [memory for memory in self.rack.memories(made) if memory.name not in self._mapped]
        question = {"ask": "attach", **self.rack.describe(made, new)}
        descriptors = [memory.descriptor for memory in new if memory.descriptor is not None]
        self._ask(question, descriptors, doing="attaching")
        self._mapped.update(memory.name for memory in new)
        self._attached = count
        return slots

    def move_parameters(self, away: bool) -> bool:
        """Move the candidate's parameters and buffers away from their initial values, or back.

        Returns False where its state has not the names and shapes of the reference's.
        """
        answer = self._ask({"ask": "move_parameters", "away": away}, doing="taking other parameters")
        return bool(answer.moved)

    def check(self, slot: JudgeSlot, number: int, kind: str) -> float:
        """One untimed call on inputs of its own, compared with the answers; returns the seconds it took."""
        try:
            return self._checked(slot, number, kind)
        except CandidateFailed as failure:
            failure.draw = failure.draw or kind
            raise

    def _checked(self, slot: JudgeSlot, number: int, kind: str) -> float:
        check = self.bench.check(number, kind)
        answer, left, seconds = self.called(slot, check.values, f"running on {kind} inputs")
        self.give_room()
        due = self.bench.answers_to(check)
        objection = slot.objection(left, check.values, due)
        part = kind_at_fault(self.bench.reference, left, due) if objection and kind == MIXED else None
        if part is not None:
            raise WrongValues.incorrect(f"{part.kind} inputs (a part of mixed ones): {part.objection}", part.kind)
        if objection is not None:
            raise WrongValues(Outcome.INCORRECT, f"{kind} inputs: {objection.detail}")
        self._must_match(answer.mismatch)
        return seconds

    def called(
        self, slot: JudgeSlot, values: Sequence[torch.Tensor], doing: str
    ) -> tuple[answers.Ran, list[torch.Tensor], float]:
        """What the worker says of an untimed call on ``values``, what the call leaves, and the seconds it took.

        Raises CandidateFailed where its result has another structure than the reference's.
        """
        slot.fill(values)
        slot.poison()
        self._device.settle()
        answer, seconds = self._ask_by_the_clock(
            {"ask": "run", "slot": slot.number}, doing=doing, timeout_s=QUESTION_TIMEOUT_S
        )
        # Copied at once: what arrives after the answer was due does not count.
        left = slot.left()
        if not answer.delivered:
            self._must_match(answer.mismatch)
        # What the worker says it took; one that says too little fails for lack of memory.
        if self._peak_bytes is None or answer.peak_bytes > self._peak_bytes:
            self._peak_bytes, self._left_room_at = answer.peak_bytes, None
        return answer, left, seconds

    def refresh(self, slots: Sequence[JudgeSlot]) -> dict[int, Drawn]:
        """Inputs that are new into each slot; returns them by slot number."""
        if self._gave_room:
            # Allocating anew is not to be timed; and not with the new inputs, or their answer were known before.
            self.warm(slots[0], slots[-1], times=1)
        for attempt in range(1, REFRESHES + 1):
            drawn = {slot.number: self.bench.refreshed() for slot in slots}
            try:
                # The worker sees inputs as they are written; what it computes before it is asked, no clock would see.
                with self.idle():
                    for slot in slots:
                        slot.refresh(drawn[slot.number])
                    self._device.settle()
                break
            except CandidateFailed:
                if attempt == REFRESHES:
                    raise
                # A process has things of its own to do, and other inputs take from it what it computed on these.
                time.sleep(BETWEEN_REFRESHES_S)
        return drawn

    @contextmanager
    def idle(self) -> Iterator[None]:
        """A time in which nothing is asked of the worker, so that it must not compute."""
        started, cpu_before = time.perf_counter(), self._worker.cpu_seconds()
        yield
        worked = self._worker.cpu_seconds() - cpu_before
        if worked > IDLE_CPU_SECONDS + IDLE_CPU_SHARE * (time.perf_counter() - started):
            raise CandidateFailed(
                Outcome.VOID,
                f"computed for {worked * 1e3:.4g} ms while nothing was asked of it",
                ("works_unasked",),
            )

    def check_timed(self, slots: Sequence[JudgeSlot], drawn: Mapping[int, Drawn]) -> None:
        """Compare what timed calls left in ``slots`` with the answers. Raises CandidateFailed where it is wrong."""
        # Copied at once: what arrives after the clock has stopped does not count.
        left = [slot.left() for slot in slots]
        self._check_left(slots, drawn, left)

    def check_outputs(
        self, slots: Sequence[JudgeSlot], outputs: Sequence[Sequence[torch.Tensor]], drawn: Mapping[int, Drawn]
    ) -> None:
        """As ``check_timed``, of ``outputs`` that the worker has kept."""
        left = [[*own, *slot.inputs_left()] for slot, own in zip(slots, outputs, strict=True)]
        self._check_left(slots, drawn, left)

    def check_inputs(self, slots: Sequence[JudgeSlot], drawn: Mapping[int, Drawn]) -> None:
        """Raises CandidateFailed where inputs are no longer those that were ``drawn``."""
        for slot in slots:
            changed = slot.changed(drawn[slot.number].values())
            if changed is not None:
                raise CandidateFailed(Outcome.VOID, changed.detail, (changed.flag,))

    def _check_left(
        self, slots: Sequence[JudgeSlot], drawn: Mapping[int, Drawn], left: Sequence[Sequence[torch.Tensor]]
    ) -> None:
        if slots:
            self.give_room()
        for slot, found in zip(slots, left, strict=True):
            values = drawn[slot.number].values()
            answers = self.bench.answers(values)
            objection = slot.changed(values)
            # Drawn at random in each call, the answers of timed ones are not known.
            if objection is None and not self.bench.reference.is_random:
                objection = slot.wrong(found, values, answers)
            if objection is not None:
                raise self._asked_again(slot, values, answers, objection)

    def _asked_again(
        self,
        slot: JudgeSlot,
        values: Sequence[torch.Tensor],
        answers: Sequence[Expected],
        timed: Objection,
    ) -> CandidateFailed:
        """Whether a candidate that was wrong in a timed call is wrong or cheats.

        The same inputs in the same memory are given to it untimed. Wrong there too, it is incorrect: it does not write
        all elements, reads an old address, is not precise enough for these values, or is now right and now wrong. Right
        each time, it tells timed calls from others.
        """
        for _ in range(ASKED_AGAIN):
            _, left, _ = self.called(slot, values, "running again on the inputs of a timed call")
            untimed = slot.objection(left, values, answers)
            if untimed is not None:
                detail = f"a timed call, and untimed on the same inputs: {untimed.detail}"
                return WrongValues(Outcome.INCORRECT, detail)
        return CandidateFailed(Outcome.VOID, f"a timed call, but no untimed one: {timed.detail}", (timed.flag,))

    def give_room(self) -> None:
        """Have the worker give back the device memory that its torch keeps, where the judge would lack it."""
        if self._device.obtainable_bytes() < self.bench.bytes_to_answer:
            self.leave_room()
            self._gave_room, self._left_room_at = True, None

    def leave_room(self) -> None:
        """Have the worker give back the device memory that its torch keeps."""
        self._ask({"ask": "leave_room"}, doing="giving back memory")

    def warm(self, reference: JudgeSlot, candidate: JudgeSlot, *, times: int) -> None:
        question = {
            "ask": "warm",
            "reference_slot": reference.number,
            "candidate_slot": candidate.number,
            "times": times,
        }
        self._ask(question, doing="warming up")
        self._gave_room = False

    def pairs(self, pairs: Sequence[tuple[JudgeSlot, JudgeSlot, bool]]) -> dict[str, list[float]]:
        """Milliseconds of both sides, as the worker tells, of ``(reference slot, candidate slot, candidate first)``."""
        numbers = [(reference.number, candidate.number, first) for reference, candidate, first in pairs]
        question = {"ask": "pairs", "pairs": numbers}
        answer, seconds = self._ask_by_the_clock(question, doing="being timed", timeout_s=TIMING_TIMEOUT_S)
        self._must_match(answer.mismatch)
        sides = ("reference_ms", "candidate_ms")
        block = {side: self._exactly(getattr(answer, side), len(pairs), side) for side in sides}
        if sum(map(sum, block.values())) > seconds * 1e3:
            raise self._forged(f"durations that add up to more than the {seconds * 1e3:.4g} ms that passed")
        return block

    def series(self, slots: Sequence[JudgeSlot], side: str) -> list[float]:
        """Milliseconds of one side alone, one call for each slot."""
        question = {"ask": "series", "slots": [slot.number for slot in slots], "side": side}
        answer = self._ask(question, doing="being timed", timeout_s=TIMING_TIMEOUT_S)
        return self._exactly(answer.ms, len(slots), "ms")

    def calls(self, slots: Sequence[JudgeSlot]) -> tuple[float, list[list[Place]]] | None:
        """Have a frozen worker run once on each slot; it is frozen again at its answer.

        Returns the seconds by this process's clock, and for each slot where the outputs are. The clock stops when the
        worker cannot go on, and on a GPU when nothing runs there any more. None: a call returned memory that an earlier
        one had returned; from now on the worker copies each output, and is to be asked again. Raises DeviceBusy.
        """
        answer, seconds = self._timed_and_frozen({"ask": "calls", "slots": [slot.number for slot in slots]})
        self._must_match(answer.mismatch)
        if answer.reused:
            return None
        outputs, strides = self.bench.example_outputs, list(answer.strides)
        if not len(answer.at) == len(answer.handles) == len(outputs) * len(slots):
            raise self._forged(f"calls: at: {len(outputs) * len(slots)} were due")
        if len(strides) != len(slots) * sum(output.dim() for output in outputs):
            raise self._forged("calls: strides: another number was due")
        told, places = zip(answer.at, answer.handles, strict=True), []
        for _ in slots:
            places.append([])
            for output, (at, handle) in zip(outputs, told, strict=False):
                own = tuple(strides.pop(0) for _ in range(output.dim()))
                if not is_dense(output.shape, own):
                    raise self._forged("calls: strides: not of a tensor with an element for each number")
                places[-1].append(Place(at, own, handle))
        return seconds, places

    def read(self, places: Sequence[Place]) -> list[torch.Tensor]:
        """Copies of the outputs of one call, where the frozen worker has them. Raises CannotRead."""
        if self._memory is None:
            self._memory = self._device.memory_of(self._worker.process)
        try:
            return [
                self._memory.tensor(each, like) for each, like in zip(places, self.bench.example_outputs, strict=True)
            ]
        except NotThere as missing:
            raise self._forged(f"an output where none is: {missing}") from None

    def _timed_and_frozen(self, question: dict[str, Any]) -> tuple[Any, float]:
        self._leave_room()
        started = time.perf_counter()
        # It finds the question when it wakes: nothing is gained in between.
        self._send(question)
        self.thaw()
        answer = self._answer(
            question["ask"], timeout_s=TIMING_TIMEOUT_S, doing="being timed", on_error=Outcome.RUNTIME_ERROR
        )
        self._tree.stop()
        self._device.wait_until_idle()
        seconds = time.perf_counter() - started
        self.freeze()
        return answer, seconds

    def freeze(self) -> None:
        """Stop the worker and all it started until ``thaw``; a question wakes it for as long as it answers."""
        try:
            self._tree.stop_all()
        except StillStarting as still:
            raise CandidateFailed(
                Outcome.VOID, f"starts processes while nothing is asked of it: {still}", ("works_unasked",)
            ) from None
        self._asleep_since = time.perf_counter(), self.spent_seconds()

    def thaw(self) -> None:
        """Let the worker go on. Raises CandidateFailed where it has computed although it was stopped."""
        if self._asleep_since is None:
            return
        since, spent_before = self._asleep_since
        self._asleep_since = None
        self._worked_asleep_s += self.spent_seconds() - spent_before
        self._asleep_s += time.perf_counter() - since
        if self._worked_asleep_s > ASLEEP_CPU_SECONDS + ASLEEP_CPU_SHARE * self._asleep_s:
            raise CandidateFailed(
                Outcome.VOID,
                f"computed for {self._worked_asleep_s * 1e3:.4g} ms while it was stopped",
                ("works_unasked",),
            )
        self._tree.go_on()

    def profile(self, slot: JudgeSlot) -> Profile:
        """What torch's profiler records of one call, as the worker tells."""
        answer = self._ask({"ask": "profile", "slot": slot.number}, doing="being profiled", timeout_s=TIMING_TIMEOUT_S)
        self._must_match(answer.mismatch)
        busy_ms = answer.busy_ms[0] if answer.busy_ms else None
        return Profile(busy_ms, list(answer.operators), list(answer.kernels))

    def _ask(
        self,
        question: dict[str, Any],
        descriptors: Sequence[int] = (),
        *,
        doing: str,
        timeout_s: float | None = None,
        on_error: Outcome = Outcome.RUNTIME_ERROR,
    ) -> Any:
        self._leave_room()
        timeout_s = QUESTION_TIMEOUT_S if timeout_s is None else timeout_s
        return self._put(question, descriptors, doing=doing, timeout_s=timeout_s, on_error=on_error)

    def _ask_by_the_clock(self, question: dict[str, Any], *, doing: str, timeout_s: float) -> tuple[Any, float]:
        """An answer, and the seconds that it took, without the judge's own tidying and without builds."""
        self._leave_room()
        started, built_s = time.perf_counter(), self.built_s
        answer = self._put(question, (), doing=doing, timeout_s=timeout_s, on_error=Outcome.RUNTIME_ERROR)
        return answer, time.perf_counter() - started - (self.built_s - built_s)

    def _put(
        self, question: dict[str, Any], descriptors: Sequence[int], *, doing: str, timeout_s: float, on_error: Outcome
    ) -> Any:
        asleep = self._asleep_since is not None
        self._send(question, descriptors)
        self.thaw()
        answer = self._answer(question["ask"], timeout_s=timeout_s, doing=doing, on_error=on_error)
        if asleep:
            self.freeze()
        return answer

    def _send(self, question: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        # A worker that is gone, or does not read, cannot be written to; what it left to read says how it ended.
        with suppress(messages.ConnectionEnded, messages.DeadlinePassed):
            messages.send(self._worker.connection, question, descriptors, timeout_s=messages.SEND_TIMEOUT_S)

    def _answer(self, ask: str, *, timeout_s: float, doing: str, on_error: Outcome) -> Any:
        """The worker's answer to ``ask``: see ``answers``. Until the candidate is loaded, what fails is the harness."""
        try:
            return self._answer_of_candidate(ask, timeout_s=timeout_s, doing=doing, on_error=on_error)
        except CandidateFailed as failure:
            if self._loaded:
                raise
            raise HarnessError(
                f"{self.bench.task_id}: a worker on {self.bench.device} fails while {doing} ({failure.detail}); "
                "check the task file, and that the device has memory left"
            ) from None

    def _received(self, ask: str, timeout_s: float) -> tuple[Any, list[int]]:
        """The answer that is not about building; what torch's compiler builds has a limit of its own in untimed calls.

        Raises what ``answers.receive`` raises.
        """
        deadline, building_since = time.monotonic() + timeout_s, None
        while True:
            now = time.monotonic()
            left_s = deadline - now
            if building_since is not None:
                left_s = BUILD_LIMIT_S - self.built_s - (now - building_since)
            if left_s <= 0:
                raise messages.DeadlinePassed
            answer, files = answers.receive(self._worker.connection, ask, timeout_s=left_s, watch=self._watch)
            now = time.monotonic()
            ends = not (isinstance(answer, answers.Building) and answer.building)
            if building_since is not None and ends:
                self.built_s += now - building_since
                deadline += now - building_since
                building_since = None
            if not isinstance(answer, answers.Building):
                return answer, files
            if answer.building and ask in MAY_BUILD:
                building_since = building_since or now

    def _answer_of_candidate(self, ask: str, *, timeout_s: float, doing: str, on_error: Outcome) -> Any:
        try:
            answer, unasked = self._received(ask, timeout_s)
        except messages.DeadlinePassed:
            raise CandidateFailed(Outcome.TIMEOUT, f"no answer within {timeout_s:.0f} s while {doing}") from None
        except messages.MalformedFrame as error:
            raise self._forged(str(error)) from None
        except messages.ConnectionEnded:
            if messages.is_readable(self._watch):
                raise
            raise CandidateFailed(on_error, f"{self._how_it_ended()} while {doing}") from None
        assert not unasked
        if isinstance(answer, answers.Wanted):
            raise BuildWanted(answer.wanted)
        if isinstance(answer, answers.Raised):
            raise CandidateFailed(on_error, answer.raised, quoted=True)
        return answer

    def _exactly(self, values: tuple[float, ...], count: int, name: str) -> list[float]:
        try:
            return answers.exactly(values, count, name)
        except messages.MalformedFrame as error:
            raise self._forged(str(error)) from None

    def _leave_room(self) -> None:
        """Give back what this process keeps where the worker would lack it; looked at only when it holds more."""
        held_bytes = self._device.held_bytes()
        if self._left_room_at is None or held_bytes > self._left_room_at:
            self._device.leave_room(self._missing_bytes)
            self._left_room_at = self._device.held_bytes()

    @property
    def _missing_bytes(self) -> int | None:
        """What the worker may still take; None where nobody knows."""
        if self._peak_bytes is None:
            return None
        return round((SPARE_MEMORY if self._gave_room else SPARE_MEMORY - 1) * self._peak_bytes)

    def _must_match(self, mismatch: str | None) -> None:
        if mismatch is not None:
            due = self.bench.reference.result
            raise CandidateFailed(Outcome.INCORRECT, f"returns {mismatch[:200]} where {due} is due", quoted=True)

    def _how_it_ended(self) -> str:
        code = self._worker.wait(timeout_s=2.0)
        if code is None:
            return "the process went silent"
        if code < 0:
            # Real-time signals have numbers only.
            named = {int(known): known.name for known in signal.Signals}
            return f"the process was ended by {named.get(-code, f'signal {-code}')}"
        return f"the process exited with status {code}"

    @staticmethod
    def _forged(what: str) -> CandidateFailed:
        return CandidateFailed(Outcome.VOID, f"an answer that the harness does not give: {what}", ("forged_answer",))
