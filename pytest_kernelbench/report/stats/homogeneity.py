"""Tests whether the rates of several steps can be one rate, and how much choosing the best step then adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Counts = Sequence[tuple[int, int]]  # for each step, the successes and the samples


class Homogeneity(NamedTuple):
    """Chi-square of equal rates over steps; a small ``p`` says that they are not."""

    statistic: float
    degrees: int
    p: float


def homogeneity(strata: Sequence[Counts]) -> Homogeneity | None:
    """Chi-square test that within each stratum (a task) every step has the same rate; None where none can differ.

    Statistics and degrees of freedom add over strata. A stratum whose samples all succeed or all fail says
    nothing. Source: Pearson, Philosophical Magazine 50 (1900).
    """
    from scipy.special import chdtrc

    statistic, degrees = 0.0, 0
    for counts in strata:
        sampled = [(successes, n) for successes, n in counts if n]
        rate = _pooled(sampled)
        if rate is None or rate in (0, 1) or len(sampled) < 2:
            continue
        statistic += sum((successes - n * rate) ** 2 / (n * rate * (1 - rate)) for successes, n in sampled)
        degrees += len(sampled) - 1
    return Homogeneity(statistic, degrees, float(chdtrc(degrees, statistic))) if degrees else None


def best_of_flat(strata: Sequence[Counts], *, seed: int, resamples: int = 4000) -> float | None:
    """Mean rate that the best step would show if no step differed: each stratum keeps its pooled rate throughout.

    Choosing a step by the rollouts that it is then reported on earns the difference to the pooled rate for nothing.
    """
    import numpy

    rates = [_pooled(counts) for counts in strata]
    if not strata or any(rate is None for rate in rates) or any(n == 0 for counts in strata for _, n in counts):
        return None
    n_VS = numpy.array([[n for _, n in counts] for counts in strata])
    rates_V1 = numpy.array(rates, dtype=float)[:, None]
    drawn_RVS = numpy.random.default_rng(seed).binomial(n_VS, rates_V1, size=(resamples, *n_VS.shape))
    return float((drawn_RVS / n_VS).mean(axis=1).max(axis=1).mean())


def _pooled(counts: Counts) -> float | None:
    samples = sum(n for _, n in counts)
    return sum(successes for successes, _ in counts) / samples if samples else None
