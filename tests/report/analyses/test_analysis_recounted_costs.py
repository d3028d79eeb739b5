"""Costs, budgets, regimes and comparisons of runs, counted again by hand on random runs, degenerate ones included."""

import random
from dataclasses import replace
from itertools import combinations, product
from math import exp, isnan, log
from statistics import mean, stdev

import pytest
from counted_by_hand import is_timed, is_verifiable, mean_of, programs_of, replayed, rows_by_task, same, value
from made_up_study import MARGIN
from random_records import choices, records, two_sets

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.comparison import compare_runs
from pytest_kernelbench.report.analyses.standings import standings
from pytest_kernelbench.report.render import report_json
from pytest_kernelbench.report.stats import components

SETS = {"one": "s", "two": "s2"}
SEEDS = range(24)


def answers(found, name):
    """By task, each answer of a strategy with its evaluation, in the order of drawing."""
    return {
        task: [
            (found.completions[SETS[name], task, index], evaluation)
            for (sampling, _, of, index), evaluation in found.evaluations.items()
            if (sampling, of) == (SETS[name], task)
        ]
        for task in found.tasks
    }


def total(values):
    values = list(values)
    return None if None in values else sum(values)


def spent(rows, axis, *, prompts=True):
    """Of one task, up to each of its answers; None from where something is not known."""
    seen, so_far, found = set(), 0.0, []
    for completion, evaluation in rows:
        is_new = evaluation.source_sha256 not in seen
        seen.add(evaluation.source_sha256)
        of_answer = {
            "rollouts": [1],
            "tokens": [completion.n_tokens, completion.prompt_tokens if prompts else 0],
            "judged": [int(is_new)],
            "seconds": [completion.seconds, evaluation.seconds["total"] if is_new else 0],
        }[axis]
        so_far = total([so_far, *of_answer])
        found.append(so_far)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_strategies_spent_is_the_mean_over_the_tasks_of_which_it_is_known(seed):
    found = two_sets(seed)
    cost = ANALYSES["cost"](Study.of(found))
    for name, row in cost["strategies"].items():
        rows_T = {task: rows for task, rows in answers(found, name).items() if rows}
        by_task = {
            "generated_tokens": [total(each.n_tokens for each, _ in rows) for rows in rows_T.values()],
            "prompt_tokens": [total(each.prompt_tokens for each, _ in rows) for rows in rows_T.values()],
            "sampling_seconds": [total(each.seconds for each, _ in rows) for rows in rows_T.values()],
            "evaluation_seconds": [
                sum({each.source_sha256: each.seconds["total"] for _, each in rows}.values())
                for rows in rows_T.values()
            ],
        }
        for part, values in by_task.items():
            average = mean_of(values)
            none = 0.0 if not values else None
            assert same(row[part], none if average is None else average * len(values) / len(found.tasks))
        known = sum(each is not None for each in by_task["generated_tokens"])
        assert row["units"]["tokens"] == len(found.tasks) - len(rows_T) + known
        chosen = [found.selections.get((task, name)) for task in found.tasks]
        timed = [each.cost["timed"] for each in chosen if each is not None]
        assert same(row["timed"], mean_of(timed)) and row["units"]["timed"] == len(timed)
    for each in ("rollouts", "tokens", "prompt_tokens", "timed", "seconds"):
        on_frontier = {name: row["on_frontier"][each] for name, row in cost["strategies"].items()}
        assert on_frontier == frontier(cost["strategies"], each)


