"""Does a claim hold by the judge's own clock? How it is measured, and how it is decided. Standard library only.

Two processes take turns: the candidate's worker, and a control worker in which no candidate ever was and which runs
the reference. A turn is a number of calls, each on inputs that the process has not seen. One pair of turns gives one
log-ratio, control / candidate. Pairs in the same two processes are a ``Series``. There are at least two series, each
with a process of its own for the candidate.

    measure -> [Series, Series, ...] -> decide -> Verdict

What can be wrong is counted in three parts:

- noise within a series. The order within each pair is drawn, so log-ratios fall to either side of the truth like
  coins, whatever the noise is like: bursts, drift and autocorrelation included. The interval is the order-statistic
  interval of the median. It is looked at five times, at 99.9 % each: together 0.5 % a series.
- the difference between processes. The same kernel is faster in one process than in another; no number of turns
  averages that. It is a variance component of ``Plan.between`` (or what the series show, if that is more), at
  ``PROCESSES_AT`` standard errors.
- other programs that use the cores: beyond a quarter of them, no claim counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from random import SystemRandom
from statistics import fmean, median, stdev
from typing import Literal, Protocol

from pytest_kernelbench.evaluation.clock.timing import median_interval

# The first is the least number of which the whole range is an interval at 99.9 %; each look doubles the pairs.
LOOKS = (11, 22, 44, 88, 176)
CONFIDENCE_OF_A_LOOK = 0.999
# One-sided 0.8 %, because up to five numbers of series are looked at. With 2.33 the interval of claims near the margin,
# where the looks are most, covered the truth in 95.0 % of 200 (benchmarks/attestation_simulated.py); with 2.5 in 96 %,
# and three in 100 claims of 3 % fewer counted.
PROCESSES_AT = 2.4
# A claim that is not within so many standard errors of its limit is given up: of claims of 3 % none.
HOPELESS_AT = 1.645
LEAST_SERIES, MOST_SERIES = 2, 6
# More pairs do not help where the difference between processes is the larger part.
NOISE_SHARE = 0.5
# A series ends at its next pair after that time, but not before the first look.
SECONDS_PER_SERIES = 5.0
# Standard deviation of the log-ratio of the same two kernels from one pair of processes to the next: of calls that are
# long, and of calls that a GPU's host can hardly launch as fast as they end. Of 0.05 ms (H100) four pairs of processes
# gave 0.93, 1.05, 1.08 and 1.30 for what was 1.0 or 1.2. Calls of over ``LAUNCHED_MS`` are launched ahead.
BETWEEN = {"cpu": 0.02, "cuda": 0.01}
BETWEEN_LAUNCHES, LAUNCHED_MS = {"cpu": 0.0, "cuda": 0.16}, 0.1
# Series that differ by more than so many times what processes are known to differ by tell how much they do; of so few
# series, by Student's distribution. One-sided 0.8 % for 1 to 5 degrees of freedom.
TELLING_SPREAD = 2.0
STUDENT_AT = (39.8, 7.8, 4.9, 4.0, 3.6)
# Empty turns tell what surrounds the calls: one at the start and one after so many pairs.
PAIRS_PER_EMPTY_TURN = 4
# So much of a turn may count as what surrounds its calls: the rest is what a call takes at least.
MOST_AROUND = 0.5
# With two endless loops on two cores others' share is 0.5 to 0.6; on a quiet machine it is under 0.05.
DISTURBING_SHARE = 0.25

Side = Literal["candidate", "control"]
# The operating system's own: a candidate must not foresee whose turn is next.
_random = SystemRandom()


class TwoProcesses(Protocol):
    """A candidate's process and a control process, of which only the one whose turn it is can run."""

    def turn(self, side: Side) -> float:
        """Seconds, by the judge's clock, of calls on new inputs in one of the two. Raises what goes wrong in them."""

    def empty_turn(self) -> float:
        """Seconds of a turn of the control without calls."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``margin``: a claim counts if the interval's lower end is above ``1 + margin``.

    ``between`` is the standard deviation of the log-ratio of the same two kernels from one pair of processes to the
    next (measured: docs/measurements.md).
    """

    margin: float
    between: float


def plan_for(margin: float, device: str, candidate_ms: float) -> Plan:
    """The plan for a claim to take ``candidate_ms`` a call: the shorter, the more processes differ on a GPU."""
    of_launches = BETWEEN_LAUNCHES[device] * min(1.0, (LAUNCHED_MS / candidate_ms) ** 2)
    return Plan(margin=margin, between=math.hypot(BETWEEN[device], of_launches))


