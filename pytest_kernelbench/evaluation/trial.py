"""One candidate, from its build to its ``Evaluation``. Read this file from top to bottom: it is the whole story.

    build -> load -> correctness -> the worker's timing -> evidence that no clock gave -> the judge's timing

Cheapest first, and each step ends a candidate that fails it. Up to correctness, and while what a claim needs is started
(``claim``), a GPU may be at work for other trials as well; while anything is timed, it is held alone (``company``).
Where the decisions are made: ``examination`` (is it right?), ``timing.enough`` (is there a claim?), ``verification``
and ``attestation.decide`` (does the claim count?).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.baselines import EAGER
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.claim import Claim, verify, void_for
from pytest_kernelbench.evaluation.clock.timekeeping import propose, slots_of_block
from pytest_kernelbench.evaluation.company import in_turn, wait_to_be_alone
from pytest_kernelbench.evaluation.correctness.examination import (
    examine_what_is_not_covered,
    examine_with_either_weights,
)
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.holds import Hold
from pytest_kernelbench.evaluation.session import LOAD_TIMEOUT_S, WorkerSession
from pytest_kernelbench.evaluation.setting import Setting
from pytest_kernelbench.evaluation.shortage import (
    finds_no_memory,
    lacks_memory,
    others_are_to_blame,
)
from pytest_kernelbench.evaluation.stages import building, rounded, stage
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

# A build that is found in the cache is none.
LEAST_TOLD_S = 0.01
SHARE_OF_MEMORY_TO_BLAME = 0.2


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

    Raises CandidateFailed, and RuntimeError where the judge finds no memory and others may have it.
    """
    with stage(seconds, "load"):
        session = setting.start()
    try:
        _load(setting, hold, session, source, seconds)
        with stage(seconds, "check"), building(seconds, "check", session):
            examined = examine_with_either_weights(session, setting.protocol, setting.demands)
            found["weights"] = examined.weights
            remarks = examined.remarks
            if setting.other_sizes is not None:
                elsewhere = setting.other_sizes.looked_at(setting.sessions.for_a_while, source, examined.weights)
                remarks += elsewhere.remarks
                if not elsewhere.every_kind:
                    examine_what_is_not_covered(session, setting.protocol)
            found["detail"] = "; ".join(remarks)
        with stage(seconds, "wait"):
            wait_to_be_alone(setting, session, hold)
        with stage(seconds, "time"):
            quiet = setting.sessions.wait_for_ends
            timing = propose(session, setting.protocol, setting.margin, examined.seconds_per_call, quiet=quiet)
            setting.clocks.read()
            found |= {**timing.to_json(), "floor_ms": setting.bench.measure_floor()}
            void_for(setting.verifier.beyond_physics(timing))
        if setting.verifier.claims(timing):
            another = partial(setting.loaded, source, examined.weights)
            verify(setting, hold, Claim(session, another, examined.seconds_per_call, timing), found, seconds)
        elif why := setting.findings.uncounted_because:
            found |= {"counted": False, "uncounted_because": why}
    except RuntimeError as error:
        # Candidates that wait for the device hold memory as well: the trial is repeated without them.
        if hold.may_share or not lacks_memory(error):
            raise
        raise _out_of_memory(setting, error, session) from None
    finally:
        session.end()
        setting.workers.rest()
        setting.leave_room_for_other_judges(session)


def _load(setting: Setting, hold: Hold, session: WorkerSession, source: str, seconds: dict[str, float]) -> None:
    with stage(seconds, "load"):
        setting.workers.call_up()
        # Before the candidate is there: memory that cannot be mapped is no fault of its own.
        session.wait_until_ready()
        if hold.is_alone or setting.keeps_block:
            # All that timing will take, as one call of the driver: opening a second allocation takes 37 ms (H200).
            slots_of_block(session, setting.bench.seconds_per_call)
        else:
            session.have_slots(1)
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
