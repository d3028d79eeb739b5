"""A candidate that claims to be faster: what the judge does until the claim counts, or does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from pytest_kernelbench.evaluation.clock.plausibility import Suspicion
from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.company import wait_to_be_alone
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


class _Second:
    """The second worker of a claim: started ahead, and stopped until it is asked for; later ones when they are."""

    def __init__(self, another: Callable[[], WorkerSession]) -> None:
        self._another = another
        self._waiting: WorkerSession | None = None

    def start(self) -> None:
        self._waiting = self._another()
        self._waiting.freeze()

    def __call__(self) -> WorkerSession:
        session, self._waiting = self._waiting, None
        return session or self._another()

    def close(self) -> None:
        """End it, if nobody asked for it."""
        if self._waiting is not None:
            self._waiting.close()


def verify(setting: Setting, hold: Hold, claim: Claim, found: dict[str, Any], seconds: dict[str, float]) -> None:
    """Fills in whether a claim counts.

    What that needs and takes no quiet is done beside others, unless the slots are too large for that: controls and a
    second worker of the candidate are started, and a call of it is profiled. Raises CandidateFailed, and HarnessError.
    """
    if why := setting.findings.uncounted_because:
        void_for(setting.verifier.unrecorded(claim.session))
        found |= {"counted": False, "uncounted_because": why}
        return
    with closing(_Second(claim.another)) as second:
        if hold.may_share and setting.keeps_block:
            with stage(seconds, "wait"), claim.session.stopped():
                hold.be_beside_others()
            with stage(seconds, "load"):
                setting.workers.call_up()
                setting.verifier.prepare()
                second.start()
        with stage(seconds, "time"):
            suspicion = setting.verifier.unrecorded(claim.session)
        beside_others = not hold.is_alone
        with stage(seconds, "wait"):
            wait_to_be_alone(setting, claim.session, hold)
        if suspicion is not None and beside_others:
            # Whether others' work can cost the profiler a record is not known.
            suspicion = setting.verifier.unrecorded(claim.session)
        void_for(suspicion)
        with stage(seconds, "attest"):
            attested = setting.verifier.attest(claim.session, second, claim.seconds_per_call, claim.timing.candidate_ms)
            found |= attested.to_json()


def void_for(suspicion: Suspicion | None) -> None:
    """Raises CandidateFailed where there is one."""
    if suspicion is not None:
        raise CandidateFailed(Outcome.VOID, suspicion.evidence, (suspicion.flag,))
