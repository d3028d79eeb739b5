"""Trajectories, checkpoints and coverage counted again by hand on random runs of adaptation with gaps."""

from statistics import mean

import pytest
from counted_by_hand import mean_of, same
from random_records import trajectories
from scipy.stats import chi2_contingency

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.records import merged


class Trained:
    """A task of one seed: for each step its counts, None where it has no rollouts."""

    def __init__(self, seed, task, lineage, steps):
        self.seed, self.task, self.lineage = seed, task, lineage
        self.steps = [step.tasks.get(task) for step in steps]

    def rates(self, of="fast_1", *, held_out=False):
        rows = [row and row["holdout"] if held_out else row for row in self.steps]
        return [None if row is None else row[of] / row["rollouts"] for row in rows]


def trained(runs):
    found = []
    for seed, run in enumerate(runs.values()):
        for lineage in dict.fromkeys(key[1] for key in run.adaptation):
            steps = [step for key, step in sorted(run.adaptation.items()) if key[1] == lineage]
            units = [Trained(seed, task, (seed, lineage), steps) for task in steps[0].group]
            found += [unit for unit in units if any(unit.steps)]
    return found


def over_tasks(units, values):
    """The mean over tasks of the mean over their seeds, at one step."""
    by_task = {}
    for unit, value in zip(units, values, strict=True):
        if value is not None:
            by_task.setdefault(unit.task, []).append(value)
    return mean_of(map(mean, by_task.values()))


@pytest.fixture(scope="module", params=[seed for seed in range(40) if trained(trajectories(seed))])
def run(request):
    runs = trajectories(request.param)
    (found,) = ANALYSES["adaptation"](Study.of(merged(runs) if len(runs) > 1 else next(iter(runs.values()))))
    return trained(runs), found


READINGS = {"verified": "fast_1", "raw": "fast_1_raw"}


def columns(units, values_of):
    return list(zip(*map(values_of, units), strict=True))


def test_rates_by_step_and_their_differences_to_step_0(run):
    units, found = run
    for reading, of in READINGS.items():
        steps = columns(units, lambda unit, of=of: unit.rates(of))
        for number, values in enumerate(steps):
            assert same(found["per_sample"][reading]["value"][number], over_tasks(units, values))
            any_of = [None if value is None else float(value > 0) for value in values]
            assert same(found["any_of_k"][reading]["value"][number], over_tasks(units, any_of))
            pairs = zip(values, steps[0], strict=True)
            gains = [None if None in pair else pair[0] - pair[1] for pair in pairs]
            assert same(found["against_start"][reading]["value"][number], over_tasks(units, gains))
            for seed, trajectory in found["by_seed"][reading].items():
                mine = [value for unit, value in zip(units, values, strict=True) if str(unit.seed) == seed]
                assert same(trajectory[number], mean_of(mine))
    for number, values in enumerate(columns(units, lambda unit: unit.rates("correct"))):
        assert same(found["correct"]["value"][number], over_tasks(units, values))


def settled(units, rates_of, rule):
    """By lineage the step that a rule takes, and the mean over units of what each lineage then has."""
    lineages = {}
    for unit in units:
        lineages.setdefault(unit.lineage, []).append(unit)
    taken, values = [], []
    for of_lineage in lineages.values():
        step = rule([mean_of(column) for column in columns(of_lineage, rates_of)])
        taken.append(step)
        value = None if step is None else mean_of(unit.rates()[step] for unit in of_lineage)
        values += [value] * len(of_lineage)
    return taken, None if None in values else mean(values)


def best(means):
    known = [step for step, value in enumerate(means) if value is not None]
    return max(known, key=lambda step: (means[step], -step), default=None)


def test_checkpoints_of_lineages_that_were_trained_apart(run):
    units, found = run
    steps, value = settled(units, Trained.rates, best)
    checkpoint = found["checkpoint"]
    assert sorted(checkpoint["best_steps"]) == sorted(step for step in steps if step is not None)
    assert checkpoint["best_step"] == (steps[0] if len(set(steps)) == 1 else None)
    assert same(checkpoint["value"], value)
    held_out, value = settled(units, lambda unit: unit.rates(held_out=True), best)
    assert checkpoint["held_out_step"] == (held_out[0] if len(set(held_out)) == 1 else None)
    assert same(checkpoint["held_out_value"], value)
    of_units = [[rate for rate in unit.rates() if rate is not None] for unit in units]
    assert same(checkpoint["oracle_per_task"], mean(max(rates) for rates in of_units))
    start = [unit.rates()[0] for unit in units]
    for name, kind in (("over_30", lambda rate: rate > 0.3), ("up_to_30", lambda rate: rate <= 0.3)):
        bases = [rate for rate in start if rate is not None and kind(rate)]
        assert found["coverage_split"].get(name, {}).get("units", 0) == len(bases)
        if bases:
            assert same(found["coverage_split"][name]["base"], mean(bases))


def test_whether_the_totals_are_flat(run):
    units, found = run
    steps = [[row for row in rows if row is not None] for rows in zip(*(unit.steps for unit in units), strict=True)]
    totals = [(sum(row["fast_1"] for row in rows), sum(row["rollouts"] for row in rows)) for rows in steps if rows]
    good, n = map(sum, zip(*totals, strict=True))
    test = found["flat_test"]["verified"]
    if good in (0, n) or len(totals) < 2:
        assert test is None
        return
    expected = chi2_contingency([(fast, of - fast) for fast, of in totals], correction=False)
    assert test["statistic"] == pytest.approx(expected.statistic, abs=1e-9)
    assert test["p"] == pytest.approx(expected.pvalue)
