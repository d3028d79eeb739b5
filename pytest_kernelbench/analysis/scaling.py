"""Success against the number of candidates: exact means over all K-subsets, and what noise alone would give.

One entry of ``analyses["scaling"]`` for each set of candidates::

    {"strategies": [name, ...],            that share these candidates
     "k": [1, 2, ..., n],                  the axis of every curve below; n is the fewest drawn for a task
     "tasks": 20, "seeds": 3,
     "success": {RULE: {"verified": curve, "raw": curve}},
     "geomean_speedup": {RULE: curve},     of the chosen, a K-subset without a correct one counting as 1
     "mean_speedup": {RULE: curve},        the same, arithmetic, such a subset counting as 0 as in the literature
     "coin_flip": [0.5, 0.75, ...],        raw success of a kernel that is the reference, by noise alone
     "identity": {"n": 5, "verified": curve, "raw": curve} | null,
     "saturation_k": {RULE: {"verified": K | null, "raw": K | null}},
     "equivalent_k": {RULE: {"verified": EQUIVALENT, "raw": EQUIVALENT}}}

RULE says which of the correct candidates of the K is taken: ``any`` (one that is fast: pass@K), ``random``,
``random-top3``, and where there are log-probabilities ``surprisal``, ``surprisal-top3``, ``confidence``,
``confidence-top3`` (by the mean). The two speed-up tables hold ``any``, ``random``, ``surprisal`` and
``confidence``. ``identity`` continues the rate at which the reference was fast against itself, ``1 - (1 - rate)^K``.
``saturation_k`` is the least K that reaches 95 % of what all n reach; null where that is 0.
EQUIVALENT is ``{"k": x | null, "low": x | null, "high": x | null, "open": bool, "refusal": text | null}``: the K at
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

from pytest_kernelbench.analysis.base import (
    READINGS,
    Floats,
    Json,
    SampleGroup,
    Study,
    UnitSamples,
    by_task,
    exponential,
    finite,
)
from pytest_kernelbench.stats import (
    any_success_curve,
    argmax_mean_curve,
    coin_flip_success,
    equivalent_k,
    equivalent_k_interval,
    random_top_m_success_curve,
    top_m_success_curve,
    wilson,
)

SATURATED = 0.95
ALIKE = 0.005
TOP = 3

Rule = Callable[..., Floats]  # of a unit and a reading of fast_1


def _any(unit: UnitSamples, reading: str) -> Floats:
    return any_success_curve(unit.n, int(unit.fast_N[reading].sum()))


def _random(unit: UnitSamples, reading: str, *, top: int) -> Floats:
    return random_top_m_success_curve(unit.n, int(unit.correct_N.sum()), int(unit.fast_N[reading].sum()), top)


def _ranked(unit: UnitSamples, reading: str, *, surprising_first: bool, top: int) -> Floats:
    ranked = unit.ranked_correct("mean", surprising_first=surprising_first)
    return top_m_success_curve(unit.fast_N[reading][ranked], unit.n, top)


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
    rules = {name: rule for name, rule in RULES.items() if group.has_logprobs or not name.startswith(NEED_LOGPROBS)}
    tables = {
        name: {reading: group.table(partial(rule, reading=reading)) for reading in READINGS}
        for name, rule in rules.items()
    }
    success = {
        name: {reading: group.rate_curve(rates_UK) for reading, rates_UK in readings.items()}
        for name, readings in tables.items()
    }
    orders = {name: order for name, order in ORDERS.items() if name in rules}
    return {
        "strategies": list(group.strategies),
        "k": list(range(1, n + 1)),
        "tasks": group.tasks,
        "seeds": group.seeds,
        "success": success,
        "geomean_speedup": {
            name: exponential(group.curve(group.table(partial(_speedup_curve, order=order, logarithm=True))))
            for name, order in orders.items()
        },
        "mean_speedup": {
            name: group.curve(group.table(partial(_speedup_curve, order=order, logarithm=False)))
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


def _fastest_first(unit: UnitSamples) -> Floats:
    correct = unit.speedup_N[unit.correct_N]
    return -numpy.sort(-numpy.nan_to_num(correct, nan=0.0))


def _by_logprob(unit: UnitSamples, *, surprising_first: bool) -> Floats:
    return unit.speedup_N[unit.ranked_correct("mean", surprising_first=surprising_first)]


ORDERS: dict[str, Callable[[UnitSamples], Floats] | None] = {
    "any": _fastest_first,
    "random": None,
    "surprisal": partial(_by_logprob, surprising_first=True),
    "confidence": partial(_by_logprob, surprising_first=False),
}


def _speedup_curve(unit: UnitSamples, *, order: Callable[[UnitSamples], Floats] | None, logarithm: bool) -> Floats:
    """Expected speed-up (or its logarithm) of the first correct candidate in ``order``; None: a random one."""

    def scale(speedups: Floats) -> Floats:
        known = numpy.nan_to_num(speedups, nan=1.0 if logarithm else 0.0)
        return numpy.log(known) if logarithm else known

    if order is not None:
        return argmax_mean_curve(scale(order(unit)), unit.n)
    correct = scale(unit.speedup_N[unit.correct_N])
    mean = float(correct.mean()) if len(correct) else 0.0
    return any_success_curve(unit.n, len(correct)) * mean


def _identity(study: Study, group: SampleGroup, n: int) -> Json | None:
    """What any-of-K would show for kernels that are the reference, from how often the clock called it faster."""
    nulls = study.records.nulls
    if not nulls:
        return None
    margin = group.results.margin
    fast = {"verified": sum(each.fast(1.0, margin) for each in nulls), "raw": sum(each.fast_raw() for each in nulls)}
    k = numpy.arange(1, n + 1)

    def continued(rate: float) -> list[float]:
        return (1 - (1 - rate) ** k).tolist()  # type: ignore[no-any-return]

    curves = {}
    for reading, successes in fast.items():
        interval = wilson(successes, len(nulls))
        assert interval is not None
        curves[reading] = {
            "value": continued(successes / len(nulls)),
            "low": continued(interval.low),
            "high": continued(interval.high),
        }
    return {"n": len(nulls), **curves}


def saturation_k(success_K: Sequence[float]) -> int | None:
    """The least K that reaches 95 % of what all n candidates reach; None where that is 0."""
    if not success_K or success_K[-1] <= 0:
        return None
    return next(k for k, value in enumerate(success_K, 1) if value >= SATURATED * success_K[-1] - 1e-12)


ANY_OF_K = "the share of tasks solved by what was taken of K candidates"
PER_SAMPLE = "the share of single samples that are fast"


def equivalent(group: SampleGroup, reading: str, scores_U: Floats, *, metric: str) -> Json:
    """The K at which any-of-K of ``group`` reaches the mean of ``scores_U``, one for each of its units, or a refusal.

    Comparing a per-sample rate with any-of-K makes every adaptation look worth less than one sample.
    """
    if metric != ANY_OF_K:
        return refused(f"{metric} cannot be read off a curve of {ANY_OF_K}: they are different metrics")
    if any(unit.n == 0 for unit in group.units):
        return refused("tasks without candidates have no curve")
    counts_U = [(unit.n, int(unit.fast_N[reading].sum())) for unit in group.units]
    counts_by_task: dict[str, list[tuple[int, int]]] = {}
    for task, counts in zip(group.tasks_U, counts_U, strict=True):
        counts_by_task.setdefault(task, []).append(counts)
    score, curve = float(scores_U.mean()), group.table(partial(_any, reading=reading)).mean(axis=0)
    flat_from = 1 + int(numpy.argmax(curve >= score - ALIKE))
    if score > ALIKE and curve[-1] - ALIKE < score <= curve[-1] + 1e-9 and flat_from < group.n:
        return refused(
            f"search is as successful, to half a point, from K = {flat_from} to the {group.n} drawn: "
            "no one K can be read off"
        )
    scores_T = by_task(group.tasks_U, scores_U).tolist()
    interval = equivalent_k_interval(list(counts_by_task.values()), scores_T, seed=group.results.seed)
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
