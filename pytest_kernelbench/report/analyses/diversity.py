"""How many different programs K answers hold: sampling the same text again buys nothing.

One entry of ``analyses["diversity"]`` for each set of candidates::

    {"strategies": [name, ...], "k": [1, 2, ..., n],
     "distinct": curve,            mean number of distinct sources among K candidates, exact over K-subsets
     "distinct_correct": curve,    the same of distinct correct sources
     "tasks": {UNIT: {"distinct": 12, "distinct_correct": 9, "effective": 5.3}}}

``effective`` is the exponential of the entropy of sources: as many equally frequent ones would be as mixed.
"""

from __future__ import annotations

from collections import Counter

import numpy

from pytest_kernelbench.report.analyses.base import Floats, Json, SampleGroup, UnitSamples, for_each_group
from pytest_kernelbench.report.stats import distinct_curve


def of_group(group: SampleGroup) -> Json:
    return {
        "k": list(range(1, group.n + 1)),
        "distinct": group.curve(group.table(_distinct)),
        "distinct_correct": group.curve(group.table(_distinct_correct)),
        "tasks": {unit.results.unit: _of_unit(unit) for unit in group.units if unit.n},
    }


diversity = for_each_group(of_group)


def _counts(unit: UnitSamples, *, correct: bool = False) -> list[int]:
    """How often each source was drawn."""
    sources = [each.source_sha256 for each in unit.results.evaluations if each.correct or not correct]
    return list(Counter(source for source in sources if source is not None).values())


def _distinct(unit: UnitSamples) -> Floats:
    return distinct_curve(_counts(unit), unit.n)


def _distinct_correct(unit: UnitSamples) -> Floats:
    return distinct_curve(_counts(unit, correct=True), unit.n)


def _of_unit(unit: UnitSamples) -> Json:
    counts = numpy.array(_counts(unit), dtype=float)
    shares = counts / counts.sum() if len(counts) else counts
    return {
        "distinct": len(counts),
        "distinct_correct": len(_counts(unit, correct=True)),
        "effective": float(numpy.exp(-(shares * numpy.log(shares)).sum())) if len(counts) else 0.0,
    }
