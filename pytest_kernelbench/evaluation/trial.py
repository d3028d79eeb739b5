"""One candidate, from its build to its ``Evaluation``. Read this file from top to bottom: it is the whole story.

    build -> load -> correctness -> the worker's timing -> correctness at other sizes -> the judge's timing

Only a candidate that claims a speed-up by its worker's timing is timed by the judge. Its worker is then needed for the
judge's first series of turns, so that correctness at other sizes is checked after that series.

The cheapest step comes first, and a candidate that fails a step ends there. While a candidate is loaded and checked,
and while the controls for a claim are started (``claim``), other trials may use the GPU too; while anything is
timed, this trial has it alone (``company``). Where the decisions are made: ``examination`` (is the candidate correct?),
``timing.enough`` (does its worker's timing claim a speed-up?), ``verification`` and ``attestation.decide`` (does that
claim count?).
"""

from __future__ import annotations

import time
from functools import partial

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.baselines import EAGER
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.claim import Claim, verify, void_for
from pytest_kernelbench.evaluation.clock.timekeeping import propose, slots_of_block
from pytest_kernelbench.evaluation.company import QuietOfTrial, in_turn, wait_to_be_alone
from pytest_kernelbench.evaluation.correctness.examination import (
    examine_what_is_not_covered,
    examine_with_either_weights,
    prepare,
)
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.elsewhere import CheckElsewhere
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.setting import Setting
from pytest_kernelbench.evaluation.sharing.holds import Hold
from pytest_kernelbench.evaluation.shortage import (
    finds_no_memory,
    lacks_memory,
    others_are_to_blame,
    said_by,
)
from pytest_kernelbench.evaluation.stages import building, rounded, stage
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

# A shorter build was found in the cache, and is not recorded as one.
LEAST_TOLD_S = 0.01
# A candidate that held more than this share of the device's memory, on top of what an honest one may need for the same
# task, is to blame where its judge found none.
SHARE_OF_MEMORY_TO_BLAME = 0.2


def evaluate(setting: Setting, source: str, built: Built) -> Evaluation:
    """The verdict on one ``source``, whose builds so far are ``built``.

    Raises BuildWanted where the candidate asks for a build that is not in the cache, and HarnessError.
    """
    notes = Notes(
        {"build": built.seconds} if built.seconds > LEAST_TOLD_S else {},
        source_sha256=sha256_of(source),
        outcome=Outcome.CORRECT,
        precision=setting.bench.precision,
        baseline=EAGER,
    )
    started = time.perf_counter() - built.seconds
    try:
        if built.complaint is not None:
            raise CandidateFailed(Outcome.BUILD_ERROR, built.complaint, quoted=True)
        _judge_in_turn(setting, source, notes)
    except CandidateFailed as failure:
        told = ("outcome", "detail", "log", "quoted", "flags", "draw")
        notes.found |= {name: getattr(failure, name) for name in told}
        # The durations that were measured stay, but only a correct candidate has a speed-up.
        for name in ("speedup", "speedup_low", "speedup_high"):
            notes.found.pop(name, None)
    notes.seconds["total"] = time.perf_counter() - started
    return Evaluation(**notes.found, seconds=rounded(notes.seconds))


def _judge_in_turn(setting: Setting, source: str, notes: Notes) -> None:
    def ask(hold: Hold) -> None:
        notes.begin_again()
        judge = _judge_with_room if hold.is_alone else _judge
        judge(setting, hold, source, notes)

    in_turn(setting, ask, notes.seconds)


def _judge_with_room(setting: Setting, hold: Hold, source: str, notes: Notes) -> None:
    """As ``_judge``; if the worker finds no memory, once more after the judge has freed all that it can do without.

    Raises HarnessError if the worker finds no memory again while other processes hold much.
    """
    try:
        _judge(setting, hold, source, notes)
        return
    except (CandidateFailed, HarnessError) as failure:
        if not finds_no_memory(failure):
            raise
    notes.begin_again()
    try:
        with setting.least_memory():
            _judge(setting, hold, source, notes)
    except CandidateFailed as failure:
        if finds_no_memory(failure) and is_gpu(setting.bench.device):
            others, every = setting.bytes_of_others(), device_named(setting.bench.device).memory_bytes()
            if others_are_to_blame(failure, bytes_of_others=others, all_bytes=every):
                raise HarnessError(
                    f"{setting.bench.task_id}: a candidate finds no memory on the device, of which other processes "
                    f"hold {others / every:.0%}; end them, or use fewer workers (-n), and run again to resume"
                ) from None
        raise


