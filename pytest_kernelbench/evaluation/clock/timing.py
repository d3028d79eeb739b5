"""Turns pairs of durations into a speed-up with an interval. Standard library only.

The estimator is the median of paired log-ratios: one slow moment of the machine moves one pair, not the
result. The interval is the exact order-statistic interval of the median, which assumes nothing about the
noise but that pairs are independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from typing import Any

from pytest_kernelbench.evaluation.protocols import Protocol

CONFIDENCE = 0.95
# After so many pairs, a median under ``HOPELESS_SHARE`` of the margin ends the timing: no true claim of 3 % had one, at
# a margin of 1 % (GPU, 1 ms).
PAIRS_TO_GIVE_UP = 12
# An interval whose upper end is under this share of the margin ends the timing at any number of pairs. A candidate that
# is faster by one and a half margins loses its claim in this way once in 60,000 (normal noise as large as the margin).
HOPELESS_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """``speedup`` is reference / candidate; low and high bound its 95 % interval (None: too few pairs, or sequential).

    ``candidate_times_ms`` are the single calls, in the order in which they were made.
    """

    reference_ms: float
    candidate_ms: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None
    pairs: int
    candidate_times_ms: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Fields of ``Evaluation``; single calls with six digits."""
        return {**asdict(self), "candidate_times_ms": tuple(float(f"{ms:.6g}") for ms in self.candidate_times_ms)}


@cache
def median_interval_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (0-based) of the order statistics that bound a median with at least ``confidence``; None if n is too small.

    P(x_(r) < median < x_(n-1-r)) = 1 - 2 P(Binomial(n, 1/2) <= r).
    """
    tail, rank = 0.0, -1
    for r in range(n // 2):
        tail += math.comb(n, r) / 2**n
        if 1 - 2 * tail < confidence:
            break
        rank = r
    return None if rank < 0 else (rank, n - 1 - rank)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Bounds of the median of what ``values`` are drawn from; None if they are too few."""
    ranks = median_interval_ranks(len(values), confidence)
    if ranks is None:
        return None
    ordered = sorted(values)
    return ordered[ranks[0]], ordered[ranks[1]]


def paired_timing(reference_ms: Sequence[float], candidate_ms: Sequence[float]) -> Timing:
    """Timing from pairs taken next to each other; with fewer than 6 pairs the interval is unknown."""
    if len(reference_ms) != len(candidate_ms) or not reference_ms:
        raise ValueError("one reference duration is needed for each candidate duration, and at least one pair")
    log_ratios = [math.log(r / c) for r, c in zip(reference_ms, candidate_ms, strict=True)]
    interval = median_interval(log_ratios)
    return Timing(
        reference_ms=median(reference_ms),
        candidate_ms=median(candidate_ms),
        speedup=math.exp(median(log_ratios)),
        speedup_low=math.exp(interval[0]) if interval else None,
        speedup_high=math.exp(interval[1]) if interval else None,
        pairs=len(log_ratios),
        candidate_times_ms=tuple(candidate_ms),
    )


def sequential_timing(reference_ms: Sequence[float], candidate_ms: Sequence[float]) -> Timing:
    """KernelBench's way: first trial dropped, means of the rest, rounded to three significant digits."""
    reference, candidate = (float(f"{sum(ms[1:]) / len(ms[1:]):.3g}") for ms in (reference_ms, candidate_ms))
    return Timing(
        reference_ms=reference,
        candidate_ms=candidate,
        speedup=reference / candidate,
        speedup_low=None,
        speedup_high=None,
        pairs=len(candidate_ms),
        candidate_times_ms=tuple(candidate_ms),
    )


def enough(timing: Timing, protocol: Protocol, margin: float) -> bool:
    """Whether the timing can end, because more pairs would hardly change what becomes of this candidate.

    A claim ends it at once: the judge's clock decides then, so looking often favours nobody. Without a claim, it ends
    when the interval is below ``HOPELESS_SHARE`` of the margin, or from ``pairs_min`` pairs on when the interval is
    below the margin or as narrow as the protocol asks, when the median is hopeless after ``PAIRS_TO_GIVE_UP`` pairs,
    and at ``pairs_max`` pairs.
    """
    if timing.speedup_low is None or timing.speedup_high is None:
        return False
    if timing.speedup_low > 1 + margin or timing.speedup_high < 1 + HOPELESS_SHARE * margin:
        return True
    if timing.pairs < protocol.pairs_min:
        return False
    half_width = math.log(timing.speedup_high / timing.speedup_low) / 2
    return (
        timing.speedup_high < 1 + margin
        or (timing.pairs >= PAIRS_TO_GIVE_UP and timing.speedup < 1 + HOPELESS_SHARE * margin)
        or half_width < protocol.half_width
        or timing.pairs >= protocol.pairs_max
    )