@dataclass(frozen=True, slots=True)
class Series:
    """What two processes showed: log(control / candidate) of the pairs of turns, their median and its interval.

    ``low`` and ``high`` are infinite where there are too few pairs for an interval.
    """

    pairs: int
    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, candidate_s: Sequence[float], control_s: Sequence[float], empty_s: Sequence[float]) -> Series:
        """From the seconds of turns of both, in the order in which the pairs were made, and of empty turns."""
        logs = log_ratios(candidate_s, control_s, median(empty_s))
        bounds = median_interval(logs, CONFIDENCE_OF_A_LOOK) or (-math.inf, math.inf)
        return cls(len(logs), median(logs), *bounds)

    @property
    def noise(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def log_ratios(candidate_s: Sequence[float], control_s: Sequence[float], around_s: float) -> list[float]:
    """Of each pair of turns, log(control / candidate), without the seconds that surround the calls."""
    logs = []
    for own, other in zip(candidate_s, control_s, strict=True):
        around = min(around_s, MOST_AROUND * own, MOST_AROUND * other)
        logs.append(math.log((other - around) / (own - around)))
    return logs


@dataclass(frozen=True, slots=True)
class Estimate:
    """A speed-up and its interval; 0 and infinity where too little was measured."""

    speedup: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """``counted``: whether the claim counts; None: another series is needed to say. ``because``: why it does not."""

    estimate: Estimate
    counted: bool | None
    because: str = ""


def measure(
    processes: Callable[[int], AbstractContextManager[TwoProcesses]],
    plan: Plan,
    others_share: Callable[[], float] = lambda: 0.0,
) -> Verdict:
    """Measure a claim until it is decided.

    ``processes(number)`` gives the two processes of a series; ``others_share()`` is the share of the cores that other
    programs have used since the start. Raises what the turns raise.
    """
    done: list[Series] = []
    for number in count():
        with processes(number) as two:
            done.append(_series(two, done, plan))
        verdict = decide(done, plan, others_share())
        if verdict.counted is not None:
            return verdict
    raise AssertionError("unreachable")


def _series(two: TwoProcesses, done: Sequence[Series], plan: Plan) -> Series:
    """Pairs of turns until this series can decide no more."""
    started = time.monotonic()
    turns: dict[Side, list[float]] = {"candidate": [], "control": []}
    empty_s: list[float] = []
    for pairs in count():
        if pairs % PAIRS_PER_EMPTY_TURN == 0:
            empty_s.append(two.empty_turn())
        overdue = pairs > LOOKS[0] and time.monotonic() - started > SECONDS_PER_SERIES
        if pairs in LOOKS or overdue:
            series = Series.of(turns["candidate"], turns["control"], empty_s)
            if overdue or pairs == LOOKS[-1] or _tells_enough(series, done, plan):
                return series
        sides: list[Side] = ["candidate", "control"]
        _random.shuffle(sides)
        for side in sides:
            turns[side].append(two.turn(side))
    raise AssertionError("unreachable")


def _tells_enough(series: Series, done: Sequence[Series], plan: Plan) -> bool:
    if series.noise < NOISE_SHARE * plan.between:
        return True
    together = [*done, series]
    return estimate(together, plan.between).low > 1 + plan.margin or _hopeless(together, plan)


def decide(series: Sequence[Series], plan: Plan, others_share: float) -> Verdict:
    """What the evidence says of the claim to be faster than ``1 + plan.margin``."""
    found = estimate(series, plan.between)
    limit = 1 + plan.margin
    if others_share > DISTURBING_SHARE:
        return Verdict(found, False, f"other processes used {others_share:.0%} of the cores while it was timed")
    if len(series) >= LEAST_SERIES and found.low > limit:
        return Verdict(found, True)
    if _hopeless(series, plan) or len(series) >= MOST_SERIES:
        seen = f"{found.speedup:.4g} [{found.low:.4g}, {found.high:.4g}]"
        return Verdict(found, False, f"by the judge's clock it is {seen} times as fast, and must be over {limit:.4g}")
    return Verdict(found, None)


def _hopeless(series: Sequence[Series], plan: Plan) -> bool:
    return estimate(series, plan.between, processes_at=HOPELESS_AT).high < 1 + plan.margin


def estimate(series: Sequence[Series], between: float, processes_at: float = PROCESSES_AT) -> Estimate:
    """The mean over series of their medians; noise and the difference between processes added as errors are."""
    n = len(series)
    middles = [each.middle for each in series]
    spread = stdev(middles) if n > 1 else 0.0
    if spread > TELLING_SPREAD * between:
        processes_at *= STUDENT_AT[min(n - 1, len(STUDENT_AT)) - 1] / PROCESSES_AT
    of_processes = processes_at * max(between, spread) / math.sqrt(n)
    below = math.hypot(of_processes, *((each.middle - each.low) / n for each in series))
    above = math.hypot(of_processes, *((each.high - each.middle) / n for each in series))
    middle = fmean(middles)
    return Estimate(math.exp(middle), math.exp(middle - below), math.exp(middle + above))
