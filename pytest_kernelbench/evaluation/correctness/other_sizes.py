"""Checks a right candidate again at small and odd sizes.

A kernel may be written for the task's sizes alone: if it is wrong at others, or ends its process, that is a remark. A
candidate that is right on the task's own draw at these sizes is checked there on every kind of inputs, which takes a
few small calls: a wrong answer is then a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any, NamedTuple

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, NON_FINITE, TASK
from pytest_kernelbench.evaluation.correctness.replay import replay
from pytest_kernelbench.evaluation.correctness.resizing import smaller
from pytest_kernelbench.evaluation.failures import CandidateFailed, WrongValues
from pytest_kernelbench.evaluation.handles.racks import Rack
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.judges.replayed import Replayed
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.tasks import with_sizes

OWN_SIZES_ONLY = "right only at the task's own sizes"
HANDS_NOTHING_ON = "a NaN or an infinity in its inputs is not handed on as the reference does"


class Elsewhere(NamedTuple):
    """Remarks on a candidate at other sizes, and whether it was checked there on every kind of inputs."""

    remarks: tuple[str, ...]
    every_kind: bool


class OtherSizes:
    """One task at the sizes that ``resizing.smaller`` finds. ``sizes``: by name; None where it finds none."""

    def __init__(self, case: dict[str, Any], device: str) -> None:
        self.sizes = smaller(case["source"], seed=case["seed"])
        self._bench: Bench | None = None
        if self.sizes is None:
            return
        source, precision = with_sizes(case["source"], self.sizes), case["precision"]
        try:
            self._bench = Bench(case["task"], source, seed=case["seed"], device=device, precision=precision)
        except HarnessError:
            # The reference runs at the task's own sizes: that it fails at these is not the task's fault.
            self.sizes = None
            return
        self._kinds = [kind for kind in ("signed", *BEYOND_THE_TASK) if self._bench.usable(kind)]
        self._rack = Rack(self._bench)

    def prepare_checks(self) -> None:
        """Compute inputs, answers and tolerances of all checks of ``looked_at``."""
        if self._bench is not None:
            specials = [NON_FINITE] if self._bench.usable(NON_FINITE) else []
            self._bench.answer_ahead([TASK, *self._kinds, *specials])

    def close(self) -> None:
        """Free the memory of the slot."""
        if self._bench is not None:
            self._rack.close()

    @property
    def described(self) -> str:
        """The sizes as text: ``N=257, M=67``."""
        return ", ".join(f"{name}={value}" for name, value in (self.sizes or {}).items())

    def replayed(self, session_of: Callable[[Bench, Rack], WorkerSession], source: str, kind: str) -> Replayed | None:
        """As ``replay``, at these sizes; None where there are none, or the reference is not defined on the kind there.

        Raises CandidateFailed.
        """
        if self._bench is None or not self._bench.usable(kind):
            return None
        with closing(session_of(self._bench, self._rack)) as session:
            session.load(source)
            return replace(replay(session, kind), sizes=self.described)

    def looked_at(
        self, session_of: Callable[[Bench, Rack], AbstractContextManager[WorkerSession]], source: str, weights: str
    ) -> Elsewhere:
        """Check a candidate at these sizes. Raises CandidateFailed if it is wrong on a kind of inputs."""
        if self._bench is None:
            return Elsewhere((), every_kind=False)
        at = f"at {self.described}"
        with session_of(self._bench, self._rack) as session:
            session.wait_until_ready()
            (slot,) = session.have_slots(1)
            try:
                session.load(source, weights=weights)
                session.check(slot, 0, TASK)
            except CandidateFailed as failure:
                remark = f"{OWN_SIZES_ONLY} ({at}: {failure.outcome.value}, {failure.detail[:120]})"
                return Elsewhere((remark,), every_kind=False)
            for number, kind in enumerate(self._kinds, 1):
                try:
                    session.check(slot, number, kind)
                except CandidateFailed as failure:
                    if failure.outcome is Outcome.TIMEOUT:
                        remark = f"not checked at other sizes ({at}: {failure.detail})"
                        return Elsewhere((remark,), every_kind=False)
                    failure.detail = f"{at}: {failure.detail}"
                    raise
            return Elsewhere(self._remarks_on_specials(session, len(self._kinds) + 1), every_kind=True)

    def _remarks_on_specials(self, session: WorkerSession, number: int) -> tuple[str, ...]:
        if not session.bench.usable(NON_FINITE):
            return ()
        (slot,) = session.have_slots(1)
        try:
            session.check(slot, number, NON_FINITE)
        except WrongValues:
            return (HANDS_NOTHING_ON,)
        except CandidateFailed as failure:
            return (f"{HANDS_NOTHING_ON} ({failure.outcome.value})",)
        return ()