def frontier(rows, of):
    known = {name: row for name, row in rows.items() if row[of] is not None and row["fast_1"] is not None}
    points = {name: (row[of], row["fast_1"]["value"]) for name, row in known.items()}
    return {
        name: not any(
            c <= points[name][0] and s >= points[name][1] and (c, s) != points[name] for c, s in points.values()
        )
        if name in points
        else None
        for name in rows
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_what_search_gives_for_k_answers(seed):
    found = two_sets(seed)
    for search in ANALYSES["cost"](Study.of(found))["search"]:
        rows_T = [rows for rows in answers(found, search["strategies"][0]).values() if rows]
        most = max(map(len, rows_T))
        long = [rows for rows in rows_T if 2 * len(rows) >= most]
        known_tokens = [mean_of(each.n_tokens for each, _ in rows) for rows in rows_T]
        known_seconds = [mean_of(each.seconds for each, _ in rows) for rows in rows_T]
        for point in search["points"]:
            k = point["k"]
            subsets = [list(combinations(rows, k)) for rows in long]
            any_raw = mean(mean(max(e.fast_raw() for _, e in few) for few in each) for each in subsets)
            judging = mean(
                mean(sum({e.source_sha256: e.seconds["total"] for _, e in few}.values()) for few in each)
                for each in subsets
            )
            tokens, drawing = mean_of(known_tokens), mean_of(known_seconds)
            assert same(point["any_raw"], any_raw)
            assert same(point["tokens"], None if tokens is None else tokens * k)
            assert same(point["seconds"], None if drawing is None else drawing * k + judging)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_reached_within_equal_budgets(seed):
    found = two_sets(seed)
    prompts = any(each.prompt_tokens is not None for each in found.completions.values())
    drawn = {name: answers(found, name) for name in SETS}
    budget = ANALYSES["budget"](Study.of(found)) or {}
    for axis in ("rollouts", "tokens", "judged", "seconds"):
        by_set = {n: {task: spent(rows, axis, prompts=prompts) for task, rows in of.items()} for n, of in drawn.items()}
        unknown = {task for each in by_set.values() for task, so_far in each.items() if None in so_far}
        kept = [task for task in found.tasks if task not in unknown]
        totals = {n: [each[task][-1] if each[task] else 0 for task in kept] for n, each in by_set.items()}
        if not kept or not all(any(each.values()) for each in drawn.values()) or min(map(sum, totals.values())) == 0:
            assert axis not in budget
            continue
        each = budget[axis]
        assert each["left_out"] == len(unknown) and each["tasks"] == len(kept)
        assert each["prompts"] is (axis == "tokens" and prompts)
        assert each["budget"][-1] == pytest.approx(min(map(mean, totals.values())), abs=0.001)
        for name, curves in each["strategies"].items():
            assert curves["spends"] == pytest.approx(mean(totals[name]))
            for b, reached in zip(each["budget"], curves["geomean_speedup"]["value"], strict=True):
                limit = limit_of(totals[name], b)
                within = [
                    [row for row, so_far in zip(drawn[name][t], by_set[name][t], strict=True) if so_far <= limit + 2e-9]
                    for t in kept
                ]
                logs = [
                    max([log(e.speedup) for _, e in rows if e.correct and e.speedup], default=0.0) for rows in within
                ]
                assert reached == pytest.approx(exp(mean(logs)))


def limit_of(totals, budget):
    """The limit for each task under which so much is spent on average."""
    low, high = 0.0, float(max(totals))
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(min(each, middle) for each in totals) < budget else (low, middle)
    return high


@pytest.mark.parametrize("seed", SEEDS)
def test_regimes_and_where_speed_ups_vary(seed):
    found = records(seed)
    analyses = report_json(found)["analyses"]
    rows_T = rows_by_task(found)
    for each in analyses["regimes"]:
        (selection,) = analyses["selection"]
        by_hand = replayed(found, selection["selectors"])
        sums = {task: [row.sum for row in rows if row.sum is not None] for task, rows in rows_T.items()}
        spread = {task: stdev(values) if len(values) > 1 else None for task, values in sums.items()}
        kinds = {t: sd and ("high" if sd > 1 else "flat" if sd < 0.15 else "medium") for t, sd in spread.items()}
        kinds = {task: "flat" if spread[task] == 0 else kind for task, kind in kinds.items()}
        assert {task: of["regime"] for task, of in each["tasks"].items()} == kinds
        for regime, of in each["regimes"].items():
            places = [place for place, task in enumerate(found.tasks) if kinds[task] == regime]
            assert of["tasks"] == of["units"] == len(places)
            for name, values in of["selectors"].items():
                known = [by_hand[name][place] for place in places if by_hand[name][place] is not None]
                assert same(values["fast_1_raw"], mean_of(one[1] for one in known))
                assert same(values["geomean_speedup"], exp(mean(one[3] for one in known)) if known else None)
    for each in analyses["variance"]:
        logs = {
            task: {p.source: [log(p.speed)] for p in programs_of(rows) if p.speed is not None}
            for task, rows in rows_T.items()
        }
        nested = {task: of for task, of in logs.items() if of}
        assert (each["tasks"], each["programs"]) == (len(nested), sum(map(len, nested.values())))
        variances = components(nested)._asdict()
        assert each["sd"] == {n: None if v is None else pytest.approx(v**0.5) for n, v in variances.items()}


def twin_of(found, seed):
    """The same candidates, of which other choices were made, timed again otherwise."""
    rng = random.Random(1000 + seed)
    chosen = {}
    for key, each in choices(found, rng).items():
        by = rng.choice((0.7, 1.0, 1.004, 1.5))
        low, high = (None if end is None else end * by for end in (each.confirmed_low, each.confirmed_high))
        fast = low is not None and low > 1 + MARGIN
        chosen[key] = replace(
            each, confirmed_speedup=each.confirmed_speedup * by, confirmed_low=low, confirmed_high=high, fast=fast
        )
    return replace(found, selections=chosen)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_runs_side_by_side(seed):
    a = records(seed)
    b = twin_of(a, seed)
    compared = compare_runs({"a": a, "b": b})["strategies"]
    for name, each in compared.items():
        pairs = [[run.selections.get((task, name)) for run in (a, b)] for task in a.tasks]
        logs = [[0.0 if one is None else log(one.confirmed_speedup) for one in pair] for pair in pairs]
        for task, pair in zip(a.tasks, pairs, strict=True):
            assert each["tasks"][task]["change"] == change_of(*pair)
        ratio = (
            exp(mean(after - before for before, after in logs)) if any(one for pair in pairs for one in pair) else None
        )
        assert same(value(each["geomean_ratio"]), ratio)
        fast = [[float(one is not None and one.fast) for one in pair] for pair in pairs]
        if not is_verifiable(a):
            assert each["fast_1"] == {"values": [None, None], "difference": None}
            continue
        assert each["fast_1"]["values"] == pytest.approx([mean(column) for column in zip(*fast, strict=True)])
        assert each["sign"]["wins"] == sum(after > before for before, after in fast)


def change_of(one, other):
    if one is None or other is None:
        return "neither" if one is other else "lost" if other is None else "gained"
    ratio = log(other.confirmed_speedup / one.confirmed_speedup)
    below = [log(other.confirmed_speedup / other.confirmed_low), log(one.confirmed_high / one.confirmed_speedup)]
    above = [log(other.confirmed_high / other.confirmed_speedup), log(one.confirmed_speedup / one.confirmed_low)]
    if ratio - sum(each**2 for each in below) ** 0.5 > log(1 + MARGIN):
        return "faster"
    return "slower" if ratio + sum(each**2 for each in above) ** 0.5 < -log(1 + MARGIN) else "same"


@pytest.mark.parametrize("seed", SEEDS)
def test_policies_set_beside_the_first_and_the_p_of_exchanging_them(seed):
    a = records(seed)
    runs = {
        "a": replace(a, options={**a.options, "policy": "a"}),
        "b": replace(twin_of(a, seed), options={**a.options, "policy": "b"}),
    }
    first, _, other, _ = standings(runs)["rows"]
    logs = [
        [0.0 if (one := run.selections.get((task, "one"))) is None else log(one.confirmed_speedup) for task in a.tasks]
        for run in runs.values()
    ]
    differences = [after - before for before, after in zip(*logs, strict=True)]
    assert first["difference"] is first["ratio"] is None and (first["name"], other["name"]) == ("a", "b")
    assert same(value(other["ratio"]), exp(mean(differences)))
    signs = list(product([-1, 1], repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(each, differences, strict=True))) for each in signs]
    p = mean(float(each >= abs(sum(differences)) - 1e-9) for each in sums)
    assert other["p_log_speedup"]["p"] == pytest.approx(p) and not isnan(p)
    if not is_verifiable(a):
        assert other["fast_1"] is other["difference"] is other["p_success"] is None
    assert any(is_timed(rows) for rows in rows_by_task(a).values()) or other["geomean_speedup"] is None
