"""Success by decile of surprisal within each task, every program once: are surprising programs the fast ones?

One entry of ``analyses["calibration"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...], "of": COUNTS,
     SCORE: [{"decile": 1, "programs": 31, "fast_1": estimate, "fast_1_raw": estimate, "geomean_speedup": estimate},
     x10]}

Decile 1 holds the most surprising tenth of a task's distinct correct programs. A task with fewer than ten has some
empty deciles; rates are means over the tasks that have programs in a decile. If surprisal says nothing, all deciles are
alike. Unlike quartiles of candidates, a program that was drawn often counts once.
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

DECILES = 10


def of_group(group: SampleGroup) -> Json | None:
    return {score: _by_decile(group, score) for score in SCORES} if group.ranked() else None


calibration = for_each_group(of_group)


def _by_decile(group: SampleGroup, score: str) -> list[Json]:
    """A unit without a log-probability or a speed-up of each of its programs is left out."""
    known = [unit if unit.is_timed and unit.is_ranked(ANSWER, score) else None for unit in group.units]
    rows = []
    for decile in range(DECILES):
        members = [None if unit is None else _members(unit, score, decile) for unit in known]
        columns = {
            name: [
                numpy.nan
                if unit is None or places is None or not len(places)
                else float(_column(unit, name)[places].mean())
                for unit, places in zip(known, members, strict=True)
            ]
            for name in ("verified", "raw", "log")
        }
        rows.append(
            {
                "decile": decile + 1,
                "programs": sum(len(places) for places in members if places is not None),
                "fast_1": group.rate(columns["verified"]),
                "fast_1_raw": group.rate(columns["raw"]),
                "geomean_speedup": group.geomean(columns["log"]),
            }
        )
    return rows


def _members(unit: UnitSamples, score: str, decile: int) -> numpy.ndarray:  # type: ignore[type-arg]
    """Places of the programs whose rank, taken in the middle, falls in the decile."""
    ranked = unit.programs.ranked(ANSWER, score, surprising_first=True)
    c = len(ranked)
    return ranked[(2 * numpy.arange(c) + 1) * DECILES // (2 * max(c, 1)) == decile]


def _column(unit: UnitSamples, name: str) -> Floats:
    programs = unit.programs
    return numpy.log(programs.speedup_C) if name == "log" else programs.fast_C[name]
