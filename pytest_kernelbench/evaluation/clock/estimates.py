"""The interval of a speed-up, from pairs of turns in some pairs of processes (``Series``). Imports no torch.

Three parts of what can be wrong are told apart in ``attestation``; noise and the difference between processes are
counted here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, median, variance
from typing import NamedTuple

from pytest_kernelbench.evaluation.clock.signed_ranks import centre_of

CONFIDENCE_OF_A_LOOK = 0.999
ERRORS_OF_A_LOOK = NormalDist().inv_cdf((1 + CONFIDENCE_OF_A_LOOK) / 2)  # standard errors to each side
# One-sided, because up to five numbers of series are looked at. With 1 % (2.33 standard errors) the interval of claims
# near the margin, where the looks are most, covered the truth in 95.0 % of 200 (benchmarks/attestation_simulated.py);
# with 0.6 % (2.5) in 96 %, and three in 100 claims of 3 % fewer counted.
CLAIM_ERROR = 0.0082
# If series spread by more than so many times ``Plan.between``, their own spread is used alone, by Student's
# distribution.
TELLING_SPREAD = 2.0
# At most this share of a turn counts as time around its calls.
MOST_AROUND = 0.5
LARGEST_LOG = math.log(sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its number of pairs, and the centre of their log(control / candidate) with an interval.

    ``low`` and ``high`` are infinite where there are too few pairs for an interval.
    """

    pairs: int
    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, candidate_s: Sequence[float], control_s: Sequence[float], empty_s: Sequence[float]) -> Series:
        """From the seconds of both sides' turns, in the order of the pairs, and of empty turns."""
        logs = log_ratios(candidate_s, control_s, median(empty_s))
        return cls(len(logs), *centre_of(logs, CONFIDENCE_OF_A_LOOK))

    @property
    def noise(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def standard_error(self) -> float:
        """Of the centre, as far as it is told from the interval."""
        return self.noise / ERRORS_OF_A_LOOK


def log_ratios(candidate_s: Sequence[float], control_s: Sequence[float], around_s: float) -> list[float]:
    """log(control / candidate) of each pair of turns, without ``around_s``, the seconds around the calls of a turn."""
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


def estimate(
    series: Sequence[Series], between: float, *, low_error: float = CLAIM_ERROR, high_error: float = CLAIM_ERROR
) -> Estimate:
    """The weighted mean over series of their centres; noise and the difference between processes added as errors are.

    ``low_error`` and ``high_error`` are the probabilities that the truth is below and above the interval.
    """
    differ = difference_of(series, between)
    weights = weights_of(series, differ)
    middle = mean_of(series, weights)
    low = middle - reach_of(weights, [each.middle - each.low for each in series], differ, low_error)
    high = middle + reach_of(weights, [each.high - each.middle for each in series], differ, high_error)
    return Estimate(math.exp(middle), math.exp(low), math.exp(high) if high < LARGEST_LOG else math.inf)


def weights_of(series: Sequence[Series], differ: Difference) -> list[float]:
    """The weight of each series in the mean: one over its variance, so that a noisy one does not spoil the others.

    With equal weights, five series that agreed on 1.12 within 0.05 to 0.13 came out as [0.955, 1.17] beside one with an
    interval of 0.99 (level1/44, H200).
    """
    precision = [1 / (differ.deviation**2 + each.standard_error**2) for each in series]
    total = sum(precision)
    return [each / total for each in precision] if total else [1 / len(series)] * len(series)


def mean_of(series: Sequence[Series], weights: Sequence[float]) -> float:
    """The weighted mean of their centres."""
    return sum(weight * each.middle for weight, each in zip(weights, series, strict=True))


def reach_of(weights: Sequence[float], noise: Sequence[float], differ: Difference, error: float) -> float:
    """How far the interval of a weighted mean reaches to one side; ``noise``: how far the interval of each does."""
    # A series has its interval at the confidence of one look; a smaller error rate needs a wider one.
    wider = max(1.0, normal_at(error) / ERRORS_OF_A_LOOK)
    of_processes = differ.errors_at(error, len(weights)) * differ.deviation * math.hypot(*weights)
    return math.hypot(of_processes, wider * noise_of(weights, noise))


def noise_of(weights: Sequence[float], noise: Sequence[float]) -> float:
    """How far the interval of a weighted mean reaches for the noise within series alone."""
    return math.hypot(*(weight * each for weight, each in zip(weights, noise, strict=True) if weight))


class Difference(NamedTuple):
    """The standard deviation between processes; ``is_told``: it is estimated from the series themselves."""

    deviation: float
    is_told: bool

    def errors_at(self, error: float, n: int) -> float:
        """Standard errors that the mean of ``n`` series exceeds, to one side, with the probability ``error``."""
        return student_at(error, n - 1) if self.is_told else normal_at(error)


def difference_of(series: Sequence[Series], between: float) -> Difference:
    """The larger of ``between`` and the series' spread beyond their noise; far more counts as told by them alone."""
    noise = fmean(each.standard_error**2 for each in series)
    spread = math.sqrt(max(0.0, variance(each.middle for each in series) - noise)) if len(series) > 1 else 0.0
    return Difference(max(between, spread), spread > TELLING_SPREAD * between)


@cache
def normal_at(error: float) -> float:
    """Standard errors beyond which the normal distribution has ``error`` of its mass, on one side."""
    return NormalDist().inv_cdf(1 - error)


@cache
def student_at(error: float, freedom: int) -> float:
    """Standard errors beyond which Student's distribution has ``error`` of its mass, on one side."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - error))
