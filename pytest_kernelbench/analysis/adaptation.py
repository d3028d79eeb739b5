"""What adaptation did, step by step: trajectories, tests, choice of the checkpoint, calibration.

``analyses["adaptation"]`` is null for a run without adaptation, else one entry for each adaptation strategy::

    {"strategy": name, "steps": [0, 1, ..., S], "samples_per_task": 32,
     "per_sample": {"verified": curve, "raw": curve},         over steps: mean over tasks of the rate among its samples
     "per_task": {UNIT: {"verified": [x, ...], "raw": [x, ...], "n": [32, ...]}},
     "any_of_k": {"verified": curve, "raw": curve},           over steps: tasks with at least one fast rollout
     "correct": curve, "geomean_speedup": curve,              the latter of each task's fastest rollout
     "flat_test": {"verified": CHI2, "raw": CHI2},            are all steps' rates one rate? Chi-square of the totals
     "flat_test_by_task": {"verified": CHI2, "raw": CHI2},    the same within each task, added up
     "flat_best_of": {"verified": x, "raw": x},               what the best step would show if every task were flat
     "checkpoint": CHECKPOINT, "checkpoint_raw": CHECKPOINT,
     "losses": [...], "kl": [...], "entropy": [...], "tokens": [...], "seconds": [...], "stopped": [text, ...],
     "probe_of": "fixed" | "own" | null,
     "probe": [{"step": s, "n": 320, "mean_nll": x, "rho": x, "p": x, "tail_rho": x, "tail_p": x,
                "within_task_rho": estimate}] | null,
     "coverage": {UNIT: {"base_rate": x, "best_rate": x, "regime": REGIME}},
     "coverage_regimes": {REGIME: {"units": 3, "base": x, "at_best_step": x}},
     "equivalent_k": {"any_of_k": EQUIVALENT, "per_sample": EQUIVALENT}}

    REGIME = "none" (no fast rollout at step 0) | "partial" | "saturated" (at least 90 % fast)
    CHI2 = {"statistic": x, "degrees": 5, "p": x} | null
    CHECKPOINT = {"best_step": s, "value": x, "held_out_step": s | null, "held_out_value": x | null,
                  "early_stop_step": s, "early_stop_value": x, "oracle_per_task": x}

Curves run over ``steps``, with ``null`` at a step without rollouts. ``best_step`` is chosen by the very rollouts that
its ``value`` is taken from, which flatters it; ``held_out_step`` by those held out, so that its value is not. Early
stopping ends at the first step that is no better than the one before; ``oracle_per_task`` lets each task take its own
best. ``probe`` correlates the negative log-probability (nats, summed) of correct rollouts with their speed-up:
``fixed`` ones, those of step 0 scored under the weights of each step (``probes.jsonl``), or else each step's ``own``,
which changes what is compared along with the weights. ``tail`` is the quarter that was least expected, at step 0 if
fixed. EQUIVALENT as in ``scaling``, at ``best_step``; for
``per_sample`` it is always a refusal, in words, for that is another metric than any-of-K.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import log, nan
from typing import NamedTuple

import numpy

from pytest_kernelbench.analysis.base import READINGS, Floats, Json, SampleGroup, Study
from pytest_kernelbench.analysis.estimates import estimate_over_tasks, exponential, finite, rate_over_tasks
from pytest_kernelbench.analysis.scaling import ANY_OF_K, PER_SAMPLE, equivalent, refused
from pytest_kernelbench.metrics import Sample
from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.runs import RunRecords, StrategyOfRun
from pytest_kernelbench.stats import Correlation, best_of_flat, homogeneity, spearman

COUNT = {"verified": "fast_1", "raw": "fast_1_raw"}
SATURATED = 0.9
TAIL = 0.25

Counts = dict[str, list[tuple[int, int] | None]]  # by unit, for each step (successes, rollouts); None: not drawn


def adaptation(study: Study) -> list[Json] | None:
    found = [
        _of_strategy(study, strategy, steps)
        for strategy in study.records.strategies
        if (steps := _with_rollouts(study.records, strategy))
    ]
    return found or None


def _with_rollouts(records: RunRecords, strategy: StrategyOfRun) -> dict[str, list[AdaptationStep]]:
    """The steps of every unit that has rollouts of one."""
    return {
        name: steps
        for name, steps in records.steps(strategy).items()
        if any(step.tasks.get(records.unit(name).task, {}).get("rollouts") for step in steps)
    }


def _of_strategy(study: Study, strategy: StrategyOfRun, steps: Mapping[str, Sequence[AdaptationStep]]) -> Json:
    records = study.records
    samples = records.drawn(strategy)
    numbers = range(1 + max(step.step for each in steps.values() for step in each))
    counts = {reading: _counts(records, steps, len(numbers), COUNT[reading]) for reading in READINGS}
    correct = _counts(records, steps, len(numbers), "correct")
    held_out = {reading: _counts(records, steps, len(numbers), COUNT[reading], held_out=True) for reading in READINGS}
    tasks_U = [records.unit(name).task for name in steps]

    def rates(values_US: Floats) -> Json:
        return _curve(values_US, partial(rate_over_tasks, tasks_U))

    any_US = {reading: _values(table, lambda good, _: float(good > 0)) for reading, table in counts.items()}
    rate_US = {reading: _values(table, lambda good, n: good / n) for reading, table in counts.items()}
    held_out_US = {reading: _values(table, lambda good, n: good / n) for reading, table in held_out.items()}
    checkpoints = {reading: _checkpoint(rate_US[reading], held_out_US[reading]) for reading in READINGS}
    best = checkpoints["verified"]["best_step"]
    coverage = _coverage(rate_US["verified"], list(steps))
    probe_of, probe = _probe(records, samples, steps)
    group = _of_units(next(each for each in study.groups if strategy.name in each.strategies), steps)
    lineages = {
        (records.unit(name).seed, step.lineage, step.step): step for name, each in steps.items() for step in each
    }
    return {
        "strategy": strategy.name,
        "steps": list(numbers),
        "samples_per_task": max(step.rollouts for step in lineages.values()),
        "per_sample": {reading: rates(values) for reading, values in rate_US.items()},
        "per_task": {
            name: {
                **{
                    reading: [None if x is None else x[0] / x[1] for x in counts[reading][name]] for reading in READINGS
                },
                "n": [None if x is None else x[1] for x in counts["raw"][name]],
            }
            for name in steps
        },
        "any_of_k": {reading: rates(values) for reading, values in any_US.items()},
        "correct": rates(_values(correct, lambda good, n: good / n)),
        "geomean_speedup": exponential(
            _curve(
                _best_log_speedups(samples, steps, len(numbers)),
                partial(estimate_over_tasks, tasks_U),
            )
        ),
        "flat_test": {reading: _flat_test([_aggregate(table)]) for reading, table in counts.items()},
        "flat_test_by_task": {reading: _flat_test(list(table.values())) for reading, table in counts.items()},
        "flat_best_of": {reading: _flat_best_of(table, records.seed) for reading, table in counts.items()},
        "checkpoint": checkpoints["verified"],
        "checkpoint_raw": checkpoints["raw"],
        **_training(lineages.values(), len(numbers)),
        "probe_of": probe_of,
        "probe": probe,
        "coverage": coverage,
        "coverage_regimes": _coverage_regimes(rate_US["verified"], coverage, best),
        "equivalent_k": {
            "any_of_k": _equivalent(group, any_US["verified"], best, ANY_OF_K),
            "per_sample": _equivalent(group, rate_US["verified"], best, PER_SAMPLE),
        },
    }


def _counts(
    records: RunRecords,
    steps: Mapping[str, Sequence[AdaptationStep]],
    n_steps: int,
    what: str,
    *,
    held_out: bool = False,
) -> Counts:
    table: Counts = {}
    for name, of_unit in steps.items():
        row: list[tuple[int, int] | None] = [None] * n_steps
        for step in of_unit:
            found = step.tasks.get(records.unit(name).task)
            if found is not None and held_out:
                found = found.get("holdout")
            if found and found["rollouts"]:
                row[step.step] = (found[what], found["rollouts"])
        table[name] = row
    return table


def _values(table: Counts, value: Callable[[int, int], float]) -> Floats:
    """(U, S), NaN where a unit has no rollouts of a step."""
    return numpy.array([[nan if each is None else value(*each) for each in row] for row in table.values()], dtype=float)


def _curve(values_US: Floats, estimate: Callable[[Floats], Json | None]) -> Json:
    points = [estimate(values_U) for values_U in values_US.T]
    value = [None if each is None else each["value"] for each in points]
    low, high = ([None if each is None else each[end] for each in points] for end in ("low", "high"))
    known = any(each is not None for each in low)
    return {"value": value, "low": low if known else None, "high": high if known else None}


def _best_log_speedups(
    samples_by_unit: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]], n_steps: int
) -> Floats:
    """(U, S): of the fastest correct rollout of a step, 0 where none is correct."""
    logs = numpy.full((len(steps), n_steps), nan)
    for place, (name, of_unit) in enumerate(steps.items()):
        for step in of_unit:
            samples = _rollouts(samples_by_unit.get(name, ()), step)
            speedups = [
                each.evaluation.counted_speedup
                for each in samples
                if each.evaluation and each.evaluation.counted_speedup
            ]
            if samples:
                logs[place, step.step] = log(max(speedups, default=1.0))
    return logs


def _rollouts(samples: Sequence[Sample], step: AdaptationStep) -> list[Sample]:
    span = range(step.first_index, step.first_index + step.rollouts)
    return [sample for sample in samples if sample.index in span]


def _aggregate(table: Counts) -> list[tuple[int, int] | None]:
    """Successes and rollouts of each step, over all units."""
    columns = [[each for each in column if each is not None] for column in zip(*table.values(), strict=True)]
    return [(sum(good for good, _ in each), sum(n for _, n in each)) if each else None for each in columns]


def _flat_test(strata: Sequence[Sequence[tuple[int, int] | None]]) -> Json | None:
    found = homogeneity([[each for each in row if each is not None] for row in strata])
    return None if found is None else found._asdict()


def _flat_best_of(table: Counts, seed: int) -> float | None:
    strata = [[each for each in row if each is not None] for row in table.values()]
    return best_of_flat(strata, seed=seed) if len({len(row) for row in strata}) == 1 else None


def _checkpoint(rate_US: Floats, held_out_US: Floats) -> Json:
    """Which step each rule takes, and the rate of that step's rollouts; of equal steps the earliest."""
    mean_S = _mean_over_units(rate_US)
    best = int(numpy.nanargmax(mean_S))
    held_out_S = _mean_over_units(held_out_US)
    held_out = None if numpy.isnan(held_out_S).all() else int(numpy.nanargmax(held_out_S))
    stop = 0
    while stop + 1 < len(mean_S) and mean_S[stop + 1] > mean_S[stop]:
        stop += 1
    return {
        "best_step": best,
        "value": float(mean_S[best]),
        "held_out_step": held_out,
        "held_out_value": None if held_out is None else finite(mean_S[held_out]),
        "early_stop_step": stop,
        "early_stop_value": float(mean_S[stop]),
        "oracle_per_task": float(numpy.nanmax(rate_US, axis=1).mean()),
    }


