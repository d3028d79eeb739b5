"""The judge: draws inputs, knows the answers, keeps the clock. It never imports candidate code.

One trial, cheapest step first, each of which ends a hopeless candidate:

    source -> build -> load -> correctness -> timing -> plausibility -> Evaluation
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Any

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import builds, devices, lock, messages
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.dock import CandidateFailed, Dock
from pytest_kernelbench.evaluation.plausibility import (
    Suspicion,
    beyond_physics,
    clock_disagreement,
    slowed_reference,
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
# Allocating, viewing and copying an answer is not computing it.
OPERATORS_OF_NO_KERNEL = frozenset(
    f"aten.{name}"
    for name in "empty empty_like empty_strided new_empty zeros zeros_like new_zeros full full_like view _unsafe_view "
    "reshape as_strided t transpose permute squeeze unsqueeze expand slice select detach alias contiguous clone "
    "_reshape_alias fill_ zero_ unflatten flatten split narrow lift_fresh".split()
)


# The operating system's own: a candidate must not foresee which of its calls are looked at.
random = SystemRandom()


def serve(owner: socket.socket, workers: WorkerServer, *, device: str, isolation: Isolation) -> None:
    """Answer the owner's requests until its socket ends."""
    hardware = devices.describe(device)
    try:
        messages.send(owner, {"hardware": hardware, "isolation": isolation.describe()})
        while True:
            request, _ = messages.receive(owner)
            try:
                trial = Trials(request, owner, workers, device=device, hardware_id=hardware["id"])
                for evaluation in trial.evaluations():
                    messages.send(owner, {"evaluation": evaluation.to_json()})
            except HarnessError as error:
                messages.send(owner, {"fault": str(error)})
    except messages.ConnectionEnded:
        return


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
    ) -> None:
        self._owner = owner
        self._workers = workers
        self._device = device
        self._hardware_id = hardware_id
        self._sources: list[str] = request["sources"]
        self._protocol: Protocol = PROTOCOLS[request["protocol"]]
        self._torch_forbidden = request["torch_operators"] == "forbidden"
        self._margin = self._protocol.margin(device)
        self._cache = Path(request["cache"])
        self._bench = Bench(request["task"], request["source"], seed=request["seed"], device=device)

    def evaluations(self) -> Iterator[Evaluation]:
        """One for each source, in order, as each is ready."""
        with builds.BuildAhead(self._cache, devices.cores()) as ahead:
            built = ahead.start(self._sources)
            if self._device == "cpu":
                with lock.exclusive(self._hardware_id):
                    # Compilers would be timed along with the candidates.
                    complaints = [build.result() for build in built]
            for number, source in enumerate(self._sources):
                complaint = complaints[number] if self._device == "cpu" else built[number].result()
                yield self._evaluate(source, complaint)

    def _evaluate(self, source: str, build_complaint: str | None) -> Evaluation:
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        try:
            if build_complaint is not None:
                raise CandidateFailed(Outcome.BUILD_ERROR, build_complaint)
            with lock.exclusive(self._hardware_id):
                with stage(seconds, "load"):
                    dock = Dock(self._workers.fork(), self._bench, watch=self._owner)
                try:
                    with stage(seconds, "load"):
                        dock.load(source, self._cache, timeout_s=LOAD_TIMEOUT_S)
                    with stage(seconds, "check"):
                        self._check(dock)
                    with stage(seconds, "time"):
                        timing = self._time(dock)
                        # A candidate that is not faster gains nothing by lying.
                        wall_ms = self._wall_ms_per_call(dock, timing) if timing.speedup > 1 else 0.0
                finally:
                    dock.close()
                with stage(seconds, "verify"):
                    suspicion = self._suspicion(timing, wall_ms)
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
                pairs=timing.pairs,
                seconds=_rounded(seconds),
            )
        return Evaluation(
            source_sha256=sha256_of(source),
            outcome=Outcome.CORRECT,
            reference_ms=timing.reference_ms,
            candidate_ms=timing.candidate_ms,
            speedup=timing.speedup,
            speedup_low=timing.speedup_low,
            speedup_high=timing.speedup_high,
            pairs=timing.pairs,
            seconds=_rounded(seconds),
        )

    def _check(self, dock: Dock) -> None:
        slot = dock.make_slots(1)[0]
        for number, kind in enumerate(self._protocol.draws):
            if self._bench.usable(kind):
                self._seconds_per_call = dock.check(slot, number, kind)
        if self._torch_forbidden:
            used = [name for name in dock.operators(slot) if name not in OPERATORS_OF_NO_KERNEL]
            if used:
                raise CandidateFailed(
                    Outcome.VOID,
                    f"calls {', '.join(used)[:200]}, which this strategy forbids",
                    ("torch_operators",),
                )

    def _time(self, dock: Dock) -> Timing:
        if self._protocol.sequential_trials is not None:
            return self._time_sequentially(dock, self._protocol.sequential_trials)
        affordable = int(SECONDS_PER_BLOCK / self._seconds_per_call)
        wanted = max(1, min(PAIRS_PER_BLOCK, affordable))
        slots = dock.make_slots(2 * self._bench.pairs_in_memory(wanted))
        reference_ms: list[float] = []
        candidate_ms: list[float] = []
        dock.refresh(slots)
        dock.warm(slots[0], slots[1], times=2)
        while True:
            # Which memory serves which side is drawn anew for each block, like the order within each pair.
            random.shuffle(slots)
            references, candidates = slots[: len(slots) // 2], slots[len(slots) // 2 :]
            pairs = [(r, c, random.random() < 0.5) for r, c in zip(references, candidates, strict=True)]
            # Inputs are new for each timed call: an answer kept from an earlier one is a wrong one.
            drawn = dock.refresh(candidates)
            block = dock.pairs(pairs)
            reference_ms += block["reference_ms"]
            candidate_ms += block["candidate_ms"]
            checked = random.choice(candidates)
            dock.check_timed(checked, drawn[checked.number])
            timing = paired_timing(reference_ms, candidate_ms)
            if enough(timing, self._protocol, self._margin):
                return timing

    def _time_sequentially(self, dock: Dock, trials: int) -> Timing:
        slot = dock.make_slots(1)[0]
        dock.refresh([slot])
        dock.warm(slot, slot, times=3)
        candidate_ms = dock.series(slot, "candidate", trials)
        reference_ms = dock.series(slot, "reference", trials)
        return sequential_timing(reference_ms, candidate_ms)

    def _wall_ms_per_call(self, dock: Dock, timing: Timing) -> float:
        """Wall time of one call and the delivery of its answer, less what a delivery takes, by the judge's clock."""
        slot = dock.make_slots(1)[0]
        times = max(3, min(50, int(30 / timing.candidate_ms)))
        best = float("inf")
        for _ in range(3):
            drawn = dock.refresh([slot])
            best = min(best, dock.repeat(slot, times) / times)
            dock.check_timed(slot, drawn[slot.number])
            if best <= timing.candidate_ms:
                break
        return max(0.0, best - 2 * self._bench.delivery_ms)

    def _suspicion(self, timing: Timing, wall_ms: float) -> Suspicion | None:
        """Evidence against the timing, now that the worker is gone and the machine is quiet."""
        found = beyond_physics(timing, self._bench.floor_ms, self._device) or clock_disagreement(timing, wall_ms)
        if found is None and timing.speedup > 1:
            # Twice, because one slow moment of the machine must not convict.
            for again in (False, True):
                found = slowed_reference(timing, self._bench.reference_ms(again=again), self._device)
                if found is None:
                    break
        return found


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to ``seconds[name]``, also when it raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}
