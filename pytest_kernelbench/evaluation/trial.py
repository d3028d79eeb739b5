"""One candidate, from its build to its ``Evaluation``. Read this file from top to bottom: it is the whole story.

    build -> load -> correctness -> the worker's timing -> evidence that no clock gave -> the judge's timing

Cheapest first, and each step ends a candidate that fails it. Up to correctness, a GPU may be at work for other trials
as well; from the first timing on, it is held alone. Where the decisions are made: ``examination`` (is it
right?), ``timing.enough`` (is there a claim?), ``verification`` and ``attestation.decide`` (does the claim count?).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import holds
from pytest_kernelbench.evaluation.baselines import BASELINES, EAGER
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.timekeeping import propose, slots_of_block
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.correctness.examination import (
    Demands,
    examine_what_is_not_covered,
    examine_with_either_weights,
)
from pytest_kernelbench.evaluation.correctness.other_sizes import OtherSizes
from pytest_kernelbench.evaluation.device import Clocks, device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.holds import Hold
from pytest_kernelbench.evaluation.protocols import Protocol
from pytest_kernelbench.evaluation.racks import Rack
from pytest_kernelbench.evaluation.session import LOAD_TIMEOUT_S, WorkerSession
from pytest_kernelbench.evaluation.shortage import (
    finds_no_memory,
    lacks_memory,
    may_be_for_company,
    others_are_to_blame,
)
from pytest_kernelbench.evaluation.stages import building, rounded, stage
from pytest_kernelbench.evaluation.workers import WorkerServer
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of
from pytest_kernelbench.tasks.findings import TaskFindings

Found = TypeVar("Found")

# A build that is found in the cache is none.
LEAST_TOLD_S = 0.01
SHARE_OF_MEMORY_TO_BLAME = 0.2
# Share of the device's memory that slots may hold while another judge has the device. Each judge makes slots of up to
# 30 % of what is free: with five on one H200, a candidate of a task of 4 GB found no memory.
SHARE_KEPT_BETWEEN_TRIALS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The resources for all candidates of one task under one protocol. ``start`` gives a new worker with its slots.

    ``start_for`` does so for another bench and rack: that of other sizes. ``beside_others``: whether candidates are
    checked while the device works for other trials too.
    """

    bench: Bench
    rack: Rack
    findings: TaskFindings
    protocol: Protocol
    demands: Demands
    margin: float
    verifier: Verifier
    other_sizes: OtherSizes | None
    clocks: Clocks
    workers: WorkerServer
    hardware_id: str
    beside_others: bool
    start: Callable[[], WorkerSession]
    start_for: Callable[[Bench, Rack], WorkerSession]

    @property
    def may_claim(self) -> bool:
        """Whether a candidate's speed-up may come to be measured by the judge's clock."""
        return self.protocol.sequential_trials is None and not self.findings.uncounted_because

    def loaded(self, source: str, weights: str) -> WorkerSession:
        """A candidate that was checked, in a new worker."""
        session = self.start()
        try:
            session.load(source, timeout_s=LOAD_TIMEOUT_S, weights=weights)
        except BaseException:
            session.close()
            raise
        return session

    def bytes_of_others(self) -> int:
        """Device memory that neither the judge nor the slots hold."""
        return device_named(self.bench.device).bytes_of_others() - self.rack.n_bytes

    def free_slots(self) -> None:
        """Free the slots' memory, which workers that are kept have mapped: they end. Slots are made again on demand."""
        self.verifier.end_controls()
        self.rack.close()

    def leave_room_for_other_judges(self) -> None:
        """Free what torch keeps for reuse, and the slots where they are large, which are made again when needed."""
        device = device_named(self.bench.device)
        if self.rack.n_bytes > SHARE_KEPT_BETWEEN_TRIALS * device.memory_bytes():
            self.free_slots()
        # With four judges on one GPU, each kept the 30 GB of an answer in float64 while others looked for memory.
        device.leave_room()

    @contextmanager
    def least_memory(self) -> Iterator[None]:
        """Within it, one pair of slots, and nothing kept for later; the next candidate has as many as before."""
        self.verifier.end_controls()
        self.rack.make_room_for(1)
        device_named(self.bench.device).leave_room()
        try:
            yield
        finally:
            self.verifier.end_controls()
            self.rack.make_room_for(None)


