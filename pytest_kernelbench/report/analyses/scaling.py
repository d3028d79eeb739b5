"""Success against the number of candidates: exact means over all K-subsets, and what noise alone would give.

One entry of ``analyses["scaling"]`` for each set of candidates::

    {"strategies": [name, ...],            that share these candidates
     "of": COUNTS,
     "k": [1, 2, ..., n],                  the axis of every curve below; n is the fewest judged of a task in them
     "tasks": 20, "seeds": 3,
     "success": {RULE: {"verified": curve, "raw": curve}},
     "geomean_speedup": {RULE: curve},     of the chosen, a K-subset without a correct one counting as 1
     "mean_speedup": {RULE: curve},        the same, arithmetic, such a subset counting as 0 as in the literature
     "coin_flip": [0.5, 0.75, ...],        raw success of a kernel that is the reference, by noise alone
     "identity": {"n": 5, "verified": curve, "raw": curve} | null,
     "saturation_k": {RULE: {"verified": K | null, "raw": K | null}},
     "equivalent_k": {RULE: {"verified": EQUIVALENT, "raw": EQUIVALENT}}}

RULE says which of the distinct correct programs of the K is taken: ``any`` (one that is fast: pass@K), ``random``,
``random-top3``, and where there are log-probabilities ``surprisal``, ``surprisal-top3``, ``confidence``,
``confidence-top3`` (by the mean, of the first answer with the program). The two speed-up tables hold ``any``,
``random``, ``surprisal`` and ``confidence``. ``identity`` continues the rate at which the reference was fast against
itself, ``1 - (1 - rate)^K``. ``saturation_k`` is the least K that reaches 95 % of what all n reach; null where that is
0. EQUIVALENT is ``{"k": x | null, "low": x | null, "high": x | null, "open": bool, "refusal": text | null}``: the K at
which ``any`` is as successful as RULE is with all n, and its interval. ``k`` is null where no K up to n is, and where
``refusal`` says why: another metric, or a curve that is flat there. ``open``: the interval goes on beyond n, and
``high`` is null.

Source: the scaling curve of arXiv 2602.07670; pass@k of arXiv 2107.03374.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf

import numpy

from pytest_kernelbench.records import Evaluation
from pytest_kernelbench.report.analyses.base import ANSWER, READINGS, Floats, Json, SampleGroup, Study, UnitSamples
from pytest_kernelbench.report.analyses.estimates import by_task, exponential, finite, not_negative
from pytest_kernelbench.report.analyses.units import Places
from pytest_kernelbench.report.stats import (
    any_success_curve,
    clustered_rate,
    coin_flip_success,
    equivalent_k,
    equivalent_k_interval,
    random_program_mean_curve,
    random_program_success_curve,
    ranked_program_mean_curve,
    top_program_success_curve,
)

SATURATED = 0.95
ALIKE = 0.005
TOP = 3

Rule = Callable[..., Floats]  # of a unit and a reading of fast_1


def _any(unit: UnitSamples, reading: str) -> Floats:
    return any_fast_curve(unit, reading)


def any_fast_curve(unit: UnitSamples, reading: str) -> Floats:
    """pass@K of one unit; NaN where the reading is not known."""
    fast = unit.fast_N[reading]
    return numpy.full(unit.n, numpy.nan) if numpy.isnan(fast).any() else any_success_curve(unit.n, int(fast.sum()))


def _random(unit: UnitSamples, reading: str, *, top: int) -> Floats:
    programs = unit.programs
    fast = programs.fast_C[reading]
    if numpy.isnan(fast).any():
        return numpy.full(unit.n, numpy.nan)
    return random_program_success_curve((fast == 1).tolist(), programs.count_C.tolist(), unit.n, top)


def _ranked(unit: UnitSamples, reading: str, *, surprising_first: bool, top: int) -> Floats:
    programs = unit.programs
    ranked = programs.ranked(ANSWER, "mean", surprising_first=surprising_first)
    fast = programs.fast_C[reading][ranked]
    if numpy.isnan(fast).any():
        return numpy.full(unit.n, numpy.nan)
    return top_program_success_curve(fast == 1, programs.count_C[ranked].tolist(), unit.n, top)


RULES: dict[str, Rule] = {
    "any": _any,
    "random": partial(_random, top=1),
    f"random-top{TOP}": partial(_random, top=TOP),
    "surprisal": partial(_ranked, surprising_first=True, top=1),
    f"surprisal-top{TOP}": partial(_ranked, surprising_first=True, top=TOP),
    "confidence": partial(_ranked, surprising_first=False, top=1),
    f"confidence-top{TOP}": partial(_ranked, surprising_first=False, top=TOP),
}
NEED_LOGPROBS = ("surprisal", "confidence")


def scaling(study: Study) -> list[Json]:
    return [_of_group(group, study) for group in study.groups if group.n]


def _of_group(group: SampleGroup, study: Study) -> Json:
    n = group.n
    rules = {name: rule for name, rule in RULES.items() if group.ranked() or not name.startswith(NEED_LOGPROBS)}
    tables = {
        name: {reading: group.table(partial(rule, reading=reading), needs=_needs(name)) for reading in READINGS}
        for name, rule in rules.items()
    }
    success = {
        name: {reading: group.rate_curve(rates_UK) for reading, rates_UK in readings.items()}
        for name, readings in tables.items()
    }
    orders = {name: order for name, order in ORDERS.items() if name in rules}
    return {
        "strategies": list(group.strategies),
        "of": group.counts,
        "k": list(range(1, n + 1)),
        "tasks": group.tasks,
        "seeds": group.seeds,
        "success": success,
        "geomean_speedup": {
            name: exponential(
                group.curve(
                    group.table(partial(_speedup_curve, order=order, logarithm=True), needs=_needs(name, timed=True))
                )
            )
            for name, order in orders.items()
        },
        "mean_speedup": {
            name: not_negative(
                group.curve(
                    group.table(partial(_speedup_curve, order=order, logarithm=False), needs=_needs(name, timed=True))
                )
            )
            for name, order in orders.items()
        },
        "coin_flip": [coin_flip_success(k) for k in range(1, n + 1)],
        "identity": _identity(study, group, n),
        "saturation_k": {
            name: {reading: saturation_k(curve["value"]) for reading, curve in readings.items()}
            for name, readings in success.items()
        },
        "equivalent_k": {
            name: {
                reading: equivalent(group, reading, rates_UK[:, -1], metric=ANY_OF_K)
                for reading, rates_UK in readings.items()
            }
            for name, readings in tables.items()
        },
    }


def _needs(rule: str, *, timed: bool = False) -> Callable[[UnitSamples], bool]:
    """Whether a unit has what a rule ranks by, and the speed-ups of its programs where these are shown."""
    scored = rule.startswith(NEED_LOGPROBS)
    return lambda unit: (unit.is_timed or not timed) and (unit.is_ranked() or not scored)


ORDERS: dict[str, Callable[[UnitSamples], Places] | None] = {
    "any": lambda unit: unit.programs.fastest_first(),
    "random": None,
    "surprisal": lambda unit: unit.programs.ranked(ANSWER, "mean", surprising_first=True),
    "confidence": lambda unit: unit.programs.ranked(ANSWER, "mean", surprising_first=False),
}


def _speedup_curve(unit: UnitSamples, *, order: Callable[[UnitSamples], Places] | None, logarithm: bool) -> Floats:
    """Expected speed-up (or its logarithm) of the first correct program in ``order``; None: a random one."""
    programs = unit.programs
    values_C = numpy.log(programs.speedup_C) if logarithm else programs.speedup_C
    if order is None:
        return random_program_mean_curve(values_C.tolist(), programs.count_C.tolist(), unit.n)
    ranked = order(unit)
    return ranked_program_mean_curve(values_C[ranked], programs.count_C[ranked].tolist(), unit.n)


def _identity(study: Study, group: SampleGroup, n: int) -> Json | None:
    """Any-of-K of kernels identical to the reference, from the rate at which the null's timings counted as fast."""
    nulls = study.records.nulls
    if not nulls:
        return None
    margin = group.results.margin
    fast: dict[str, Callable[[Evaluation], bool]] = {
        "verified": lambda each: each.fast(1.0, margin),
        "raw": lambda each: each.fast_raw(),
    }
    k = numpy.arange(1, n + 1)

    def continued(rate: float) -> list[float]:
        return (1 - (1 - rate) ** k).tolist()  # type: ignore[no-any-return]

    curves = {}
    for reading, is_fast in fast.items():
        successes_T, trials_T = study.records.null_counts(is_fast)
        interval = clustered_rate(successes_T, trials_T)
        curves[reading] = {
            "value": continued(sum(successes_T) / sum(trials_T)),
            "low": None if interval is None else continued(interval.low),
            "high": None if interval is None else continued(interval.high),
        }
    return {"n": len(nulls), **curves}


