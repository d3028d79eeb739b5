"""The judge: draws inputs, knows the answers, keeps the clock. It never imports candidate code.

One trial, cheapest step first, each of which ends a hopeless candidate:

    source -> build -> load -> correctness -> timing -> plausibility -> Evaluation
"""

from __future__ import annotations

import dataclasses
import re
import socket
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import lock, messages
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.building.builds import Builders, BuildWanted, Built, Target
from pytest_kernelbench.evaluation.clock.gate_trial import Checked, compare, detail_of
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate, Side
from pytest_kernelbench.evaluation.clock.timekeeping import ms_of_calls, propose, slots_of_block
from pytest_kernelbench.evaluation.clock.turns import Pairs
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.correctness.examination import Demands, examine, prepare
from pytest_kernelbench.evaluation.correctness.findings import TaskRefused, bench_of
from pytest_kernelbench.evaluation.correctness.other_sizes import OtherSizes
from pytest_kernelbench.evaluation.correctness.replay import replay
from pytest_kernelbench.evaluation.correctness.tolerances import Tolerances
from pytest_kernelbench.evaluation.device import Clocks, device_named
from pytest_kernelbench.evaluation.device.cpu import cores, threads
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.failures import CandidateFailed, WrongValues
from pytest_kernelbench.evaluation.protocols import PROTOCOLS, Protocol
from pytest_kernelbench.evaluation.racks import Rack
from pytest_kernelbench.evaluation.replayed import Replayed
from pytest_kernelbench.evaluation.sandbox import Isolation
from pytest_kernelbench.evaluation.session import REFERENCE, SEEDED, WorkerSession
from pytest_kernelbench.evaluation.workers import WorkerServer
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

# Enough for torch's compiler to be imported, and for a candidate that starts nvcc itself; what is known to be a build
# has a limit of its own.
LOAD_TIMEOUT_S = 60.0
# A build that is found in the cache is none.
LEAST_TOLD_S = 0.01
SHARE_OF_MEMORY_TO_BLAME = 0.2
MAX_TRACEBACK = 8000
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


def serve(owner: socket.socket, workers: WorkerServer, *, device: str, isolation: Isolation) -> None:
    """Answer the owner's requests until its socket ends. The process is the judge's own: so are torch's settings."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(threads())
    hardware, clocks = device_named(device).describe(), device_named(device).clocks()
    trials_of = partial(Trials, owner=owner, workers=workers, device=device, hardware_id=hardware["id"], clocks=clocks)
    last = LastTask(trials_of, device)

    def answer(request: dict[str, Any], sources: Sequence[str]) -> dict[str, Any] | None:
        """Returns what is to be said once the task's memory is free, if anything is."""
        if "release" in request:
            return {"released": True}
        try:
            trials = last.trials(request["case"])
            if "gate" in request:
                comparison = trials.comparison(*sources, Gate(**request["gate"]))
                messages.send(owner, {"comparison": comparison.to_json()})
            elif "replay" in request:
                messages.send(owner, {"replayed": trials.replayed(*sources, request["replay"]).to_json()})
            elif "look" in request:
                messages.send(owner, {"findings": trials.findings.to_json()})
            else:
                told = {"findings": trials.findings.to_json()}
                for judged in trials.evaluations(sources):
                    messages.send(owner, {**judged.to_json(), **told, "clocks": clocks.summary()})
        except messages.ConnectionEnded:
            raise
        except TaskRefused as refused:
            return {"fault": fault_of(refused, request["case"]["task"]), "findings": refused.findings.to_json()}
        except Exception as error:  # the request's own: the next one may be about a task that works
            return {"fault": fault_of(error, request["case"]["task"])}
        return None

    hello = {
        "hardware": hardware,
        "isolation": isolation.describe(),
        "target": dataclasses.asdict(target_of(device, hardware["id"])),
    }
    try:
        messages.send(owner, hello)
        while True:
            request, _ = messages.receive(owner)
            # Each in a frame of its own: together they may be larger than a frame can be.
            sources = [messages.receive(owner)[0]["source"] for _ in range(request.get("n_sources", 0))]
            last_word = answer(request, sources)
            if last_word is not None or not request["keep"]:
                last.forget()
            if last_word is not None:
                messages.send(owner, last_word)
            if not device_named(device).works():
                # CUDA does not recover in a process that met an error: the next request starts another.
                return
    except messages.ConnectionEnded:
        return