def evaluate(setting: Setting, source: str, built: Built) -> Evaluation:
    """The verdict on one source; the next workers, for this task or another, start while this one is checked.

    Raises BuildWanted where it asks for a build, and HarnessError.
    """
    seconds = {"build": built.seconds} if built.seconds > LEAST_TOLD_S else {}
    found: dict[str, Any] = {
        "source_sha256": sha256_of(source),
        "outcome": Outcome.CORRECT,
        "precision": setting.bench.precision,
        "baseline": EAGER,
    }
    started = time.perf_counter() - built.seconds
    try:
        if built.complaint is not None:
            raise CandidateFailed(Outcome.BUILD_ERROR, built.complaint, quoted=True)
        _judge_in_turn(setting, source, found, seconds)
    except CandidateFailed as failure:
        told = ("outcome", "detail", "log", "quoted", "flags", "draw")
        found |= {name: getattr(failure, name) for name in told}
        # What was measured stays; a speed-up is one of a correct candidate.
        for name in ("speedup", "speedup_low", "speedup_high"):
            found.pop(name, None)
    seconds["total"] = time.perf_counter() - started
    return Evaluation(**found, seconds=rounded(seconds))


def _judge_in_turn(setting: Setting, source: str, found: dict[str, Any], seconds: dict[str, float]) -> None:
    at_first = dict(found)

    def ask(hold: Hold) -> None:
        found.clear()
        found.update(at_first)
        judge = _judge_with_room if hold.is_alone else _judge
        judge(setting, hold, source, found, seconds)

    in_turn(setting, ask, seconds)


def in_turn(setting: Setting, ask: Callable[[Hold], Found], seconds: dict[str, float] | None = None) -> Found:
    """What ``ask`` returns, beside others where that may be; alone if it may have failed for their company.

    ``seconds["wait"]`` grows by the time that this waits for the device. Raises what ``ask`` raises.
    """
    seconds = {} if seconds is None else seconds
    if setting.beside_others:
        hold = None
        try:
            with _held(holds.beside_others(setting.hardware_id), seconds) as hold:
                return ask(hold)
        except (CandidateFailed, HarnessError, RuntimeError) as failure:
            if not may_be_for_company(failure, timed=hold is not None and hold.is_alone):
                raise
    with _held(holds.alone(setting.hardware_id), seconds) as hold:
        return ask(hold)


@contextmanager
def _held(hold: AbstractContextManager[Hold], seconds: dict[str, float]) -> Iterator[Hold]:
    with ExitStack() as stack:
        with stage(seconds, "wait"):
            held = stack.enter_context(hold)
        yield held


def _judge_with_room(
    setting: Setting, hold: Hold, source: str, found: dict[str, Any], seconds: dict[str, float]
) -> None:
    """As ``_judge``; where the worker finds no memory, once more with all that the judge can do without given back.

    Raises HarnessError where it finds none again and other processes hold much.
    """
    at_first = dict(found)
    try:
        _judge(setting, hold, source, found, seconds)
        return
    except CandidateFailed as failure:
        if not finds_no_memory(failure):
            raise
    found.clear()
    found.update(at_first)
    try:
        with setting.least_memory():
            _judge(setting, hold, source, found, seconds)
    except CandidateFailed as failure:
        if finds_no_memory(failure) and is_gpu(setting.bench.device):
            others, every = setting.bytes_of_others(), device_named(setting.bench.device).memory_bytes()
            if others_are_to_blame(failure, bytes_of_others=others, all_bytes=every):
                raise HarnessError(
                    f"{setting.bench.task_id}: a candidate finds no memory on the device, of which other processes "
                    f"hold {others / every:.0%}; end them, or use fewer workers (-n), and run again to resume"
                ) from None
        raise


