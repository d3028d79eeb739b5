"""A candidate that claims to be faster: what the judge does until the claim counts, or does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from pytest_kernelbench.evaluation.clock.plausibility import Suspicion
from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.clock.turns import warm
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


class _Second:
    """The second worker of a claim: started ahead, and stopped until it is asked for; later ones when they are."""

    def __init__(self, another: Callable[[], WorkerSession]) -> None:
        self._another = another
        self._waiting: WorkerSession | None = None

    def start(self) -> None:
        self._waiting = self._another()
        warm(self._waiting, 1)
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

    What that needs and takes no quiet is done beside others, unless the slots are too large for that: controls and
    other workers of the candidate are started, and a call of it is profiled. Raises CandidateFailed, and HarnessError.
    """
    if why := setting.findings.uncounted_because:
        void_for(setting.verifier.unrecorded(claim.session))
        found |= {"counted": False, "uncounted_because": why}
        return
    quiet = QuietOfTrial(setting, hold, seconds)
    with closing(_Second(claim.another)) as second:
        if quiet.may_end:
            with claim.session.stopped():
                quiet.is_over()
            with stage(seconds, "load"):
                setting.verifier.prepare()
                second.start()
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
                claim.session, second, claim.seconds_per_call, claim.timing.candidate_ms, quiet
            )
            found |= attested.to_json()


def void_for(suspicion: Suspicion | None) -> None:
    """Raises CandidateFailed where there is one."""
    if suspicion is not None:
        raise CandidateFailed(Outcome.VOID, suspicion.evidence, (suspicion.flag,))