def _mean_over_units(values_US: Floats) -> Floats:
    known = ~numpy.isnan(values_US)
    total = numpy.where(known, values_US, 0.0).sum(axis=0)
    return numpy.where(known.any(axis=0), total / numpy.maximum(known.sum(axis=0), 1), nan)


def _training(lineages: Collection[AdaptationStep], n_steps: int) -> Json:
    """What the steps say of themselves, each the mean over lineages."""

    def mean(value: Callable[[AdaptationStep], float | None]) -> list[float | None]:
        found = [[value(each) for each in lineages if each.step == step] for step in range(n_steps)]
        known = [[each for each in values if each is not None] for values in found]
        return [sum(values) / len(values) if values else None for values in known]

    return {
        "losses": mean(lambda step: (step.update or {}).get("loss")),
        "kl": mean(lambda step: step.kl),
        "entropy": mean(lambda step: step.entropy),
        "tokens": mean(lambda step: (step.update or {}).get("update_tokens")),
        "seconds": mean(lambda step: (step.update or {}).get("seconds")),
        "stopped": [each.stopped for each in lineages if each.stopped],
    }


class Scored(NamedTuple):
    """A correct rollout under the weights of some step."""

    unit: str
    candidate: int
    nll: float
    speedup: float


def _probe(
    records: RunRecords, samples: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]]
) -> tuple[str, list[Json]] | tuple[None, None]:
    """What was scored, ``fixed`` or ``own``, and a row for each step."""
    what, scored = "fixed", _fixed_rollouts(records, steps)
    if not scored:
        what, scored = "own", _own_rollouts(samples, steps)
    if not scored:
        return None, None
    ordered = sorted(scored[min(scored)], key=lambda each: -each.nll)
    tail = {(each.unit, each.candidate) for each in ordered[: max(1, round(TAIL * len(ordered)))]}
    rows = []
    for number, rollouts in sorted(scored.items()):
        if what == "own":
            least_expected = sorted(rollouts, key=lambda each: -each.nll)
            of_tail = least_expected[: max(1, round(TAIL * len(rollouts)))]
        else:
            of_tail = [each for each in rollouts if (each.unit, each.candidate) in tail]
        everything, in_tail = _rho(rollouts), _rho(of_tail)
        within = {unit: _rho([each for each in rollouts if each.unit == unit]) for unit in steps}
        rows.append(
            {
                "step": number,
                "n": len(rollouts),
                "mean_nll": sum(each.nll for each in rollouts) / len(rollouts),
                "rho": None if everything is None else everything.rho,
                "p": None if everything is None else everything.p,
                "tail_rho": None if in_tail is None else in_tail.rho,
                "tail_p": None if in_tail is None else in_tail.p,
                "within_task_rho": estimate_over_tasks(
                    [records.unit(unit).task for unit in within],
                    [nan if each is None else each.rho for each in within.values()],
                ),
            }
        )
    return what, rows