def _judge(setting: Setting, hold: Hold, source: str, found: dict[str, Any], seconds: dict[str, float]) -> None:
    """Fills in what is found of a candidate, and for how long each stage lasted.

    Raises CandidateFailed, and RuntimeError where the judge finds no memory beside others.
    """
    with stage(seconds, "load"):
        session = setting.start()
    try:
        _load(setting, session, source, seconds)
        with stage(seconds, "check"), building(seconds, "check", session):
            examined = examine_with_either_weights(session, setting.protocol, setting.demands)
            found["weights"] = examined.weights
            remarks = examined.remarks
            if setting.other_sizes is not None:
                elsewhere = setting.other_sizes.looked_at(setting.start_for, source, examined.weights)
                remarks += elsewhere.remarks
                if not elsewhere.every_kind:
                    examine_what_is_not_covered(session, setting.protocol)
            found["detail"] = "; ".join(remarks)
        if setting.may_claim and not hold.is_alone:
            with stage(seconds, "load"):
                setting.verifier.prepare()
        with stage(seconds, "wait"):
            wait_to_be_alone(setting, session, hold)
        with stage(seconds, "time"):
            timing = propose(session, setting.protocol, setting.margin, examined.seconds_per_call)
            setting.clocks.read()
            found |= {**timing.to_json(), "floor_ms": setting.bench.measure_floor()}
            evidence = setting.verifier.evidence(session, timing)
        if evidence is not None:
            raise CandidateFailed(Outcome.VOID, evidence.evidence, (evidence.flag,))
        if why := setting.findings.uncounted_because:
            found |= {"counted": False, "uncounted_because": why}
        elif setting.verifier.claims(timing):
            with stage(seconds, "attest"):
                another = partial(setting.loaded, source, examined.weights)
                attested = setting.verifier.attest(session, another, examined.seconds_per_call, timing.candidate_ms)
                found |= attested.to_json()
    except RuntimeError as error:
        if not hold.is_alone or not lacks_memory(error):
            raise
        raise _out_of_memory(setting, error, session) from None
    finally:
        session.close()
        setting.workers.settle()
        setting.leave_room_for_other_judges()


def wait_to_be_alone(setting: Setting, session: WorkerSession, hold: Hold) -> None:
    """Have the device alone: no worker starts there, and the candidate is stopped while others are timed.

    Raises HarnessError where a candidate that waits, this one or another, has left work on the device: the trial is
    then repeated with no other candidate there.
    """
    if hold.is_alone:
        setting.workers.settle()
        return
    # For a claim, which has a second worker.
    setting.workers.have_one()
    with session.stopped():
        device_named(setting.bench.device).leave_room()
        hold.be_alone()
        try:
            device_named(setting.bench.device).wait_until_idle()
        except DeviceBusy as busy:
            raise HarnessError(f"{setting.bench.task_id}: {busy}; end what else runs on it and run again") from None


def _load(setting: Setting, session: WorkerSession, source: str, seconds: dict[str, float]) -> None:
    with stage(seconds, "load"):
        setting.workers.call_up()
        # Before the candidate is there: memory that cannot be mapped is no fault of its own.
        session.wait_until_ready()
        slots_of_block(session, setting.bench.seconds_per_call)
        with building(seconds, "load", session):
            session.load(source, timeout_s=LOAD_TIMEOUT_S)


def _out_of_memory(setting: Setting, error: RuntimeError, session: WorkerSession) -> Exception:
    """Which process took the memory that the judge lacks? The candidate's, if it is free once that has ended."""
    held = setting.bytes_of_others()
    session.close()
    all_bytes = device_named(setting.bench.device).memory_bytes()
    if held - setting.bytes_of_others() > SHARE_OF_MEMORY_TO_BLAME * all_bytes:
        return CandidateFailed(Outcome.RUNTIME_ERROR, "leaves the device no memory to check its answers in")
    return HarnessError(
        f"{setting.bench.task_id}: the device has no memory left ({error}); end what else runs on it and run again"
    )


def start(workers: WorkerServer, bench: Bench, rack: Rack, *, cache: Path, watch: socket.socket) -> WorkerSession:
    """A new worker for the task of ``bench``, with the slots of ``rack``."""
    return WorkerSession(workers.take(), bench, rack, cache=cache, watch=watch)


def start_control(start: Callable[[], WorkerSession]) -> WorkerSession:
    """A worker that no candidate was ever in, with the reference in the candidate's place.

    It takes turns with the candidate on the same slots: two sets of them do not fit for a task of 13 GB.
    """
    session = start()
    session.load(f"{session.bench.source}{BASELINES[EAGER]}", timeout_s=LOAD_TIMEOUT_S)
    return session
