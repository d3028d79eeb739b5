"""Measures and decides whether a candidate is faster than a limit, by the judge's own clock. Imports no torch.

Two processes take turns: the candidate's worker, and a control worker. A turn is a number of calls, each on inputs that
the process has not seen. One pair of turns gives one log-ratio, control / candidate. Pairs in the same two processes
are a ``Series``. There are at least two series, each with a process of its own for the candidate.

    measure -> [Series, Series, ...] -> decide -> Verdict

Two questions are asked by different ``Plan``s. For a claim (``plan_for``) the control runs the reference, no candidate
was ever in its process, and the limit is above 1. For a gate (``gates.plan_of_gate``) the control runs the kernel that
is to be replaced, and the limit is below 1: how much slower the candidate may be.

What can be wrong is counted in three parts:

- noise within a series. The order within each pair is drawn, so the log-ratios lie symmetrically around the truth,
  whatever the noise is like: bursts, drift and autocorrelation included. Their centre has the interval of the
  signed-rank statistic (``signed_ranks``), which is computed up to five times, at 99.9 % each: together 0.5 % a series.
- the difference between processes. The same kernel is faster in one process than in another, and no number of turns
  averages that out. It is a variance component of ``Plan.between`` (or what the series show beyond their noise, if that
  is more), at as many standard errors as the plan's rates of error ask for.
- other programs: beyond a quarter of the cores, a claim is undecided, and a gate measures that series again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from random import SystemRandom
from typing import Literal, Protocol, TypeVar

from pytest_kernelbench.evaluation.clock.estimates import (
    CLAIM_ERROR,
    ERRORS_OF_A_LOOK,
    Difference,
    Estimate,
    Series,
    difference_of,
    estimate,
    mean_of,
    noise_of,
    normal_at,
    reach_of,
    weights_of,
)
from pytest_kernelbench.evaluation.device.traits import traits_of

# The numbers of pairs after which a series may end. The first is the least with an interval at 99.9 %; each doubles.
LOOKS = (11, 22, 44, 88, 176)
# A claim that is not within 1.645 standard errors of its limit is given up; no true claim of 3 % was.
HOPELESS_ERROR = 0.05
LEAST_SERIES, MOST_SERIES = 2, 6
# The spread of fewer series says little, and claims of 3 % would be given up by chance.
LEAST_TO_GIVE_UP = 3
# Longer calls are launched ahead, so differences in launching fall with the square of the duration.
LAUNCHED_MS = 0.1
# Empty turns measure the time around the calls of a turn: one at the start, and one after so many pairs.
PAIRS_PER_EMPTY_TURN = 4
# Of the cores, used by other programs: 0.5 to 0.6 beside two endless loops on two cores, under 0.05 on a quiet machine.
DISTURBING_SHARE = 0.25

Side = Literal["candidate", "control"]
# On which side of the limit the candidate's speed-up is.
Answer = Literal["above", "below", "undecided"]
# The operating system's own: a candidate must not foresee whose turn is next.
_random = SystemRandom()


class TwoProcesses(Protocol):
    """A candidate's process and a control process, of which only the one whose turn it is can run."""

    def turn(self, side: Side) -> float:
        """Seconds, by the judge's clock, of calls on new inputs in one of the two. Raises what goes wrong in them."""

    def empty_turn(self) -> float:
        """Seconds of a turn of the control without calls."""


