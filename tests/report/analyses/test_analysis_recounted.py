"""Every figure of a report counted again by hand, from the rows of random runs and by another way.

Subsets are enumerated where the report has closed forms, and nothing of the package is used but the rows and their
``fast``, ``fast_raw``.
"""

from itertools import combinations
from math import exp, log
from statistics import mean, median, stdev

import pytest
from counted_by_hand import is_verifiable, long_enough, mean_of, of_random, rows_by_task, same, value
from made_up_study import MARGIN
from random_records import records

from pytest_kernelbench.report.render import report_json

SEEDS = range(48)


@pytest.fixture(scope="module", params=SEEDS)
def run(request):
    found = records(request.param)
    return found, report_json(found)


def test_metrics_of_samples_and_of_choices(run):
    found, report = run
    rows_T = rows_by_task(found)
    judged = [rows for rows in rows_T.values() if rows]
    for name, each in report["strategies"].items():
        metrics = each["metrics"]
        chosen = [found.selections.get((task, name)) for task in found.tasks]
        assert same(metrics["correct"], mean_of(mean(row.correct for row in rows) for rows in judged))
        assert same(metrics["any_correct"], mean_of(float(any(row.correct for row in rows)) for rows in judged))
        assert same(metrics["solved"], mean(float(row is not None) for row in chosen))
        assert same(metrics["fast_1_raw"], mean(float(row is not None and row.fast_raw) for row in chosen))
        assert same(metrics["fast_1_sample_raw"], mean_of(mean(row.raw for row in rows) for rows in judged))
        assert same(metrics["fast_1_any_raw"], mean_of(max(row.raw for row in rows) for rows in judged))
        speeds = [1.0 if row is None else row.confirmed_speedup for row in chosen]
        timed = any(row is not None for row in chosen)
        assert same(metrics["mean_speedup"], mean(speeds) if timed else None)
        assert same(metrics["median_speedup"], median(speeds) if timed else None)
        assert same(metrics["geomean_speedup"], exp(mean(map(log, speeds))) if timed else None)
        for p in (0.5, 1.5, 2.0):
            over = mean(float(row is not None and row.speedup > p) for row in chosen)
            assert same(metrics[f"fast_{p:g}_raw"], over)
        if is_verifiable(found):
            assert same(metrics["fast_1"], mean(float(row is not None and row.fast) for row in chosen))
            assert same(metrics["fast_1_sample"], mean_of(mean(row.verified for row in rows) for rows in judged))
            assert same(metrics["fast_1_any"], mean_of(max(row.verified for row in rows) for rows in judged))
        else:
            assert metrics["fast_1"] is metrics["fast_1_sample"] is metrics["fast_1_any"] is None


def test_success_by_k_of_any_and_of_a_random_program(run):
    found, report = run
    if not report["analyses"]["scaling"]:
        assert not found.evaluations
        return
    (scaling,) = report["analyses"]["scaling"]
    tasks = long_enough(rows_by_task(found))
    assert scaling["k"] == list(range(1, 1 + min(map(len, tasks))))
    for reading in ("verified", "raw") if is_verifiable(found) else ("raw",):
        for k in scaling["k"]:
            any_of, random_one, random_three = [], [], []
            for rows in tasks:
                subsets = [list(each) for each in combinations(rows, k)]
                any_of.append(mean(max(getattr(row, reading) for row in each) for each in subsets))
                random_one.append(mean(of_random(each, 1, reading) for each in subsets))
                random_three.append(mean(of_random(each, 3, reading) for each in subsets))
            curves = {name: scaling["success"][name][reading]["value"][k - 1] for name in ("any", "random")}
            assert same(curves["any"], mean(any_of)) and same(curves["random"], mean(random_one))
            if all(row.speed is not None for rows in tasks for row in rows if row.correct):
                assert same(scaling["success"]["random-top3"][reading]["value"][k - 1], mean(random_three))
            assert same(scaling["coin_flip"][k - 1], 1 - 0.5**k)


