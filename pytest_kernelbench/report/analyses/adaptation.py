"""What adaptation did, step by step: trajectories, tests, choice of the checkpoint, calibration.

``analyses["adaptation"]`` is null for a run without adaptation, else one entry for each adaptation strategy::

    {"strategy": name, "learning_rate": x, "steps": [0, 1, ..., S], "samples_per_task": 32,
     "per_sample": {"verified": curve, "raw": curve},         over steps: mean over tasks of the rate among its samples
     "by_seed": {"verified": {"0": [x, ...]}, "raw": the same},   the same of each seed
     "against_start": {"verified": curve, "raw": curve},      differences to step 0, paired by task
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
     "coverage_split": {"over_30": {"units": 3, "base": x, "at_best_step": x}, "up_to_30": the same},
     "equivalent_k": {"any_of_k": EQUIVALENT, "per_sample": EQUIVALENT}}

    over_30: units of which over 30 % of the rollouts of step 0 are fast, the paper's line (arXiv 2602.07670)
    REGIME = "none" (no fast rollout at step 0) | "partial" | "saturated" (at least 90 % fast)
    CHI2 = {"statistic": x, "degrees": 5, "p": x} | null
    CHECKPOINT = {"best_step": s | null, "best_steps": [s, ...], "value": x, "held_out_step": s | null,
                  "held_out_value": x | null, "early_stop_step": s | null, "early_stop_value": x, "oracle_per_task": x}

Curves run over ``steps``, with ``null`` at a step without rollouts. Lineages that were trained apart (seeds, and with
``scope = "task"`` tasks) each take a step of their own, ``best_steps``; ``..._step`` is null where they differ, and
values are means over units, each at its lineage's step. ``best_step`` is chosen by the very rollouts that its ``value``
is taken from, which flatters it; ``held_out_step`` by those held out, so that its value is not. Early stopping ends at
the first step that is no better than the one before; ``oracle_per_task`` lets each task take its own best. ``probe``
correlates the negative log-probability (nats, summed) of correct rollouts with their speed-up: ``fixed`` ones, those of
step 0 scored under the weights of each step (``probes.jsonl``), or else each step's ``own``, which changes what is
compared along with the weights. ``tail`` is the quarter that was least expected, at step 0 if fixed. EQUIVALENT as in
``scaling``, at ``best_step``; for ``per_sample`` it is always a refusal, in words, for that is another metric than
any-of-K.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import log, nan

import numpy

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses.base import READINGS, Floats, Json, SampleGroup, Study
from pytest_kernelbench.report.analyses.checkpoints import (
    Lineages,
    against_start,
    at_best,
    by_seed,
    checkpoint,
    mean_over_lineages,
    mean_over_units,
)
from pytest_kernelbench.report.analyses.estimates import estimate_over_tasks, exponential, finite, rate_over_tasks
from pytest_kernelbench.report.analyses.probe import probe, rollouts_of
from pytest_kernelbench.report.analyses.scaling import ANY_OF_K, PER_SAMPLE, equivalent, refused
from pytest_kernelbench.report.metrics import Sample
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.report.stats import best_of_flat, homogeneity

COUNT = {"verified": "fast_1", "raw": "fast_1_raw"}
SATURATED, PAPERS_COVERAGE = 0.9, 0.3

Counts = dict[str, list[tuple[int, int] | None]]  # by unit, for each step (successes, rollouts); None: not drawn


def adaptation(study: Study) -> list[Json] | None:
    found = [
        _of_strategy(study, strategy, steps)
        for strategy in study.records.strategies
        if (steps := _with_rollouts(study.records, strategy))
    ]
    return found or None


def _with_rollouts(records: RunRecords, strategy: StrategyOfRun) -> dict[str, list[AdaptationStep]]:
    """By unit, its steps; units without rollouts are left out."""
    return {
        name: steps
        for name, steps in records.steps(strategy).items()
        if any(step.tasks.get(records.unit(name).task, {}).get("rollouts") for step in steps)
    }


def _of_strategy(study: Study, strategy: StrategyOfRun, steps: Mapping[str, Sequence[AdaptationStep]]) -> Json:
    records = study.records
    samples = records.drawn(strategy)
    numbers = range(1 + max(step.step for each in steps.values() for step in each))
    verifiable = study.results[strategy.name].is_verifiable
    counts, held_out = (
        _both_readings(records, steps, len(numbers), held_out=of, verifiable=verifiable) for of in (False, True)
    )
    correct = _counts(records, steps, len(numbers), "correct")
    tasks_U = [records.unit(name).task for name in steps]

    def rates(values_US: Floats) -> Json:
        return _curve(values_US, partial(rate_over_tasks, tasks_U))

    any_US = {reading: _values(table, lambda good, _: float(good > 0)) for reading, table in counts.items()}
    rate_US = {reading: _values(table, lambda good, n: good / n) for reading, table in counts.items()}
    held_out_US = {reading: _values(table, lambda good, n: good / n) for reading, table in held_out.items()}
    apart = _trained_apart(records, steps)
    checkpoints = {reading: checkpoint(rate_US[reading], held_out_US[reading], apart) for reading in READINGS}
    best_U = {
        name: at_best(values_US, rate_US["verified"], apart)
        for name, values_US in (("any", any_US["verified"]), ("rate", rate_US["verified"]))
    }
    coverage = _coverage(rate_US["verified"], list(steps))
    probe_of, probe_rows = probe(records, samples, steps)
    group = _of_units(next(each for each in study.groups if strategy.name in each.strategies), steps)
    lineages = {
        (records.unit(name).seed, step.lineage, step.step): step for name, each in steps.items() for step in each
    }
    return {
        "strategy": strategy.name,
        "learning_rate": None if strategy.adaptation is None else strategy.adaptation.learning_rate,
        "steps": list(numbers),
        "samples_per_task": max(step.rollouts for step in lineages.values()),
        "per_sample": {reading: rates(values) for reading, values in rate_US.items()},
        "by_seed": {
            reading: by_seed([records.unit(name).seed for name in steps], values, records.seed)
            for reading, values in rate_US.items()
        },
        "against_start": {reading: against_start(tasks_U, values) for reading, values in rate_US.items()},
        "per_task": {name: _of_unit(counts, name) for name in steps},
        "any_of_k": {reading: rates(values) for reading, values in any_US.items()},
        "correct": rates(_values(correct, lambda good, n: good / n)),
        "geomean_speedup": exponential(
            _curve(_best_log_speedups(samples, steps, len(numbers)), partial(estimate_over_tasks, tasks_U), warned=True)
        ),
        **_flatness(counts, apart, records.seed),
        "checkpoint": checkpoints["verified"],
        "checkpoint_raw": checkpoints["raw"],
        **_training(lineages.values(), len(numbers)),
        "probe_of": probe_of,
        "probe": probe_rows,
        "coverage": coverage,
        "coverage_regimes": _by_coverage(rate_US["verified"][:, 0], best_U["rate"], _regime),
        "coverage_split": _by_coverage(rate_US["verified"][:, 0], best_U["rate"], _over_30),
        "equivalent_k": {
            "any_of_k": _equivalent(group, best_U["any"], ANY_OF_K),
            "per_sample": _equivalent(group, best_U["rate"], PER_SAMPLE),
        },
    }


def _flatness(counts: Mapping[str, Counts], apart: Lineages, seed: int) -> Json:
    """Whether the rate of fast rollouts changes over the steps, and what the best of as many flat steps would show."""
    return {
        "flat_test": {reading: _flat_test([_aggregate(table)]) for reading, table in counts.items()},
        "flat_test_by_task": {reading: _flat_test(list(table.values())) for reading, table in counts.items()},
        "flat_best_of": {reading: _flat_best_of(table, apart, seed) for reading, table in counts.items()},
    }


def _both_readings(
    records: RunRecords,
    steps: Mapping[str, Sequence[AdaptationStep]],
    n_steps: int,
    *,
    held_out: bool,
    verifiable: bool,
) -> dict[str, Counts]:
    """Counts of fast rollouts; the verified ones are not known where the protocol gives no intervals."""
    found = {reading: _counts(records, steps, n_steps, COUNT[reading], held_out=held_out) for reading in READINGS}
    if not verifiable:
        found["verified"] = {name: [None] * n_steps for name in found["verified"]}
    return found


def _of_unit(counts: Mapping[str, Counts], name: str) -> Json:
    rates = {reading: [None if x is None else x[0] / x[1] for x in counts[reading][name]] for reading in READINGS}
    return {**rates, "n": [None if x is None else x[1] for x in counts["raw"][name]]}


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


def _curve(values_US: Floats, estimate: Callable[[Floats], Json | None], *, warned: bool = False) -> Json:
    """A curve over steps. ``warned``: it has the warning of its last known step, as a mean that is no rate needs."""
    points = [estimate(values_U) for values_U in values_US.T]
    value = [None if each is None else each["value"] for each in points]
    low, high = ([None if each is None else each[end] for each in points] for end in ("low", "high"))
    known = any(each is not None for each in low)
    curve: Json = {"value": value, "low": low if known else None, "high": high if known else None}
    warnings = [each["warning"] for each in points if each is not None]
    return {**curve, "warning": warnings[-1] if warnings else None} if warned else curve


def _best_log_speedups(
    samples_by_unit: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]], n_steps: int
) -> Floats:
    """(U, S): of the fastest correct rollout of a step, 0 where none is correct."""
    logs = numpy.full((len(steps), n_steps), nan)
    for place, (name, of_unit) in enumerate(steps.items()):
        for step in of_unit:
            samples = rollouts_of(samples_by_unit.get(name, ()), step)
            speedups = [
                each.evaluation.counted_speedup
                for each in samples
                if each.evaluation and each.evaluation.counted_speedup
            ]
            if samples:
                logs[place, step.step] = log(max(speedups, default=1.0))
    return logs


def _aggregate(table: Counts) -> list[tuple[int, int] | None]:
    """Successes and rollouts of each step, over all units."""
    columns = [[each for each in column if each is not None] for column in zip(*table.values(), strict=True)]
    return [(sum(good for good, _ in each), sum(n for _, n in each)) if each else None for each in columns]


def _flat_test(strata: Sequence[Sequence[tuple[int, int] | None]]) -> Json | None:
    found = homogeneity([[each for each in row if each is not None] for row in strata])
    return None if found is None else found._asdict()


def _flat_best_of(table: Counts, apart: Lineages, seed: int) -> float | None:
    """The rate that the best step of a lineage would show by chance if all its steps were alike, mean over lineages."""
    rows = [[each for each in row if each is not None] for row in table.values()]

    def of_lineage(units: Sequence[int]) -> float | None:
        strata = [rows[unit] for unit in units]
        return best_of_flat(strata, seed=seed) if len({len(row) for row in strata}) == 1 else None

    return mean_over_lineages(of_lineage, apart)


def _trained_apart(records: RunRecords, steps: Mapping[str, Sequence[AdaptationStep]]) -> list[list[int]]:
    """For each lineage, the positions of its units in ``steps``."""
    found: dict[tuple[int | None, str], list[int]] = {}
    for place, (name, of_unit) in enumerate(steps.items()):
        found.setdefault((records.unit(name).seed, of_unit[0].lineage), []).append(place)
    return list(found.values())


def _training(lineages: Collection[AdaptationStep], n_steps: int) -> Json:
    """Recorded values of the steps, each the mean over lineages."""

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


REGIMES = ("none", "partial", "saturated", "over_30", "up_to_30")


def _regime(base: float) -> str:
    return "none" if base == 0 else "saturated" if base >= SATURATED else "partial"


def _over_30(base: float) -> str:
    return "over_30" if base > PAPERS_COVERAGE else "up_to_30"


def _coverage(rate_US: Floats, names: Sequence[str]) -> Json:
    return {
        name: {
            "base_rate": finite(rate_S[0]),
            "best_rate": None if numpy.isnan(rate_S).all() else finite(numpy.nanmax(rate_S)),
            "regime": None if numpy.isnan(rate_S[0]) else _regime(rate_S[0]),
        }
        for name, rate_S in zip(names, rate_US, strict=True)
    }


def _by_coverage(base_U: Floats, best_U: Floats, kind: Callable[[float], str]) -> Json:
    """Units without a fast rollout at step 0 can only gain, saturated ones only lose, even by chance."""
    kinds = [None if numpy.isnan(base) else kind(base) for base in base_U.tolist()]
    found = {}
    for name in REGIMES:
        places = [place for place, each in enumerate(kinds) if each == name]
        if places:
            base, after = (finite(mean_over_units(each[places][:, None])[0]) for each in (base_U, best_U))
            found[name] = {"units": len(places), "base": base, "at_best_step": after}
    return found


def _of_units(group: SampleGroup, steps: Mapping[str, Sequence[AdaptationStep]]) -> SampleGroup | None:
    """``group`` on the units of ``steps`` alone; None where search did not sample all of them."""
    units = {unit.results.unit: unit for unit in group.units}
    return replace(group, units=tuple(units[name] for name in steps)) if steps.keys() <= units.keys() else None


def _equivalent(group: SampleGroup | None, values_U: Floats, metric: str) -> Json:
    if group is None:
        return refused("the tasks that were trained on are not those that search sampled")
    if numpy.isnan(values_U).any():
        return refused("not all of the tasks have rollouts of the step")
    return equivalent(group, "verified", values_U, metric=metric)
