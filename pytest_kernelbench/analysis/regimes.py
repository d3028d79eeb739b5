"""Tasks by how widely the log-probabilities of their candidates spread: where there is no spread, no score can rank.

One entry of ``analyses["regimes"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...],
     "thresholds": {"flat": 0.15, "high": 1.0},               nats, standard deviation of the summed log-probability
     "tasks": {UNIT: {"sd_sum_logprob": x | null, "sd_mean_logprob": x | null, "distinct": 12,
                     "regime": REGIME | null}},
     "regimes": {REGIME: {"tasks": 9, "selectors": {SELECTOR: {"fast_1": x, "fast_1_raw": x, "geomean_speedup": x}}}}}

REGIME is ``high``, ``medium`` or ``flat``; SELECTOR as in ``analyses["selection"]``. ``distinct`` counts different
sources.
"""

from __future__ import annotations

import numpy

from pytest_kernelbench.analysis.base import SCORES, Json, SampleGroup, UnitSamples, for_each_group
from pytest_kernelbench.analysis.selection import replays

FLAT = 0.15
HIGH = 1.0


def of_group(group: SampleGroup) -> Json | None:
    if not group.has_logprobs:
        return None
    spreads = [_spread(unit) for unit in group.units]
    found = [regime(each["sum"]) for each in spreads]
    replayed = replays(group)
    return {
        "thresholds": {"flat": FLAT, "high": HIGH},
        "tasks": {
            unit.results.unit: {
                "sd_sum_logprob": spread["sum"],
                "sd_mean_logprob": spread["mean"],
                "distinct": len({each.source_sha256 for each in unit.results.evaluations} - {None}),
                "regime": name,
            }
            for unit, spread, name in zip(group.units, spreads, found, strict=True)
        },
        "regimes": {
            name: {
                "tasks": len(places),
                "selectors": {
                    selector: {
                        "fast_1": float(replay.fast_U["verified"][places].mean()),
                        "fast_1_raw": float(replay.fast_U["raw"][places].mean()),
                        "geomean_speedup": float(numpy.exp(replay.log_speedup_U[places].mean())),
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
    """Of a task whose summed log-probabilities have this standard deviation. Source: arXiv 2602.07670."""
    if sd is None:
        return None
    return "high" if sd > HIGH else "flat" if sd < FLAT else "medium"


def _spread(unit: UnitSamples) -> dict[str, float | None]:
    """Standard deviation over all candidates of a unit, by score; None with fewer than two."""
    if unit.n < 2 or unit.logprob_N is None:
        return dict.fromkeys(SCORES)
    return {score: float(numpy.std(unit.logprob_N[score], ddof=1)) for score in SCORES}