def test_the_prefilter_over_draws(run):
    found, report = run
    for each in report["analyses"]["prefilter"]:
        if each["unit"] != "draw":
            continue
        ranked = {
            task: rows
            for task, rows in rows_by_task(found).items()
            if rows and all(row.mean is not None for row in rows)
        }
        tasks = long_enough(ranked)
        assert each["units"] == len(tasks)
        for m in each["m"]:
            random = mean(mean(max(row.raw for row in draw) for draw in combinations(rows, m)) for rows in tasks)
            assert same(each["success"]["random"]["raw"]["value"][m - 1], random)
            for ranking, sign in (("surprisal", 1), ("confidence", -1)):
                first = [sorted(rows, key=lambda row, sign=sign: sign * row.mean)[:m] for rows in tasks]
                expected = mean(max(row.raw for row in rows) for rows in first)
                assert same(each["success"][ranking]["raw"]["value"][m - 1], expected)


def test_pooled_quartiles_and_correlations(run):
    from scipy.stats import spearmanr

    found, report = run
    every = [row for rows in rows_by_task(found).values() for row in rows if row.correct and row.mean is not None]
    for each in report["analyses"]["quartiles"]:
        for score in ("mean", "sum"):
            ordered = sorted(every, key=lambda row, score=score: getattr(row, score))
            for number, quartile in enumerate(each["pooled"][score]):
                rows = [row for place, row in enumerate(ordered) if place * 4 // len(ordered) == number]
                speeds = [row.speed for row in rows if row.speed is not None]
                assert quartile["n"] == len(rows)
                assert same(value(quartile["fast_1_raw"]), mean_of(row.raw for row in rows))
                assert same(quartile["mean_tokens"], mean_of(row.tokens for row in rows))
                assert same(quartile["mean_speedup"], mean_of(speeds))
                assert same(quartile["geomean_speedup"], exp(mean(map(log, speeds))) if speeds else None)
    timed = [row for row in every if row.speed is not None]
    for each in report["analyses"]["correlation"]:
        assert each["n"] == len(timed)
        for score, pooled in each["pooled"].items():
            scores, speeds = [getattr(row, score) for row in timed], [row.speed for row in timed]
            if len(timed) > 2 and len(set(scores)) > 1 and len(set(speeds)) > 1:
                assert same(pooled["rho"], float(spearmanr(scores, speeds).statistic))


def test_spreads_kinds_and_costs(run):
    found, report = run
    rows_T = rows_by_task(found)
    for each in report["analyses"]["regimes"]:
        for task, of in each["tasks"].items():
            sums = [row.sum for row in rows_T[task] if row.sum is not None]
            assert same(of["sd_sum_logprob"], stdev(sums) if len(sums) > 1 else None)
            assert of["distinct"] == len({row.source for row in rows_T[task]})
    for each in report["analyses"]["diversity"]:
        tasks = long_enough(rows_T)
        for k in each["k"]:
            kinds = [mean(len({row.source for row in draw}) for draw in combinations(rows, k)) for rows in tasks]
            assert same(each["distinct"]["value"][k - 1], mean(kinds))
    drawn = [row for rows in rows_T.values() for row in rows]
    for name, each in report["analyses"]["cost"]["strategies"].items():
        chosen = [found.selections.get((task, name)) for task in found.tasks]
        assert same(each["rollouts"], len(drawn) / len(found.tasks))
        assert same(each["generated_tokens"], sum(row.tokens for row in drawn) / len(found.tasks))
        assert each["prompt_tokens"] is None or not drawn
        assert same(value(each["fast_1_raw"]), mean(float(row is not None and row.fast_raw) for row in chosen))
    (samples,) = report["samples"]
    correct = [row for row in drawn if row.correct]
    assert (samples["drawn"], samples["correct"]) == (len(drawn), len(correct))
    assert samples["timed"] == sum(row.speed is not None for row in correct)
    assert samples["ranked"] == sum(row.mean is not None for row in correct)
    assert samples["programs"] == sum(len({row.source for row in rows if row.correct}) for rows in rows_T.values())


def test_the_null_and_the_margins(run):
    found, report = run
    if found.nulls is None:
        assert report["null"] is None
    else:
        assert report["null"]["n"] == len(found.nulls)
        assert report["null"]["fast_1_raw"] == sum(each.fast_raw() for each in found.nulls)
        assert same(
            report["null"]["false_positive_rate"], mean(float(each.fast(margin=MARGIN)) for each in found.nulls)
        )
    margins = report["analyses"]["margins"]
    for name, curve in (margins or {"strategies": {}})["strategies"].items():
        lows = [row and row.confirmed_low for row in (found.selections.get((task, name)) for task in found.tasks)]
        for margin, share in zip(margins["margin"], curve["value"], strict=True):
            assert same(share, mean(float(low is not None and low - 1 > margin) for low in lows))
