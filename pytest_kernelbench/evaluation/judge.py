"""The judge: draws inputs, knows the answers, keeps the clock. It never imports candidate code.

One trial, cheapest step first, each of which ends a hopeless candidate:

    source -> build -> load -> correctness -> timing -> plausibility -> Evaluation
"""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import as_completed, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from statistics import median
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import builds, devices, lock, messages
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.dock import CandidateFailed, Dock, JudgeSlot, Rack
from pytest_kernelbench.evaluation.head_to_head import Comparison, compare
from pytest_kernelbench.evaluation.plausibility import (
    CLOCKS_AGREE_WITHIN,
    Suspicion,
    beyond_physics,
    clock_disagreement,
    hidden_work,
    late_work,
    slowed_reference,
    unseen_saving,
)
from pytest_kernelbench.evaluation.protocols import PROTOCOLS, Protocol
from pytest_kernelbench.evaluation.sandbox import Isolation
from pytest_kernelbench.evaluation.service import WorkerServer
from pytest_kernelbench.evaluation.timing import Timing, enough, paired_timing, sequential_timing
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

# Enough for load_inline, which compiles 40 s of torch headers.
LOAD_TIMEOUT_S = 180.0
PAIRS_PER_BLOCK = 6
SECONDS_PER_BLOCK = 5.0
# To pass for fast, nearly all calls must be skipped: two checks of six find that in every block.
CHECKED_PER_BLOCK = 2
SHARE_OF_MEMORY_TO_BLAME = 0.1
# The shortest counts, and a busy machine lengthens most.
SWEEPS = 10
# Allocating, viewing and copying an answer is not computing it.
OPERATORS_OF_NO_KERNEL = frozenset(
    f"aten.{name}"
    for name in "empty empty_like empty_strided new_empty zeros zeros_like new_zeros full full_like view _unsafe_view "
    "reshape as_strided t transpose permute squeeze unsqueeze expand slice select detach alias contiguous clone "
    "_reshape_alias fill_ zero_ unflatten flatten split narrow lift_fresh copy_ to _to_copy resolve_conj resolve_neg "
    "result_type numel size stride is_contiguous item _local_scalar_dense".split()
)
# torch's own kernels, and those of the libraries that it calls; CUTLASS's templates may be a candidate's own.
KERNEL_OF_A_LIBRARY = re.compile(
    r"at::native::(?!.*(?:Fill|copy))|cublas|cudnn|xmma|nvjet|cutlass_\d+_|(ampere|volta|turing)_\w*gemm"
)


# The operating system's own: a candidate must not foresee which of its calls are looked at.
random = SystemRandom()


def serve(owner: socket.socket, workers: WorkerServer, *, device: str, isolation: Isolation) -> None:
    """Answer the owner's requests until its socket ends."""
    hardware, clocks = devices.describe(device), devices.clocks(device)

    def answer(request: dict[str, Any]) -> None:
        with closing(
            Trials(request, owner, workers, device=device, hardware_id=hardware["id"], clocks=clocks)
        ) as trials:
            if "max_slowdown" in request:
                messages.send(owner, {"comparison": trials.comparison(request["max_slowdown"]).to_json()})
                return
            for evaluation in trials.evaluations():
                messages.send(owner, {"evaluation": evaluation.to_json(), "clocks": clocks.summary()})

    try:
        messages.send(owner, {"hardware": hardware, "isolation": isolation.describe()})
        while True:
            request, _ = messages.receive(owner)
            try:
                answer(request)
            except (HarnessError, torch.OutOfMemoryError) as error:
                messages.send(owner, {"fault": " ".join(str(error).split())})
            devices.leave_room(device)
    except messages.ConnectionEnded:
        return


