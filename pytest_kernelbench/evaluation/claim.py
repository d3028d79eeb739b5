"""A candidate that claims to be faster: what the judge does until the claim counts, or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pytest_kernelbench.evaluation.clock.plausibility import Suspicion
from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.company import QuietOfTrial
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.holds import Hold
from pytest_kernelbench.evaluation.session import WorkerSession
from pytest_kernelbench.evaluation.setting import Setting
from pytest_kernelbench.evaluation.stages import stage
from pytest_kernelbench.records import Outcome


class Claim(NamedTuple):
    """A candidate whose own timing is a claim, and ``another``, which gives a new worker with it."""

    session: WorkerSession
    another: Callable[[], WorkerSession]
    seconds_per_call: float
    timing: Timing


def verify(setting: Setting, hold: Hold, claim: Claim, found: dict[str, Any], seconds: dict[str, float]) -> None:
    """Fills in whether a claim counts.

    What that needs and takes no quiet is done beside others, unless the slots are too large for that: controls and
    other workers of the candidate are started, and a call of it is profiled. Raises CandidateFailed, and HarnessError.
    """
    if why := setting.findings.uncounted_because:
        void_for(setting.verifier.unrecorded(claim.session))
        found |= {"counted": False, "uncounted_because": why}
        return
    quiet = QuietOfTrial(setting, hold, seconds)
    if quiet.may_end:
        with claim.session.stopped():
            quiet.is_over()
        with stage(seconds, "load"):
            setting.verifier.prepare()
    with stage(seconds, "time"):
        suspicion = setting.verifier.unrecorded(claim.session)
    if suspicion is not None and not hold.is_alone:
        with claim.session.stopped():
            quiet.begin()
        # Whether others' work can cost the profiler a record is not known.
        suspicion = setting.verifier.unrecorded(claim.session)
    void_for(suspicion)
    with stage(seconds, "attest"):
        attested = setting.verifier.attest(
            claim.session, claim.another, claim.seconds_per_call, claim.timing.candidate_ms, quiet
        )
        found |= attested.to_json()


def void_for(suspicion: Suspicion | None) -> None:
    """Raises CandidateFailed where there is one."""
    if suspicion is not None:
        raise CandidateFailed(Outcome.VOID, suspicion.evidence, (suspicion.flag,))