def target_of(device: str, hardware_id: str) -> Target:
    """What is built for."""
    known = device_named(device)
    return Target(device=device, id=hardware_id, architecture=known.architecture(), gpu=known.gpu_properties())


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one source: its evaluation, or how the harness failed on it."""

    source_sha256: str
    evaluation: Evaluation | None = None
    fault: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        if self.evaluation is not None:
            return {"evaluation": self.evaluation.to_json()}
        return {"fault_on": self.source_sha256, "fault": self.fault}


def fault_of(error: Exception, task: str) -> dict[str, str]:
    """A failure of the harness as one line for people, and the traceback of one that nobody foresaw."""
    if isinstance(error, HarnessError | torch.OutOfMemoryError):
        return {"message": " ".join(str(error).split()), "traceback": ""}
    what = messages.printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], 300)
    return {
        "message": f"{task}: the harness failed ({what}); run again to resume, and report the traceback that is kept",
        "traceback": messages.printable("".join(traceback.format_exception(error)), MAX_TRACEBACK),
    }


class LastTask:
    """The trials of the task that was asked about last."""

    def __init__(self, trials_of: Callable[..., Trials], device: str) -> None:
        self._trials_of = trials_of
        self._device = device
        self._trials: Trials | None = None
        # Computing in float64 what they rest on was a fifth of all work on an H200.
        self._tolerances: defaultdict[str, Tolerances] = defaultdict(dict)

    def trials(self, case: dict[str, Any]) -> Trials:
        """On inputs that no request before had."""
        if self._trials is not None and self._trials.case == case:
            self._trials.renew()
            return self._trials
        self.forget()
        self._trials = self._trials_of(case, tolerances=self._tolerances[case["source"]])
        return self._trials

    def forget(self) -> None:
        """Free all memory of the task."""
        if self._trials is not None:
            self._trials.close()
            self._trials = None
        device_named(self._device).leave_room()


class Trials:
    """The trials of candidates for one task under one protocol: of one request's, and of those that follow at once.

    Nothing below refers back to it: when the next task comes, this one's tensors go at once, not when Python looks for
    cycles.
    """

    def __init__(
        self,
        case: dict[str, Any],
        *,
        owner: socket.socket,
        workers: WorkerServer,
        device: str,
        hardware_id: str,
        clocks: Clocks,
        tolerances: Tolerances,
    ) -> None:
        self.case = case
        self._device = device
        self._workers = workers
        self._hardware_id = hardware_id
        self._clocks = clocks
        self._protocol: Protocol = PROTOCOLS[case["protocol"]]
        self._torch_forbidden = case["torch_operators"] == "forbidden"
        self._demands = Demands(parameters=case["parameters"] == "followed")
        self._cache = Path(case["cache"])
        self._target = target_of(device, hardware_id)
        # What this does is done on the device, so nobody else may be timed.
        with lock.exclusive(hardware_id):
            # While a worker starts, the bench is made.
            workers.call_up()
            self._bench, self.findings = bench_of(case, device, tolerances, beyond=self._protocol.beyond)
            workers.settle()
            self._other_sizes = OtherSizes(case, device) if self._protocol.beyond else None
        self._rack = Rack(self._bench)
        self._session_of = partial(summon, workers, cache=self._cache, watch=owner)
        self._margin = self._protocol.margin(device)
        self._summon = partial(self._session_of, self._bench, self._rack)
        self._controls = Pairs(self._bench, partial(control, self._summon))
        self._verifier = Verifier(self._bench, self._margin, self._controls)

    def renew(self) -> None:
        """Have inputs for another request that nobody saw: who was chosen by his timing is timed again."""
        with lock.exclusive(self._hardware_id):
            self._bench.renew()

    def close(self) -> None:
        """End the workers that were kept, and free the memory of all slots."""
        self._controls.close()
        self._rack.close()
        if self._other_sizes is not None:
            self._other_sizes.close()

    def _bytes_of_others(self) -> int:
        return device_named(self._device).bytes_of_others() - self._rack.n_bytes

    def _builders(self) -> Builders:
        return Builders(self._cache, self._target, partial(self._workers.fork, builder=True), jobs=cores())

    def evaluations(self, sources: Sequence[str]) -> Iterator[Judged]:
        """One for each source, as each is ready: what is built first is judged first.

        A trial that asks for a build gives the device back, and comes again when that is made.
        """
        with self._builders() as builders:
            waiting = {builders.ahead(self.case["source"], source): source for source in sources}
            while waiting:
                # On a CPU, compilers would wait for trials and trials for compilers.
                done, _ = wait(waiting, return_when=FIRST_COMPLETED if is_gpu(self._device) else ALL_COMPLETED)
                for build in [each for each in waiting if each in done]:
                    source = waiting.pop(build)
                    try:
                        judged = self._judged(source, build)
                    except BuildWanted as wanted:
                        waiting[builders.wanted(wanted.request, build.result())] = source
                    else:
                        yield judged

    def _judged(self, source: str, build: Future[Built]) -> Judged:
        """The boundary of one candidate: whatever goes wrong in here, the next one is judged.

        Raises BuildWanted where its trial asks for a build.
        """
        source_sha256 = sha256_of(source)
        try:
            return Judged(source_sha256, evaluation=self._evaluate(source, build.result()))
        except (messages.ConnectionEnded, BuildWanted):
            raise  # the first is the owner's
        except Exception as error:  # what is no verdict is a fault of the harness, on this candidate alone
            return Judged(source_sha256, fault=fault_of(error, self._bench.task_id))

    def comparison(self, kernel: str, baseline: str, gate: Gate) -> Comparison:
        """The first source against the second, a kernel that is to be no slower."""
        sources: dict[Side, str] = {"baseline": baseline, "kernel": kernel}
        checked: dict[Side, Checked] = {}
        with self._builders() as builders:
            ahead = {side: builders.ahead(self.case["source"], source) for side, source in sources.items()}
            for side, source in sources.items():
                try:
                    checked[side] = self._checked(source, builders, ahead[side].result())
                except CandidateFailed as failure:
                    return Comparison(failed=side, detail=detail_of(failure))
        with lock.exclusive(self._hardware_id):
            return compare(self._bench, checked, gate)

    def _checked(self, source: str, builders: Builders, built: Built) -> Checked:
        """A kernel found correct in a worker of its own. Raises CandidateFailed."""
        while True:
            if built.complaint is not None:
                raise CandidateFailed(Outcome.BUILD_ERROR, built.complaint)
            try:
                with lock.exclusive(self._hardware_id), closing(self._summon()) as session:
                    session.load(source, timeout_s=LOAD_TIMEOUT_S)
                    weights = self._check_weights(session)
                    call_ms = ms_of_calls(session, self._seconds_per_call)
            except BuildWanted as wanted:
                built = builders.wanted(wanted.request, built).result()
            else:
                return Checked(partial(self._another, source, weights), call_ms, self._seconds_per_call)

    def replayed(self, source: str, kind: str) -> Replayed:
        """What a source answers to one kind of inputs: at the task's own sizes and, where right there, at others."""
        with self._builders() as builders:
            built = builders.ahead(self.case["source"], source).result()
            while built.complaint is None:
                try:
                    with lock.exclusive(self._hardware_id):
                        return self._replayed(source, kind)
                except BuildWanted as wanted:
                    built = builders.wanted(wanted.request, built).result()
                except CandidateFailed as failure:
                    return Replayed(outcome=failure.outcome.value, detail=failure.detail)
        return Replayed(outcome=Outcome.BUILD_ERROR.value, detail=built.complaint)

    def _replayed(self, source: str, kind: str) -> Replayed:
        with closing(self._summon()) as session:
            session.load(source, timeout_s=LOAD_TIMEOUT_S)
            found = replay(session, kind)
        if found.outcome == Outcome.CORRECT.value and self._other_sizes is not None:
            elsewhere = self._other_sizes.replayed(self._session_of, source, kind)
            if elsewhere is not None and elsewhere.outcome != Outcome.CORRECT.value:
                return elsewhere
        return found

    def _evaluate(self, source: str, built: Built) -> Evaluation:
        """One trial; the next workers, of this task or of another, start while this one is checked.

        Raises BuildWanted where it asks for a build.
        """
        seconds = {"build": built.seconds} if built.seconds > LEAST_TOLD_S else {}
        found: dict[str, Any] = {
            "source_sha256": sha256_of(source),
            "outcome": Outcome.CORRECT,
            "precision": self.case["precision"],
        }
        started = time.perf_counter() - built.seconds
        try:
            if built.complaint is not None:
                raise CandidateFailed(Outcome.BUILD_ERROR, built.complaint, quoted=True)
            with lock.exclusive(self._hardware_id):
                self._try(source, found, seconds)
        except CandidateFailed as failure:
            told = ("outcome", "detail", "log", "quoted", "flags", "draw")
            found |= {name: getattr(failure, name) for name in told}
            # What was measured stays; a speed-up is one of a correct candidate.
            for name in ("speedup", "speedup_low", "speedup_high"):
                found.pop(name, None)
        seconds["total"] = time.perf_counter() - started
        return Evaluation(**found, seconds=_rounded(seconds))

    def _try(self, source: str, found: dict[str, Any], seconds: dict[str, float]) -> None:
        """Fills in what is found of a candidate, and for how long each stage lasted. Raises CandidateFailed."""
        with stage(seconds, "load"):
            session = self._summon()
        try:
            with stage(seconds, "load"):
                self._workers.call_up()
                # Before the candidate is there: memory that cannot be mapped is no fault of its own.
                session.wait_until_ready()
                slots_of_block(session, self._bench.seconds_per_call)
                with building(seconds, "load", session):
                    session.load(source, timeout_s=LOAD_TIMEOUT_S)
            with stage(seconds, "check"), building(seconds, "check", session):
                found["weights"] = self._check_weights(session)
                elsewhere = self._check_other_sizes(source, found["weights"])
                found["detail"] = "; ".join((*self._remarks, *elsewhere))
            with stage(seconds, "load"):
                # From now on, nobody else may use the device.
                self._workers.settle()
            with stage(seconds, "time"):
                timing = propose(session, self._protocol, self._margin, self._seconds_per_call)
                self._clocks.read()
                found |= {**timing.to_json(), "floor_ms": self._bench.floor_ms}
                evidence = self._verifier.evidence(session, timing)
            if evidence is not None:
                raise CandidateFailed(Outcome.VOID, evidence.evidence, (evidence.flag,))
            if why := self.findings.uncounted_because:
                found |= {"counted": False, "uncounted_because": why}
            elif self._verifier.claims(timing):
                with stage(seconds, "attest"):
                    another = partial(self._another, source, found["weights"])
                    found |= self._verifier.attest(
                        session, another, self._seconds_per_call, timing.candidate_ms
                    ).to_json()
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory(error, session) from None
        finally:
            session.close()
            self._workers.settle()

    def _check_other_sizes(self, source: str, weights: str) -> tuple[str, ...]:
        """Remarks on a candidate that is right. Raises CandidateFailed."""
        if self._other_sizes is None:
            return ()
        return self._other_sizes.remarks(self._session_of, source, weights)

    def _another(self, source: str, weights: str) -> WorkerSession:
        """A candidate that was checked, in a new worker."""
        session = self._summon()
        try:
            session.load(source, timeout_s=LOAD_TIMEOUT_S, weights=weights)
        except BaseException:
            session.close()
            raise
        return session

    def _out_of_memory(self, error: torch.OutOfMemoryError, session: WorkerSession) -> Exception:
        """Who took the memory that the judge lacks? The candidate, if it is there again once that has ended."""
        held = self._bytes_of_others()
        session.close()
        if held - self._bytes_of_others() > SHARE_OF_MEMORY_TO_BLAME * device_named(self._device).memory_bytes():
            return CandidateFailed(Outcome.RUNTIME_ERROR, "leaves the device no memory to check its answers in")
        return HarnessError(
            f"{self._bench.task_id}: the device has no memory left ({error}); end what else runs on it and run again"
        )

    def _check_weights(self, session: WorkerSession) -> str:
        """Check the candidate with the weights that it made, and where those are wrong, with the reference's.

        Returns which of the two it is right with. A constructor that folds a constant into its weights is right with
        its own, and one that makes its parameters in another order, and so draws others, with the reference's.
        """
        try:
            self._check(session)
        except WrongValues as own:
            try:
                if not session.adopt_weights(timeout_s=LOAD_TIMEOUT_S):
                    raise own
                self._check(session)
            except CandidateFailed:
                raise own from None
            return REFERENCE
        return SEEDED

    def _check(self, session: WorkerSession) -> None:
        prepare(self._bench, self._protocol)
        # All that timing will take, as one call of the driver: opening a second allocation takes 37 ms (H200).
        slot = slots_of_block(session, self._bench.seconds_per_call)[0]
        examined = examine(session, slot, self._protocol, self._demands)
        self._seconds_per_call, self._remarks = examined
        if self._torch_forbidden:
            profile = session.profile(slot)
            used = [name for name in profile.operators if name not in OPERATORS_OF_NO_KERNEL]
            used += [name for name in profile.kernels if KERNEL_OF_A_LIBRARY.search(name)]
            if used:
                raise CandidateFailed(
                    Outcome.VOID,
                    f"calls {', '.join(used)[:200]}, which this strategy forbids",
                    ("torch_operators",),
                    quoted=True,
                )


def summon(workers: WorkerServer, bench: Bench, rack: Rack, *, cache: Path, watch: socket.socket) -> WorkerSession:
    """A new worker for the task of ``bench``, with the slots of ``rack``."""
    return WorkerSession(workers.take(), bench, rack, cache=cache, watch=watch)


def control(summon: Callable[[], WorkerSession]) -> WorkerSession:
    """A worker that no candidate was ever in, with the reference in the candidate's place.

    It takes turns with the candidate on the same slots: two sets of them do not fit for a task of 13 GB.
    """
    session = summon()
    session.load(f"{session.bench.source}\n\nModelNew = Model\n", timeout_s=LOAD_TIMEOUT_S)
    return session


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to ``seconds[name]``, also when it raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


@contextmanager
def building(seconds: dict[str, float], name: str, session: WorkerSession) -> Iterator[None]:
    """Count what was built in a block of stage ``name`` as ``build``."""
    before = session.built_s
    try:
        yield
    finally:
        if session.built_s > before:
            seconds["build"] = seconds.get("build", 0.0) + session.built_s - before
            seconds[name] = seconds.get(name, 0.0) - (session.built_s - before)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}
