"""Ranking before anything was checked: evaluate only the first m of all distinct programs drawn.

One entry of ``analyses["prefilter"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...], "of": COUNTS, "unit": "program" | "draw", "m": [1, 2, ..., n], "units": 60,
     "success": {RANKING: {"verified": curve, "raw": curve}},
     "against_random": {RANKING: {"verified": curve, "raw": curve}},        difference of the two rates
     "crossover_m": {RANKING: {"verified": m | null, "raw": m | null}}}

Success is at least one correct and fast candidate among the m. RANKING is ``random`` (exact), ``surprisal``,
``confidence``, ``surprisal-sum``, ``confidence-sum``. ``crossover_m`` is the least m from which a ranking stays at
least as successful as the random one, null where it does not before the last. A set has two entries: of ``program``,
where evaluating the same source twice costs nothing, and of ``draw``, as in the paper. ``units`` counts those in it,
all of whose candidates have a log-probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from pytest_kernelbench.report.analyses.base import ANSWER, READINGS, Floats, Json, SampleGroup, Study, UnitSamples
from pytest_kernelbench.report.analyses.units import places_of_programs
from pytest_kernelbench.report.stats import any_success_curve

RANKED = {
    "surprisal": ("mean", True),
    "confidence": ("mean", False),
    "surprisal-sum": ("sum", True),
    "confidence-sum": ("sum", False),
}


def prefilter(study: Study) -> list[Json]:
    entries = [(group, unit, _of_group(group, unit)) for group in study.groups for unit in ("program", "draw")]
    return [
        {"strategies": list(group.strategies), "of": group.counts, "unit": unit, **entry}
        for group, unit, entry in entries
        if entry is not None
    ]


def _of_group(group: SampleGroup, what: str) -> Json | None:
    places = {unit: _places(unit, what) for unit in group.units if _is_ranked(unit)}
    if not places:
        return None
    most = max(map(len, places.values()))
    in_curves = {unit: found for unit, found in places.items() if 2 * len(found) >= most}
    n = min(map(len, in_curves.values()))

    def table(reading: str, ranking: str | None) -> Floats:
        rows = [
            _success(unit, in_curves[unit], reading, ranking)[:n] if unit in in_curves else numpy.full(n, numpy.nan)
            for unit in group.units
        ]
        return numpy.array(rows, dtype=float)

    random_UM = {reading: table(reading, None) for reading in READINGS}
    ranked_UM = {name: {reading: table(reading, name) for reading in READINGS} for name in RANKED}
    against = {
        name: {
            reading: group.difference_curve(values_UM - random_UM[reading]) for reading, values_UM in readings.items()
        }
        for name, readings in ranked_UM.items()
    }
    return {
        "m": list(range(1, n + 1)),
        "units": len(in_curves),
        "success": {
            name: {reading: group.rate_curve(values_UM) for reading, values_UM in readings.items()}
            for name, readings in {"random": random_UM, **ranked_UM}.items()
        },
        "against_random": against,
        "crossover_m": {
            name: {reading: crossover(curve["value"]) for reading, curve in readings.items()}
            for name, readings in against.items()
        },
    }


def crossover(difference_M: Sequence[float | None]) -> int | None:
    """The least m from which the difference stays at least 0, before the last, where all that was drawn is
    evaluated.
    """
    behind = [m for m, each in enumerate(difference_M, 1) if each is None or each < -1e-12]
    least = behind[-1] + 1 if behind else 1
    return least if least < len(difference_M) else None


def _is_ranked(unit: UnitSamples) -> bool:
    return unit.n > 0 and not any(numpy.isnan(values).any() for values in unit.logprob_N[ANSWER].values())


def _places(unit: UnitSamples, what: str) -> list[int]:
    """Of the first answer with each program, or of every candidate."""
    return [each[0] for each in places_of_programs(unit.source_N)] if what == "program" else list(range(unit.n))


def _success(unit: UnitSamples, places: list[int], reading: str, ranking: str | None) -> Floats:
    fast = unit.fast_N[reading][places]
    if numpy.isnan(fast).any():
        return numpy.full(len(places), numpy.nan)
    if ranking is None:
        return any_success_curve(len(places), int(fast.sum()))
    score, surprising_first = RANKED[ranking]
    keys = unit.logprob_N[ANSWER][score][places] * (1 if surprising_first else -1)
    return numpy.maximum.accumulate(fast[numpy.argsort(keys, kind="stable")])