@dataclass(frozen=True, slots=True)
class Control:
    """What one call of the reference takes at most when nobody interferes, and what the harness does around a call.

    The same reference takes up to twice as long beside a neighbour that leaves it nothing in a CPU's caches.
    """

    reference_ms: float
    around_call_ms: float
    around_pair_ms: float
    busy_ms: float | None

    @classmethod
    def measured(
        cls,
        warm: Sequence[tuple[dict[str, list[float]], float]],
        cold: Sequence[tuple[dict[str, list[float]], float]],
        wall_ms: float,
        busy_ms: float | None,
    ) -> Control:
        """From blocks of pairs, the wall time of a call and its surroundings, and the profiler's record of a call."""
        warm_ms, cold_ms = (
            median(ms for block, _ in blocks for ms in block["reference_ms"] + block["candidate_ms"])
            for blocks in (warm, cold)
        )
        return cls(
            reference_ms=max(warm_ms, cold_ms),
            around_call_ms=max(0.0, wall_ms - warm_ms),
            around_pair_ms=median(around_ms for _, around_ms in warm),
            busy_ms=busy_ms,
        )


class Trials:
    """The trials of several candidates for one task."""

    def __init__(
        self,
        request: dict[str, Any],
        owner: socket.socket,
        workers: WorkerServer,
        *,
        device: str,
        hardware_id: str,
        clocks: devices.Clocks,
    ) -> None:
        self._owner = owner
        self._workers = workers
        self._device = device
        self._hardware_id = hardware_id
        self._clocks = clocks
        self._sources: list[str] = request["sources"]
        self._protocol: Protocol = PROTOCOLS[request["protocol"]]
        self._torch_forbidden = request["torch_operators"] == "forbidden"
        self._margin = self._protocol.margin(device)
        self._cache = Path(request["cache"])
        self._bench = Bench(request["task"], request["source"], seed=request["seed"], device=device)
        self._held_by_others = devices.bytes_of_others(device)
        self._rack = Rack(self._bench)
        self._control_rack = Rack(self._bench)
        self._known_control: Control | None = None
        self._spare: Dock | None = None

    def close(self) -> None:
        """End the worker that waits for a candidate, and free the memory of all slots."""
        if self._spare is not None:
            self._spare.close()
        self._rack.close()
        self._control_rack.close()

    def _build_ahead(self) -> builds.BuildAhead:
        return builds.BuildAhead(
            self._cache,
            devices.cores(),
            device=self._device,
            fork_builder=partial(self._workers.fork, builder=True),
        )

    def evaluations(self) -> Iterator[Evaluation]:
        """One for each source, as each is ready: what is built first is judged first."""
        with self._build_ahead() as ahead:
            built = dict(zip(ahead.start(self._sources), self._sources, strict=True))
            if self._device == "cpu":
                with lock.exclusive(self._hardware_id):
                    # Compilers would be timed along with the candidates.
                    wait(built)
            for number, build in enumerate(built if self._device == "cpu" else as_completed(built), start=1):
                yield self._evaluate(built[build], build.result(), more=number < len(built))

    def comparison(self, max_slowdown: float) -> Comparison:
        """The second source against the first, a kernel that is to be no slower."""
        baseline, current = self._sources
        with self._build_ahead() as ahead:
            wait(built := ahead.start(self._sources))
        for whose, build in zip(("the baseline", "the kernel"), built, strict=True):
            if (complaint := build.result()) is not None:
                return Comparison(detail=f"{whose} does not build: {complaint}")
        try:
            with lock.exclusive(self._hardware_id):
                return compare(self._rounds, baseline, current, max_slowdown)
        except CandidateFailed as failure:
            return Comparison(detail=f"one of the two fails beside the other: {failure.detail}")

    def _rounds(self, first: str, second: str) -> Generator[dict[str, list[float]], None, None]:
        """Blocks of pairs of two kernels, in a process of their own, for as long as they are asked for."""
        with closing(self._summon()) as dock:
            dock.load(second, timeout_s=LOAD_TIMEOUT_S)
            dock.load_baseline(first, timeout_s=LOAD_TIMEOUT_S)
            self._check(dock)
            slots = self._slots_to_time(dock, self._seconds_per_call)
            while True:
                yield self._block(dock, slots)[0]

    def _summon(self) -> Dock:
        return Dock(self._workers.fork(), self._bench, self._rack, cache=self._cache, watch=self._owner)

    def _evaluate(self, source: str, build_complaint: str | None, *, more: bool) -> Evaluation:
        """One trial; with ``more`` to come, the next worker makes itself ready while this one is checked."""
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        try:
            if build_complaint is not None:
                raise CandidateFailed(Outcome.BUILD_ERROR, build_complaint)
            with lock.exclusive(self._hardware_id):
                with stage(seconds, "load"):
                    dock, self._spare = self._spare or self._summon(), None
                try:
                    with stage(seconds, "load"):
                        dock.wait_until_ready()
                        self._spare = self._summon() if more else None
                        dock.load(source, timeout_s=LOAD_TIMEOUT_S)
                    with stage(seconds, "check"):
                        self._check(dock)
                    with stage(seconds, "load"):
                        # From now on, nobody else may use the device.
                        self._settle_spare()
                    with stage(seconds, "time"):
                        timing = self._time(dock)
                        self._clocks.read()
                    with stage(seconds, "verify"):
                        suspicion = self._suspicion(dock, timing)
                        if suspicion is not None and self._protocol.sequential_trials is None:
                            timing, suspicion = self._retrial(dock)
                except torch.OutOfMemoryError as error:
                    raise self._out_of_memory(error) from None
                finally:
                    dock.close()
        except CandidateFailed as failure:
            seconds["total"] = time.perf_counter() - started
            return Evaluation(
                source_sha256=sha256_of(source),
                outcome=failure.outcome,
                detail=failure.detail,
                flags=failure.flags,
                seconds=_rounded(seconds),
            )
        seconds["total"] = time.perf_counter() - started
        if suspicion is not None:
            return Evaluation(
                source_sha256=sha256_of(source),
                outcome=Outcome.VOID,
                detail=suspicion.evidence,
                flags=(suspicion.flag,),
                reference_ms=timing.reference_ms,
                candidate_ms=timing.candidate_ms,
                floor_ms=self._bench.floor_ms,
                pairs=timing.pairs,
                seconds=_rounded(seconds),
            )
        return Evaluation(
            source_sha256=sha256_of(source),
            outcome=Outcome.CORRECT,
            reference_ms=timing.reference_ms,
            candidate_ms=timing.candidate_ms,
            floor_ms=self._bench.floor_ms,
            speedup=timing.speedup,
            speedup_low=timing.speedup_low,
            speedup_high=timing.speedup_high,
            pairs=timing.pairs,
            candidate_times_ms=tuple(float(f"{ms:.6g}") for ms in timing.candidate_times_ms),
            seconds=_rounded(seconds),
        )

    def _settle_spare(self) -> None:
        """Wait until the next worker is ready; where this candidate leaves it no memory, it is summoned again later."""
        if self._spare is not None:
            try:
                self._spare.wait_until_ready()
            except HarnessError:
                self._spare.close()
                self._spare = None

    def _out_of_memory(self, error: torch.OutOfMemoryError) -> Exception:
        """Who took the memory that the judge lacks: the candidate on trial, or somebody else?"""
        held = devices.bytes_of_others(self._device) - self._rack.n_bytes - self._control_rack.n_bytes
        if held - self._held_by_others > SHARE_OF_MEMORY_TO_BLAME * devices.memory_bytes(self._device):
            return CandidateFailed(Outcome.RUNTIME_ERROR, "leaves the device no memory to check its answers in")
        return HarnessError(
            f"{self._bench.task_id}: the device has no memory left ({error}); end what else runs on it and run again"
        )

    def _check(self, dock: Dock) -> None:
        slot = dock.make_slots(1)[0]
        # A logarithm is not defined on every signed input; the task's own draw always is usable.
        kinds = [kind for kind in self._protocol.draws if self._bench.usable(kind)] or ["task"]
        for number, kind in enumerate(kinds):
            self._seconds_per_call = dock.check(slot, number, kind)
        if self._torch_forbidden:
            profile = dock.profile(slot)
            used = [name for name in profile.operators if name not in OPERATORS_OF_NO_KERNEL]
            used += [name for name in profile.kernels if KERNEL_OF_A_LIBRARY.search(name)]
            if used:
                raise CandidateFailed(
                    Outcome.VOID,
                    f"calls {', '.join(used)[:200]}, which this strategy forbids",
                    ("torch_operators",),
                )

    def _time(self, dock: Dock, between: Callable[[], None] = lambda: None) -> Timing:
        """Pairs in blocks, ``between`` after each, until more could not change what is said."""
        if self._protocol.sequential_trials is not None:
            return self._time_sequentially(dock, self._protocol.sequential_trials)
        slots = self._slots_to_time(dock, self._seconds_per_call)
        self._around_pair_ms = float("inf")
        reference_ms: list[float] = []
        candidate_ms: list[float] = []
        late_ms: dict[str, list[float]] = {"reference_late_ms": [], "candidate_late_ms": []}
        while True:
            block, around_ms = self._block(dock, slots)
            self._around_pair_ms = min(self._around_pair_ms, around_ms)
            reference_ms += block["reference_ms"]
            candidate_ms += block["candidate_ms"]
            for side, late in late_ms.items():
                late += block[side]
            between()
            timing = paired_timing(reference_ms, candidate_ms)
            if enough(timing, self._protocol, self._margin):
                break
        if (found := late_work(late_ms["candidate_late_ms"], late_ms["reference_late_ms"])) is not None:
            raise CandidateFailed(Outcome.VOID, found.evidence, (found.flag,))
        return timing

    def _slots_to_time(self, dock: Dock, seconds_per_call: float) -> list[JudgeSlot]:
        """Slots for one block of pairs, both sides warm."""
        affordable = max(1, int(SECONDS_PER_BLOCK / seconds_per_call))
        slots = dock.make_slots(2 * min(dock.rack.pairs_in_memory(PAIRS_PER_BLOCK), affordable))
        dock.refresh(slots)
        dock.warm(slots[0], slots[1], times=2)
        return slots

    def _block(self, dock: Dock, slots: list[JudgeSlot], *, cold: bool = False) -> tuple[dict[str, list[float]], float]:
        """One block of pairs, some of its answers checked, and the milliseconds of a pair that were in neither side.

        Each pair is measured twice, the second time with the memory of the two sides swapped, and the geometric mean
        counts: the same kernel on an H200 takes 2 % longer on one 8.6 GB matrix than on another.
        """
        random.shuffle(slots)
        half = len(slots) // 2
        there, around_ms = self._half_block(dock, slots[:half], slots[half:], cold=cold)
        back, around_back_ms = self._half_block(dock, slots[half:], slots[:half], cold=cold)
        block = {
            side: [math.sqrt(one * other) for one, other in zip(there[side], back[side], strict=True)] for side in there
        }
        return block, (around_ms + around_back_ms) / 2

    def _half_block(
        self, dock: Dock, references: list[JudgeSlot], candidates: list[JudgeSlot], *, cold: bool
    ) -> tuple[dict[str, list[float]], float]:
        pairs = [(r, c, random.random() < 0.5) for r, c in zip(references, candidates, strict=True)]
        # Inputs are new for each timed call: an answer kept from an earlier one is a wrong one. The reference's
        # are too, because what was written last is nearer in the caches.
        drawn = dock.refresh([*references, *candidates])
        block, around_ms = dock.pairs(pairs, cold=cold)
        dock.check_timed(candidates[:CHECKED_PER_BLOCK], drawn)
        return block, around_ms

    def _time_sequentially(self, dock: Dock, trials: int) -> Timing:
        self._around_pair_ms = 0.0
        slot = dock.make_slots(1)[0]
        dock.refresh([slot])
        dock.warm(slot, slot, times=3)
        candidate_ms = dock.series(slot, "candidate", trials)
        reference_ms = dock.series(slot, "reference", trials)
        return sequential_timing(reference_ms, candidate_ms)

    def _sweep(self, dock: Dock) -> float:
        """Time of one call on inputs of its own and of all that surrounds it, by the judge's clock."""
        drawn = dock.refresh(dock.slots)
        wall_ms = dock.sweep(dock.slots) / len(dock.slots)
        # The last call is the one that may still be running when the clock stops.
        dock.check_timed([random.choice(dock.slots), dock.slots[-1]], drawn)
        return wall_ms

    def _shortest_sweep(self, dock: Dock, good_enough_ms: float, between: Callable[[], None] = lambda: None) -> float:
        shortest, started = float("inf"), time.perf_counter()
        for _ in range(SWEEPS):
            shortest = min(shortest, self._sweep(dock))
            between()
            if shortest <= good_enough_ms or time.perf_counter() - started > SECONDS_PER_BLOCK:
                break
        return shortest

    def _suspicion(self, dock: Dock, timing: Timing) -> Suspicion | None:
        """Evidence against a timing."""
        if not _claims_to_be_faster(timing):
            return beyond_physics(timing, self._bench.floor_ms, self._device)
        self._busy_ms = dock.profile(random.choice(dock.slots)).busy_ms
        wall_ms = self._shortest_sweep(dock, CLOCKS_AGREE_WITHIN * timing.candidate_ms)
        if self._known_control is None:
            with dock.idle(), self._control_dock() as control_dock, self._harness_fault():
                slots = self._slots_to_time(control_dock, self._bench.seconds_per_call)
                self._known_control = Control.measured(
                    [self._block(control_dock, slots) for _ in range(2)],
                    [self._block(control_dock, slots, cold=True)],
                    self._shortest_sweep(control_dock, 0.0),
                    control_dock.profile(slots[0]).busy_ms,
                )
        return self._objection(timing, wall_ms, self._known_control)

    def _objection(self, timing: Timing, wall_ms: float, control: Control) -> Suspicion | None:
        found = beyond_physics(timing, self._bench.floor_ms, self._device)
        if found is not None or not _claims_to_be_faster(timing):
            return found
        return (
            hidden_work(timing, self._busy_ms, control.busy_ms)
            or clock_disagreement(timing, wall_ms - control.around_call_ms)
            or self._unseen_saving(timing, wall_ms, control)
            # A call repeated finds warmer caches than a call among pairs, so that the first clock alone is lenient.
            or clock_disagreement(timing, timing.candidate_ms + self._around_pair_ms - control.around_pair_ms)
            or slowed_reference(timing, control.reference_ms, self._device)
        )

    def _unseen_saving(self, timing: Timing, wall_ms: float, control: Control) -> Suspicion | None:
        if self._device == "cpu":
            return None
        return unseen_saving(timing, wall_ms - control.around_call_ms, control.reference_ms)

    def _retrial(self, dock: Dock) -> tuple[Timing, Suspicion | None]:
        """Time a suspect again, taking turns with the control: one slow moment of the machine must not convict.

        What counts is this timing: who behaves well only now has nothing from it.
        """
        warm: list[tuple[dict[str, list[float]], float]] = []
        cold: list[tuple[dict[str, list[float]], float]] = []
        control_wall_ms: list[float] = []
        with self._control_dock() as control_dock:
            with self._harness_fault():
                slots = self._slots_to_time(control_dock, self._bench.seconds_per_call)

            def time_control() -> None:
                with dock.idle(), self._harness_fault():
                    warm.append(self._block(control_dock, slots))
                    cold.append(self._block(control_dock, slots, cold=True))

            def sweep_control() -> None:
                with dock.idle(), self._harness_fault():
                    control_wall_ms.append(self._sweep(control_dock))

            timing = self._time(dock, time_control)
            wall_ms = self._shortest_sweep(dock, 0.0, sweep_control)
            with self._harness_fault():
                control_busy_ms = control_dock.profile(slots[0]).busy_ms
        self._bench.lower_floor()
        self._known_control = Control.measured(warm, cold, min(control_wall_ms), control_busy_ms)
        return timing, self._objection(timing, wall_ms, self._known_control)

    @contextmanager
    def _control_dock(self) -> Iterator[Dock]:
        """The reference on trial against itself, in a worker that no candidate was ever in."""
        dock = Dock(self._workers.fork(), self._bench, self._control_rack, cache=self._cache, watch=self._owner)
        try:
            with self._harness_fault():
                dock.load(f"{self._bench.source}\n\nModelNew = Model\n", timeout_s=LOAD_TIMEOUT_S)
            yield dock
        finally:
            dock.close()

    @contextmanager
    def _harness_fault(self) -> Iterator[None]:
        """What goes wrong in here is the control's doing: no candidate is to blame."""
        try:
            yield
        except CandidateFailed as failure:
            raise HarnessError(
                f"{self._bench.task_id}: the reference fails its own trial ({failure}); check the task"
            ) from failure


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to ``seconds[name]``, also when it raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def _claims_to_be_faster(timing: Timing) -> bool:
    """Who cannot be told from the reference gains nothing by lying, and is not put to the test."""
    return (timing.speedup if timing.speedup_low is None else timing.speedup_low) > 1


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}
