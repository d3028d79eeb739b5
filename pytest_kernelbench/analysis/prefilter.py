"""Ranking before anything was checked: evaluate only the first m of all candidates drawn.

One entry of ``analyses["prefilter"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...], "m": [1, 2, ..., n],
     "success": {RANKING: {"verified": curve, "raw": curve}},
     "against_random": {RANKING: {"verified": curve, "raw": curve}}}        difference of the two rates

Success is at least one correct and fast candidate among the m. RANKING is ``random`` (exact), ``surprisal``,
``confidence``, ``surprisal-sum``, ``confidence-sum``.
"""

from __future__ import annotations

from functools import partial

import numpy

from pytest_kernelbench.analysis.base import READINGS, Floats, Json, SampleGroup, UnitSamples, for_each_group
from pytest_kernelbench.stats import any_success_curve

RANKED = {
    "surprisal": ("mean", True),
    "confidence": ("mean", False),
    "surprisal-sum": ("sum", True),
    "confidence-sum": ("sum", False),
}


def of_group(group: SampleGroup) -> Json | None:
    if not group.has_logprobs:
        return None
    random_UM = {reading: group.table(partial(_random, reading=reading)) for reading in READINGS}
    ranked_UM = {
        name: {reading: group.table(partial(_ranked, ranking=name, reading=reading)) for reading in READINGS}
        for name in RANKED
    }
    return {
        "m": list(range(1, group.n + 1)),
        "success": {
            name: {reading: group.rate_curve(values_UM) for reading, values_UM in readings.items()}
            for name, readings in {"random": random_UM, **ranked_UM}.items()
        },
        "against_random": {
            name: {reading: group.curve(values_UM - random_UM[reading]) for reading, values_UM in readings.items()}
            for name, readings in ranked_UM.items()
        },
    }


prefilter = for_each_group(of_group)


def _random(unit: UnitSamples, *, reading: str) -> Floats:
    return any_success_curve(unit.n, int(unit.fast_N[reading].sum()))


def _ranked(unit: UnitSamples, *, ranking: str, reading: str) -> Floats:
    score, surprising_first = RANKED[ranking]
    ranked = unit.ranked(score, surprising_first=surprising_first)
    return numpy.maximum.accumulate(unit.fast_N[reading][ranked]).astype(float)