Two = TypeVar("Two", bound=TwoProcesses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The limit, the error rates of an answer, and when the measurement ends without one.

    ``margin``: the limit is ``1 + margin``, negative for a kernel that may be slower. ``between`` is the standard
    deviation of the log-ratio of the same two kernels from one pair of processes to the next (measured:
    docs/measurements.md). ``above_error`` and ``below_error`` are the one-sided error rates at one look of the answers
    "above" and "below". ``looks`` are the numbers of series after which an answer may be given; the last one ends the
    measurement. ``seconds``, of all series together: the series that is due then is the last one, None: no limit.
    ``seconds_per_series``: a series ends at its next pair after that time, but not before the first look.
    ``repeats_disturbed``: whether a series beside busy neighbours is measured again; else it ends the measurement.
    ``gives_up``: whether it ends where further series would hardly lead to "above".
    """

    margin: float
    between: float
    above_error: float = CLAIM_ERROR
    below_error: float = HOPELESS_ERROR
    looks: Sequence[int] = range(1, MOST_SERIES + 1)
    seconds: float | None = None
    seconds_per_series: float = 2.0
    repeats_disturbed: bool = False
    gives_up: bool = False


def plan_for(margin: float, device: str, candidate_ms: float) -> Plan:
    """The plan for a claim to take ``candidate_ms`` a call."""
    traits = traits_of(device)
    return Plan(
        margin=margin,
        between=between_processes(device, candidate_ms),
        seconds=traits.seconds_per_claim,
        seconds_per_series=traits.seconds_per_series,
        gives_up=True,
    )


def between_processes(device: str, call_ms: float) -> float:
    """By how much processes differ, see ``Plan.between``: on a GPU more for calls that are shorter."""
    traits = traits_of(device)
    of_launches = traits.between_launches * min(1.0, (LAUNCHED_MS / call_ms) ** 2)
    return math.hypot(traits.between_processes, of_launches)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer so far: None means that another series is needed. ``because``: why it is not "above"."""

    estimate: Estimate
    answer: Answer | None
    because: str = ""
    series: int = 0

    @property
    def counted(self) -> bool | None:
        """Whether a claim counts; None if another series is needed."""
        return None if self.answer is None else self.answer == "above"


def measure(
    processes: Callable[[int], AbstractContextManager[Two]],
    plan: Plan,
    others_share: Callable[[], float] = lambda: 0.0,
    confirmed: Callable[[Two, Verdict], Verdict] = lambda two, verdict: verdict,
) -> Verdict:
    """Measure until the plan's question is answered, or its series or seconds are spent.

    ``processes(number)`` gives the two processes of series ``number``; the time that it takes does not count.
    ``others_share()`` is the share of the cores that other programs used during all series, or if the plan
    ``repeats_disturbed``, during the last one. ``confirmed`` turns the verdict into the final one; it may have more
    turns in the processes of the last series, which are warm. Raises the exceptions of the turns.
    """
    done: list[Series] = []
    measured_s = 0.0
    for number in count():
        with processes(number) as two:
            started = time.monotonic()
            series = _series(two, done, plan)
            measured_s += time.monotonic() - started
            share = others_share()
            over = plan.seconds is not None and measured_s > plan.seconds
            if plan.repeats_disturbed and share > DISTURBING_SHARE:
                if not over:
                    continue
                # What was measured undisturbed may be enough.
                share = 0.0 if done else share
            else:
                done.append(series)
            verdict = decide(done or [series], plan, share, last=over)
            if verdict.answer is not None:
                return confirmed(two, verdict)
    raise AssertionError("unreachable")


def _series(two: TwoProcesses, done: Sequence[Series], plan: Plan) -> Series:
    """Pairs of turns until this series can decide no more."""
    started = time.monotonic()
    turns: dict[Side, list[float]] = {"candidate": [], "control": []}
    empty_s: list[float] = []
    for pairs in count():
        if pairs % PAIRS_PER_EMPTY_TURN == 0:
            empty_s.append(two.empty_turn())
        overdue = pairs > LOOKS[0] and time.monotonic() - started > plan.seconds_per_series
        if pairs in LOOKS or overdue:
            series = Series.of(turns["candidate"], turns["control"], empty_s)
            if overdue or pairs == LOOKS[-1] or _tells_enough(series, done, plan):
                return series
        for side in in_drawn_order():
            turns[side].append(two.turn(side))
    raise AssertionError("unreachable")


def in_drawn_order() -> list[Side]:
    """Both sides in random order: a pair of turns is made in this order."""
    sides: list[Side] = ["candidate", "control"]
    _random.shuffle(sides)
    return sides


def _tells_enough(series: Series, done: Sequence[Series], plan: Plan) -> bool:
    # More pairs hardly help where processes differ by more: half of an interval at 99.9 % is 3.3 standard errors.
    return series.noise < plan.between or _side_of_limit([*done, series], plan) is not None


def decide(series: Sequence[Series], plan: Plan, others_share: float, *, last: bool = False) -> Verdict:
    """Whether the speed-up is above or below ``1 + plan.margin``, by the evidence.

    ``last``: it is decided now, by whatever there is.
    """
    n, limit = len(series), 1 + plan.margin
    found = estimate(
        series, plan.between, low_error=plan.above_error, high_error=min(plan.above_error, plan.below_error)
    )
    if others_share > DISTURBING_SHARE:
        because = f"other processes used {others_share:.0%} of the cores while it was timed"
        return Verdict(found, "undecided", because, n)
    side = _side_of_limit(series, plan) if n in plan.looks or last else None
    if side == "above" and n >= LEAST_SERIES:
        return Verdict(found, "above", series=n)
    if side == "below" or last or n >= plan.looks[-1] or (plan.gives_up and _hardly_above(series, plan)):
        seen = f"{found.speedup:.4g} [{found.low:.4g}, {found.high:.4g}]"
        because = f"by the judge's clock it is {seen} times as fast, and must be over {limit:.4g}"
        return Verdict(found, "below" if side == "below" else "undecided", because, n)
    return Verdict(found, None, series=n)


def _side_of_limit(series: Sequence[Series], plan: Plan) -> Answer | None:
    """None: the interval holds the limit."""
    found = estimate(series, plan.between, low_error=plan.above_error, high_error=plan.below_error)
    limit = 1 + plan.margin
    return "above" if found.low > limit else "below" if found.high < limit else None


def _hardly_above(series: Sequence[Series], plan: Plan) -> bool:
    """Whether all further series would lead to "above" with a probability of ``below_error`` at most.

    The mean of all is predicted from the mean so far: later series are as noisy as these, and processes differ by as
    much as the plan says, or from ``LEAST_TO_GIVE_UP`` series on by as much as they show.
    """
    n, most = len(series), plan.looks[-1]
    if n < LEAST_SERIES:
        return False
    differ = difference_of(series, plan.between) if n >= LEAST_TO_GIVE_UP else Difference(plan.between, is_told=False)
    weights = weights_of(series, differ)
    # Of one series, if all were alike.
    noise = math.sqrt(n) * noise_of(weights, [each.middle - each.low for each in series])
    of_a_series = math.hypot(differ.deviation, noise / ERRORS_OF_A_LOOK)
    likely = normal_at(plan.below_error) * of_a_series * math.sqrt(1 / n - 1 / most)
    needed = math.log1p(plan.margin) + reach_of([1 / most] * most, [noise] * most, differ, plan.above_error)
    return mean_of(series, weights) + likely < needed
