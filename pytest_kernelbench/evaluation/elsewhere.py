"""In which process a candidate that was timed is checked at other sizes: its worker, or one of its own for that.

On a GPU a worker takes 0.6 s to start, and longer beside others, so the worker that timed a candidate is used again
once it is needed for nothing else. What goes wrong in it may come from earlier calls, as of a kernel that keeps a
buffer of its first call's size; so no verdict is made of it, and the candidate is checked again in a new worker.
"""

from __future__ import annotations

from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass

from pytest_kernelbench.evaluation.correctness.examination import (
    Examined,
    examine_what_is_not_covered,
    kinds_not_covered,
)
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.setting import Setting
from pytest_kernelbench.evaluation.stages import stage


@dataclass(frozen=True, slots=True)
class CheckElsewhere:
    """The check at the task's other sizes of a candidate that was ``examined`` and timed in the worker ``session``."""

    setting: Setting
    session: WorkerSession
    source: str
    examined: Examined
    notes: Notes

    def check(self) -> None:
        """Check the candidate, and begin to end its worker. Raises CandidateFailed."""
        if self.setting.has_other_sizes:
            with stage(self.notes.seconds, "check"):
                remarks = self._in_its_worker()
                if remarks is None:
                    self.session.close()
                    remarks = self._in_a_new_worker()
            self.notes.found["detail"] = "; ".join((*self.examined.remarks, *remarks))
        self.setting.sessions.leave(self.session)

    def _in_its_worker(self) -> tuple[str, ...] | None:
        """Remarks on a candidate that is right there on every kind of inputs; None if it is not.

        Raises CandidateFailed where the worker has computed while it was stopped.
        """
        assert self.setting.other_sizes is not None
        if self.session.is_closed:
            return None
        self.session.thaw()
        again = self.setting.sessions.again
        with suppress(CandidateFailed):
            found = self.setting.other_sizes.looked_at(
                lambda bench, rack: nullcontext(again(self.session, bench, rack)), self.source, self.examined.weights
            )
            if found.every_kind:
                return found.remarks
        return None

    def _in_a_new_worker(self) -> tuple[str, ...]:
        setting, weights = self.setting, self.examined.weights
        assert setting.other_sizes is not None
        found = setting.other_sizes.looked_at(setting.sessions.for_a_while, self.source, weights)
        if not found.every_kind and kinds_not_covered(setting.bench, setting.protocol):
            with closing(setting.loaded(self.source, weights)) as session:
                examine_what_is_not_covered(session, setting.protocol)
        return found.remarks