def _fixed_rollouts(records: RunRecords, steps: Mapping[str, Sequence[AdaptationStep]]) -> dict[int, list[Scored]]:
    """By step, the rollouts of step 0 under its weights, where they were scored again."""
    units = {
        (records.unit(name).seed, step.lineage, records.unit(name).task): name for name in steps for step in steps[name]
    }
    found: dict[int, list[Scored]] = {}
    for (seed, lineage, number, task, index), probed in records.probes.items():
        name = units.get((seed if records.units else None, lineage, task))
        if name is not None and probed.speedup is not None:
            found.setdefault(number, []).append(Scored(name, index, probed.nll, probed.speedup))
    return found


def _own_rollouts(
    samples: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]]
) -> dict[int, list[Scored]]:
    """By step, its own rollouts under the weights that drew them."""
    found: dict[int, list[Scored]] = {}
    for name, of_unit in steps.items():
        for step in of_unit:
            for sample in _rollouts(samples.get(name, ()), step):
                logprob = sample.completion.sum_logprob if sample.completion else None
                speedup = sample.evaluation.counted_speedup if sample.evaluation else None
                if logprob is not None and speedup is not None:
                    found.setdefault(step.step, []).append(Scored(name, sample.index, -logprob, speedup))
    return found


def _rho(rollouts: Sequence[Scored]) -> Correlation | None:
    return spearman([each.nll for each in rollouts], [each.speedup for each in rollouts])


