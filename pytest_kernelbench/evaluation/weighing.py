"""How sure the judge must be of a claim before it counts, and of a suspicion before it convicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

from pytest_kernelbench.evaluation.plausibility import BY_THE_CLOCK, Suspicion
from pytest_kernelbench.evaluation.timekeeping import SWEEPS, Measured
from pytest_kernelbench.evaluation.timing import median_interval

# A saving is seen for sure when this interval of the median says so, and the sweeps took this long. On a CPU, a fifth
# of it used by others in bursts, so a forged saving was seen in none of 247 series of 160 sweeps, without waiting for
# a second in one, and at 99 % in six; that of an honest kernel in 50 of 54.
SURE = 0.9999
SECONDS_TO_BE_SURE = 1.0
SWEEPS_TO_BE_SURE = 15
SWEEPS_TO_ACQUIT = 5
LOOK_AFTER_MORE = 1.2
# Of the shortest; of others there are as many as there is time for.
MOST_SWEEPS = 1000


class TurnsTaken(NamedTuple):
    """Sweeps of a candidate and of the control, each right after the other, and how long all of them took.

    Of each, the milliseconds of a call by the judge's clock, and of the CPU's time that a call used; of these
    none where nobody asked.
    """

    own_ms: list[float]
    control_ms: list[float]
    own_cpu_ms: list[float]
    control_cpu_ms: list[float]
    seconds: float

    def saving_ms(self) -> tuple[float, float]:
        """By how much the candidate's were shorter: at least, and at most."""
        return self._saved(self.own_ms, self.control_ms)

    def saving_beside_others_ms(self, control_ms: float) -> tuple[float, float]:
        """The same of a control that takes so long alone, by the CPU's time: others' work does not lengthen it.

        At least no more than by the judge's clock, in the median: work is also what a candidate has others do.
        """
        least, most = self._saved(self.own_cpu_ms, self.control_cpu_ms)
        scale = control_ms / median(self.control_cpu_ms)
        return min(least * scale, median(self.control_ms) - median(self.own_ms)), most * scale

    def _saved(self, own: list[float], control: list[float]) -> tuple[float, float]:
        saved = [theirs - ours for ours, theirs in zip(own, control, strict=True)]
        interval = median_interval(saved, SURE) if self.seconds >= SECONDS_TO_BE_SURE else None
        return interval or (-math.inf, math.inf)


def weigh(
    turns: Iterator[TurnsTaken], objection: Callable[[TurnsTaken, bool], Suspicion | None]
) -> tuple[Suspicion | None, str | None]:
    """What a candidate is suspected of, and where that is not certain, why.

    ``objection(taken, in_favour)`` says what speaks against the candidate, with each doubt counted against it or in its
    favour. Who claims to be fast has to show it: no objection with the doubts against it acquits, and one that stands
    with the doubts in its favour convicts.
    """
    next_look = SWEEPS_TO_ACQUIT
    for taken in turns:
        n = len(taken.own_ms)
        if n < next_look:
            continue
        next_look = max(n + 1, int(LOOK_AFTER_MORE * n))
        if (doubt := objection(taken, False)) is None:
            return None, None
        proof = objection(taken, True)
        if proof is not None and n >= SWEEPS:
            break
    if proof is not None:
        return proof, None
    return doubt, "the judge's clock saw it save {:.3g} to {:.3g} ms a call, too rough to tell".format(
        *taken.saving_ms()
    )


class Retrial(NamedTuple):
    """What a suspect's second timing says, if it claims to be fast again, and what disturbed it, if anything did."""

    measured: Measured
    suspicion: Suspicion | None
    claims: bool
    disturbance: str | None

    @property
    def excuse(self) -> str | None:
        """Why the suspicion convicts nobody."""
        by_the_clock = self.suspicion is not None and self.suspicion.flag in BY_THE_CLOCK
        return self.disturbance if by_the_clock else None


def decide(retrials: Iterator[Retrial]) -> tuple[Measured, Suspicion | None]:
    """The timing that counts, and what convicts the candidate; as many retrials are made as that needs.

    Convicted is who is suspect twice, and who is so once must be found innocent twice: on a busy machine one retrial in
    thirty is mistaken, either way. So must who is timed while others use the cores; there, who is suspect twice by the
    clock alone is not convicted, and has nothing from his claim. Who drops it has nothing from it either, whatever was
    found before.
    """
    suspect = innocent = excused = 0
    doubtful = False
    for again in retrials:
        if again.suspicion is None and not again.claims:
            return again.measured, None
        doubtful = doubtful or again.suspicion is not None or again.disturbance is not None
        innocent += again.suspicion is None
        excused += again.excuse is not None
        suspect += again.suspicion is not None and again.excuse is None
        if suspect == 2 or innocent == 1 + doubtful:
            return again.measured, again.suspicion
        if excused == 2:
            return again.measured.without_claim(again.excuse), None
    raise AssertionError("retrials never end")