def _judge(setting: Setting, hold: Hold, source: str, notes: Notes) -> None:
    """Load, check and time one candidate, and note the results.

    Raises CandidateFailed, and RuntimeError where the judge finds no memory that other processes may hold.
    """
    seconds = notes.seconds
    with stage(seconds, "load"):
        session = setting.start()
    try:
        with stage(seconds, "check"):
            # While the worker starts, and before slots take the memory.
            prepare(setting.bench, setting.protocol)
        _load(setting, hold, session, source, seconds)
        with stage(seconds, "check"), building(seconds, "check", session):
            examined = examine_with_either_weights(session, setting.protocol, setting.demands)
            notes.found |= {"weights": examined.weights, "detail": "; ".join(examined.remarks)}
            if setting.protocol.beyond and not setting.has_other_sizes:
                examine_what_is_not_covered(session, setting.protocol)
        with stage(seconds, "wait"):
            wait_to_be_alone(setting, session, hold)
        with stage(seconds, "time"):
            ended = setting.sessions.wait_for_ends
            timing = propose(session, setting.protocol, setting.margin, examined.seconds_per_call, quiet=ended)
            setting.clocks.read()
            notes.found |= timing.to_json()
            suspicion = setting.verifier.beyond_physics(timing)
            notes.found["floor_ms"] = setting.bench.floor_ms
        quiet = QuietOfTrial(setting, hold, seconds)
        quiet.is_over_for(session)
        elsewhere = CheckElsewhere(setting, session, source, examined, notes)
        why = setting.findings.uncounted_because
        if suspicion is None and not why and setting.verifier.claims(timing):
            another = partial(setting.loaded, source, examined.weights)
            claim = Claim(session, another, examined.seconds_per_call, timing, elsewhere.check)
            verify(setting, hold, quiet, claim, notes)
            return
        elsewhere.check()
        # To return a constant takes no kernel and no time.
        if not setting.findings.constant:
            void_for(suspicion)
        if why:
            notes.found |= {"counted": False, "uncounted_because": why}
    except RuntimeError as error:
        # Stopped candidates of other trials may hold that memory: this trial is then repeated alone.
        if hold.may_share or not lacks_memory(error):
            raise
        raise _out_of_memory(setting, error, session) from None
    finally:
        setting.leave_room_for_other_judges(session)


def _load(setting: Setting, hold: Hold, session: WorkerSession, source: str, seconds: dict[str, float]) -> None:
    with stage(seconds, "load"):
        # Before the candidate is loaded, so that memory which cannot be mapped is not taken for its failure.
        session.wait_until_ready()
        if hold.is_alone or setting.keeps_block:
            # All slots that timing needs, in one allocation: opening a second one takes 37 ms (H200).
            slots_of_block(session, setting.bench.seconds_per_call)
        else:
            session.have_slots(1)
        with building(seconds, "load", session):
            session.load(source)


def _out_of_memory(setting: Setting, error: RuntimeError, session: WorkerSession) -> Exception:
    """The failure to raise if the judge found no memory: the candidate's if its end frees much, else the harness's."""
    held = setting.bytes_of_others()
    session.close()
    all_bytes = device_named(setting.bench.device).memory_bytes()
    least_bytes = SHARE_OF_MEMORY_TO_BLAME * all_bytes + setting.bench.bytes_to_answer
    if held - setting.bytes_of_others() > least_bytes:
        return CandidateFailed(Outcome.RUNTIME_ERROR, "leaves the device no memory to check its answers in")
    return HarnessError(
        f"{setting.bench.task_id}: the device has no memory left ({said_by(error)}); "
        "end what else runs on it and run again"
    )