def saturation_k(success_K: Sequence[float | None]) -> int | None:
    """The least K that reaches 95 % of what all n candidates reach; None where that is 0 or not known."""
    known = [value for value in success_K if value is not None]
    if not known or len(known) < len(success_K) or known[-1] <= 0:
        return None
    return next(k for k, value in enumerate(known, 1) if value >= SATURATED * known[-1] - 1e-12)


ANY_OF_K = "the share of tasks solved by what was taken of K candidates"
PER_SAMPLE = "the share of single samples that are fast"


def equivalent(group: SampleGroup, reading: str, scores_U: Floats, *, metric: str) -> Json:
    """The K at which any-of-K of ``group`` reaches the mean of ``scores_U``, one for each of its units, or a refusal.

    Comparing a per-sample rate with any-of-K makes every adaptation look worth less than one sample.
    """
    if metric != ANY_OF_K:
        return refused(f"{metric} cannot be read off a curve of {ANY_OF_K}: they are different metrics")
    table_UK = group.table(partial(_any, reading=reading))
    known = numpy.flatnonzero(~numpy.isnan(scores_U) & ~numpy.isnan(table_UK).any(axis=1)).tolist()
    if not known or not group.n:
        return refused("tasks without candidates have no curve")
    tasks, units = [group.tasks_U[place] for place in known], [group.units[place] for place in known]
    counts_U = [(unit.n, int(unit.fast_N[reading].sum())) for unit in units]
    counts_by_task: dict[str, list[tuple[int, int]]] = {}
    for task, counts in zip(tasks, counts_U, strict=True):
        counts_by_task.setdefault(task, []).append(counts)
    score, curve = float(scores_U[known].mean()), table_UK[known].mean(axis=0)
    flat_from = 1 + int(numpy.argmax(curve >= score - ALIKE))
    if score > ALIKE and curve[-1] - ALIKE < score <= curve[-1] + 1e-9 and flat_from < group.n:
        return refused(
            f"search is as successful, to half a point, from K = {flat_from} to the {group.n} drawn: "
            "no one K can be read off"
        )
    scores_T = by_task(tasks, scores_U[known]).tolist()
    interval = equivalent_k_interval(list(counts_by_task.values()), scores_T)
    return {
        "k": finite(equivalent_k(counts_U, score)),
        "low": None if interval is None else finite(interval.low),
        "high": None if interval is None else finite(interval.high),
        "open": interval is not None and interval.high == inf,
        "refusal": None,
    }


def refused(why: str) -> Json:
    """No equivalent K, in words."""
    return {"k": None, "low": None, "high": None, "open": False, "refusal": why}