def _coverage(rate_US: Floats, names: Sequence[str]) -> Json:
    def regime(base: float) -> str:
        return "none" if base == 0 else "saturated" if base >= SATURATED else "partial"

    return {
        name: {
            "base_rate": finite(rate_S[0]),
            "best_rate": finite(numpy.nanmax(rate_S)),
            "regime": None if numpy.isnan(rate_S[0]) else regime(rate_S[0]),
        }
        for name, rate_S in zip(names, rate_US, strict=True)
    }


def _coverage_regimes(rate_US: Floats, coverage: Json, best: int) -> Json:
    """Units without a fast rollout at step 0 can only gain, saturated ones only lose, even by chance."""
    found = {}
    for regime in ("none", "partial", "saturated"):
        places = [place for place, each in enumerate(coverage.values()) if each["regime"] == regime]
        if places:
            base, after = (finite(_mean_over_units(rate_US[places])[step]) for step in (0, best))
            found[regime] = {"units": len(places), "base": base, "at_best_step": after}
    return found


def _of_units(group: SampleGroup, steps: Mapping[str, Sequence[AdaptationStep]]) -> SampleGroup | None:
    """``group`` on the units of ``steps`` alone; None where search did not sample all of them."""
    units = {unit.results.unit: unit for unit in group.units}
    return replace(group, units=tuple(units[name] for name in steps)) if steps.keys() <= units.keys() else None


def _equivalent(group: SampleGroup | None, values_US: Floats, step: int, metric: str) -> Json:
    if group is None:
        return refused("the tasks that were trained on are not those that search sampled")
    if numpy.isnan(values_US[:, step]).any():
        return refused("not all of the tasks have rollouts of the step")
    return equivalent(group, "verified", values_US[:, step], metric=metric)
