"""Tasks by how widely the log-probabilities of their candidates spread: where there is no spread, no score can rank.

One entry of ``analyses["regimes"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...],
     "thresholds": {"flat": 0.15, "high": 1.0},               nats, standard deviation of the summed log-probability
     "tasks": {UNIT: {"sd_sum_logprob": x | null, "sd_mean_logprob": x | null, "distinct": 12,
                     "regime": REGIME | null}},
     "regimes": {REGIME: {"tasks": 9, "units": 27,
                          "selectors": {SELECTOR: {"fast_1": x | null, "fast_1_raw": x, "geomean_speedup": x}}}}}

REGIME is ``high``, ``medium`` or ``flat``, by the mean over the seeds of a task, so that each task is in one regime;
SELECTOR as in ``analyses["selection"]``. ``distinct`` counts different sources. Candidates without a log-probability
are left out of a spread.
"""

from __future__ import annotations

import numpy

from pytest_kernelbench.report.analyses.base import (
    ANSWER,
    SCORES,
    Floats,
    Json,
    SampleGroup,
    UnitSamples,
    for_each_group,
)
from pytest_kernelbench.report.analyses.estimates import by_task
from pytest_kernelbench.report.analyses.replay import replays

FLAT = 0.15
HIGH = 1.0


def of_group(group: SampleGroup) -> Json | None:
    if not group.ranked():
        return None
    spreads = [_spread(unit) for unit in group.units]
    found = _regimes_of_tasks(group.tasks_U, [each["sum"] for each in spreads])
    replayed = replays(group)
    return {
        "thresholds": {"flat": FLAT, "high": HIGH},
        "tasks": {
            unit.results.unit: {
                "sd_sum_logprob": spread["sum"],
                "sd_mean_logprob": spread["mean"],
                "distinct": len(set(unit.source_N) - {None}),
                "regime": name,
            }
            for unit, spread, name in zip(group.units, spreads, found, strict=True)
        },
        "regimes": {
            name: {
                "tasks": len({group.tasks_U[place] for place in places}),
                "units": len(places),
                "selectors": {
                    selector: {
                        "fast_1": _mean(group, replay.fast_U["verified"], places),
                        "fast_1_raw": _mean(group, replay.fast_U["raw"], places),
                        "geomean_speedup": _exp(_mean(group, replay.log_speedup_U, places)),
                    }
                    for selector, replay in replayed.items()
                },
            }
            for name in ("high", "medium", "flat")
            if (places := [place for place, each in enumerate(found) if each == name])
        },
    }


regimes = for_each_group(of_group)


def regime(sd: float | None) -> str | None:
    """The regime of a task whose summed log-probabilities have this standard deviation. Source: arXiv 2602.07670."""
    if sd is None:
        return None
    return "high" if sd > HIGH else "flat" if sd < FLAT else "medium"


def _regimes_of_tasks(tasks_U: list[str], sd_U: list[float | None]) -> list[str | None]:
    """The regime of each unit's task, by the mean over those of its seeds whose spread is known."""
    known: dict[str, list[float]] = {}
    for task, sd in zip(tasks_U, sd_U, strict=True):
        known.setdefault(task, []).extend([] if sd is None else [sd])
    return [regime(sum(known[task]) / len(known[task]) if known[task] else None) for task in tasks_U]


def _mean(group: SampleGroup, values_U: Floats, places: list[int]) -> float | None:
    """Over tasks, of the units that are known."""
    known = [place for place in places if not numpy.isnan(values_U[place])]
    return float(by_task([group.tasks_U[place] for place in known], values_U[known]).mean()) if known else None


def _exp(logarithm: float | None) -> float | None:
    return None if logarithm is None else float(numpy.exp(logarithm))


def _spread(unit: UnitSamples) -> dict[str, float | None]:
    """Standard deviation over the candidates of a unit that have log-probabilities, by score; None with fewer than
    two."""
    known = {score: values[~numpy.isnan(values)] for score, values in unit.logprob_N[ANSWER].items()}
    return {score: float(numpy.std(known[score], ddof=1)) if len(known[score]) > 1 else None for score in SCORES}
