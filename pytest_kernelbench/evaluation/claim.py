"""How the judge verifies a claim, and so decides whether a candidate's speed-up counts.

A candidate claims a speed-up if its own worker measured one that exceeds 1 by more than the margin.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from pytest_kernelbench.evaluation.clock.plausibility import Suspicion
from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.company import QuietOfTrial
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.setting import Setting
from pytest_kernelbench.evaluation.sharing.holds import Hold
from pytest_kernelbench.evaluation.stages import stage
from pytest_kernelbench.records import Outcome


class Claim(NamedTuple):
    """A candidate that claims a speed-up: the worker ``session`` that measured it, and the ``timing`` there.

    ``another()`` starts a new worker with the same candidate. ``seconds_per_call`` is the judge's wait for one call.
    ``check_elsewhere()`` checks the candidate at other sizes in ``session``, once it is needed for nothing else.
    """

    session: WorkerSession
    another: Callable[[], WorkerSession]
    seconds_per_call: float
    timing: Timing
    check_elsewhere: Callable[[], None]


def verify(setting: Setting, hold: Hold, quiet: QuietOfTrial, claim: Claim, notes: Notes) -> None:
    """Measure a claim by the judge's clock, and note whether it counts.

    While other trials may use the device (``quiet`` is over), the controls are started, and after the first series one
    call of the candidate is profiled. Raises CandidateFailed, and HarnessError.
    """
    if not hold.is_alone:
        with stage(notes.seconds, "load"):
            setting.verifier.prepare()
    rest = cache(partial(_check_what_is_not_timed, setting, hold, quiet, claim, notes))
    with stage(notes.seconds, "attest"):
        measured = setting.verifier.attest(
            claim.session,
            claim.another,
            claim.seconds_per_call,
            claim.timing.candidate_ms,
            quiet,
            between=rest,
        ).to_json()
    quiet.is_over()
    rest()
    notes.found |= measured


def _check_what_is_not_timed(setting: Setting, hold: Hold, quiet: QuietOfTrial, claim: Claim, notes: Notes) -> None:
    """What is done in the worker that made the claim once its calls are not timed any more.

    Its kernels must leave a record, for which a call is profiled; a process that was profiled launches more slowly ever
    after. Raises CandidateFailed, and HarnessError.
    """
    if not claim.session.is_closed:
        claim.session.thaw()
        with stage(notes.seconds, "time"):
            suspicion = setting.verifier.unrecorded(claim.session)
        if suspicion is not None and not hold.is_alone:
            with claim.session.stopped():
                quiet.begin()
            # Profiled again alone: the work of other trials may be why the profiler has no record.
            suspicion = setting.verifier.unrecorded(claim.session)
            quiet.is_over_for(claim.session)
        void_for(suspicion)
    claim.check_elsewhere()


def void_for(suspicion: Suspicion | None) -> None:
    """End the trial as void: raises CandidateFailed if there is a suspicion."""
    if suspicion is not None:
        raise CandidateFailed(Outcome.VOID, suspicion.evidence, (suspicion.flag,))
