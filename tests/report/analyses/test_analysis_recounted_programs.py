"""What goes by distinct programs, counted again by hand on random runs: orders and subsets are enumerated."""

from functools import partial
from itertools import combinations, permutations
from math import asin, exp, log, sqrt
from statistics import mean

import pytest
from counted_by_hand import (
    is_ranked,
    is_timed,
    is_verifiable,
    long_enough,
    mean_of,
    programs_of,
    ranked,
    replayed,
    rows_by_task,
    same,
    value,
)
from random_records import records, seeds_of
from scipy.stats import spearmanr

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.records import merged
from pytest_kernelbench.report.render import report_json

SCORES = ("mean", "sum")


@pytest.fixture(scope="module", params=range(32))
def run(request):
    found = records(request.param)
    return found, report_json(found)


def test_every_selector_and_what_it_is_beside_its_controls(run):
    found, report = run
    for group in report["analyses"]["selection"]:
        by_hand = replayed(found, group["selectors"])
        assert {"oracle", "oracle-verified", "random", "random-top3", "random-draws-top3"} <= by_hand.keys()
        for name, each in group["selectors"].items():
            known = [one for one in by_hand[name] if one is not None]
            verified, raw, speed, logs = ([one[place] for one in known] for place in range(4))
            assert same(value(each["fast_1"]), mean_of(verified) if is_verifiable(found) else None)
            assert same(value(each["fast_1_raw"]), mean_of(raw))
            assert same(value(each["mean_speedup"]), mean_of(speed))
            assert same(value(each["geomean_speedup"]), exp(mean(logs)) if logs else None)
        for pair in group["comparisons"]:
            sides = zip(by_hand[pair["selector"]], by_hand[pair["control"]], strict=True)
            both = [(one, other) for one, other in sides if one is not None and other is not None]
            assert pair["tasks"] == len(both)
            if not both:
                assert pair["raw"]["difference"] is None and pair["log_speedup"]["ratio"] is None
                continue
            assert same(value(pair["raw"]["difference"]), mean(one[1] - other[1] for one, other in both))
            rates = [mean(each[1] for each in column) for column in zip(*both, strict=True)]
            h = 2 * asin(sqrt(min(rates[0], 1))) - 2 * asin(sqrt(min(rates[1], 1)))
            assert pair["raw"]["cohens_h"] == pytest.approx(h, abs=1e-6)
            assert same(value(pair["log_speedup"]["ratio"]), exp(mean(one[3] - other[3] for one, other in both)))
            won = sum(one[1] - other[1] > 1e-9 for one, other in both)
            assert pair["paper"]["sign"]["wins"] == pair["paper"]["sign_task_seeds"]["wins"] == won


@pytest.mark.parametrize("seed", range(24))
def test_two_seeds_of_a_task_are_one_of_the_tasks_that_a_mean_is_over(seed):
    runs = seeds_of(seed)
    (selection,) = ANALYSES["selection"](Study.of(merged(runs)))
    by_run = [replayed(run, selection["selectors"]) for run in runs.values()]
    verifiable = any(
        is_verifiable(run) and any(e.speedup_low for e in run.evaluations.values()) for run in runs.values()
    )
    for name, each in selection["selectors"].items():
        of_tasks = [
            [one for one in seeds if one is not None] for seeds in zip(*(run[name] for run in by_run), strict=True)
        ]
        known = [seeds for seeds in of_tasks if seeds]
        raw = [mean(one[1] for one in seeds) for seeds in known]
        logs = [mean(one[3] for one in seeds) for seeds in known]
        assert same(value(each["fast_1_raw"]), mean_of(raw))
        assert same(value(each["geomean_speedup"]), exp(mean(logs)) if logs else None)
        if known:
            assert each["fast_1_raw"]["tasks"] == len(known)
        if known and verifiable:
            assert same(value(each["fast_1"]), mean(mean(one[0] for one in seeds) for seeds in known))
    assert selection["seeds"] == 2 and selection["tasks"] == len(next(iter(runs.values())).tasks)


def test_the_primary_comparison(run):
    found, report = run
    primary = report["analyses"]["primary"]
    if "refusal" in primary:
        rows_T = rows_by_task(found).values()
        with_programs = [rows for rows in rows_T if programs_of(rows)]
        assert not any(is_timed(rows) and is_ranked(rows) for rows in with_programs)
        assert with_programs or not any(row.mean is not None for rows in rows_T for row in rows)
        return
    (group,) = report["analyses"]["selection"]
    by_hand = replayed(found, {name: group["selectors"][name] for name in ("surprisal", "random")})
    both = [pair for pair in zip(*by_hand.values(), strict=True) if None not in pair]
    assert primary["tasks"] == len(both) and primary["left_out"] == len(found.tasks) - len(both)
    assert same(primary["effect"]["value"], mean(one[0] - other[0] for one, other in both))
    assert same(primary["test"]["statistic"], mean(one[0] for one, _ in both))
    assert same(primary["test"]["expected"], mean(other[0] for _, other in both))
    outcomes = [0.0]
    for rows in rows_by_task(found).values():
        if is_timed(rows) and is_ranked(rows):
            of_task = [each.verified for each in programs_of(rows)] or [0.0]
            outcomes = [total + each for total in outcomes for each in of_task]
    as_high = mean(total >= len(both) * primary["test"]["statistic"] - 1e-9 for total in outcomes)
    assert same(primary["test"]["p_one_sided"], as_high)


def test_success_and_speed_ups_by_k_of_rankings(run):
    found, report = run
    rows_T = rows_by_task(found)
    for scaling in report["analyses"]["scaling"]:
        for rule in scaling["success"]:
            by, _, top = rule.partition("-top")
            if by not in ("surprisal", "confidence"):
                continue
            tasks = [rows for rows in long_enough(rows_T) if is_ranked(rows)]
            for reading in ("verified", "raw"):
                curve = scaling["success"][rule][reading]["value"]
                for k in scaling["k"]:
                    expected = [
                        over_subsets(rows, k, partial(first_of, by=by, top=int(top or 1), reading=reading))
                        for rows in tasks
                    ]
                    known = reading == "raw" or is_verifiable(found)
                    assert same(curve[k - 1], mean_of(expected) if known else None)
        for rule, curve in scaling["geomean_speedup"].items():
            scored = rule in ("surprisal", "confidence")
            tasks = [r for r in long_enough(rows_T) if is_timed(r) and (is_ranked(r) or not scored)]
            for k in scaling["k"]:
                logs = [over_subsets(rows, k, partial(speed_of, rule=rule, logarithm=True)) for rows in tasks]
                plain = [over_subsets(rows, k, partial(speed_of, rule=rule, logarithm=False)) for rows in tasks]
                assert same(curve["value"][k - 1], exp(mean(logs)) if logs else None)
                assert same(scaling["mean_speedup"][rule]["value"][k - 1], mean_of(plain))


def over_subsets(rows, k, of_programs):
    """The mean over all K of the answers; a program ranks by its score among all of them."""
    programs = {each.source: each for each in programs_of(rows)}
    draws = [{row.source for row in few if row.correct} for few in combinations(rows, k)]
    return mean(of_programs([each for source, each in programs.items() if source in there]) for there in draws)


def first_of(programs, by, top, reading) -> float:
    return max((getattr(each, reading) for each in ranked(programs, by)[:top]), default=0.0)


def speed_of(programs, rule, *, logarithm) -> float:
    if not programs:
        return 0.0
    if rule == "any":
        taken = [max(programs, key=lambda each: each.speed)]
    else:
        taken = programs if rule == "random" else ranked(programs, rule)[:1]
    return mean(log(each.speed) if logarithm else each.speed for each in taken)


def test_the_prefilter_over_programs_and_from_where_it_stays_ahead(run):
    found, report = run
    for each in report["analyses"]["prefilter"]:
        if each["unit"] != "program":
            continue
        tasks = [rows for rows in rows_by_task(found).values() if rows and all(row.mean is not None for row in rows)]
        distinct = [list({row.source: row for row in reversed(rows)}.values())[::-1] for rows in tasks]
        most = max(map(len, distinct))
        distinct = [rows for rows in distinct if 2 * len(rows) >= most]
        assert each["units"] == len(distinct) and each["m"][-1] == min(map(len, distinct))
        for ranking, sign in (("surprisal", 1), ("confidence", -1), ("surprisal-sum", 1), ("confidence-sum", -1)):
            score = "sum" if ranking.endswith("sum") else "mean"
            ahead = []
            for m in each["m"]:
                random = mean(mean(max(r.raw for r in few) for few in combinations(rows, m)) for rows in distinct)
                first = [sorted(rows, key=lambda row: sign * getattr(row, score))[:m] for rows in distinct]
                success = mean(max(row.raw for row in rows) for rows in first)
                assert same(each["success"][ranking]["raw"]["value"][m - 1], success)
                assert same(each["against_random"][ranking]["raw"]["value"][m - 1], success - random)
                ahead.append(success >= random - 1e-12)
            stays = [m for m in each["m"] if all(ahead[m - 1 :])]
            assert each["crossover_m"][ranking]["raw"] == (stays[0] if stays and stays[0] < each["m"][-1] else None)


def rho_of(x, y):
    return float(spearmanr(x, y).statistic) if len(x) > 2 and len(set(x)) > 1 and len(set(y)) > 1 else None


def test_correlations_and_quartiles_within_tasks(run):
    found, report = run
    rows_T = rows_by_task(found)
    for each in report["analyses"]["correlation"]:
        for score in SCORES:
            rhos, partials = [], []
            for rows in rows_T.values():
                known = [p for p in programs_of(rows, score) if p.score is not None and p.speed is not None]
                x, y, z = [p.score for p in known], [p.speed for p in known], [p.tokens for p in known]
                xy, xz, yz = rho_of(x, y), rho_of(x, z), rho_of(y, z)
                rhos.append(xy)
                if xy is None or xz is None or yz is None:
                    partials.append(xy)
                elif len(x) > 3 and (left := (1 - xz**2) * (1 - yz**2)) > 1e-12:
                    partials.append(max(-1.0, min(1.0, (xy - xz * yz) / sqrt(left))))
            assert each["within_task"][score]["tasks"] == sum(rho is not None for rho in rhos)
            assert same(value(each["within_task"][score]["rho"]), mean_of(rhos))
            assert same(value(each["within_task"][score]["partial_rho"]), mean_of(partials))
        both = [
            [ranked(programs_of(rows, score), "surprisal") for score in SCORES]
            for rows in rows_T.values()
            if is_ranked(rows)
        ]
        alike = [float(a[0].source == b[0].source) for a, b in both if a]
        assert same(value(each["agreement"]["mean_and_sum"]["same_choice"]), mean_of(alike))
    for each in report["analyses"]["quartiles"]:
        for score in SCORES:
            known = [
                [row for row in rows if row.correct and getattr(row, score) is not None] for rows in rows_T.values()
            ]
            ordered = [sorted(rows, key=lambda row: getattr(row, score)) for rows in known if len(rows) >= 4]
            for number, quartile in enumerate(each["within_task"][score]):
                members = [
                    [row for place, row in enumerate(rows) if place * 4 // len(rows) == number] for rows in ordered
                ]
                assert same(value(quartile["fast_1_raw"]), mean_of(mean(row.raw for row in rows) for rows in members))
                assert quartile["n"] == sum(map(len, members))


def test_calibration_by_decile(run):
    found, report = run
    for each in report["analyses"]["calibration"]:
        for score in SCORES:
            known = [rows for rows in rows_by_task(found).values() if is_timed(rows) and is_ranked(rows, score)]
            ordered = [ranked(programs_of(rows, score), "surprisal") for rows in known]
            for number, decile in enumerate(each[score]):
                # A program's rank, in the middle of its step, as a share of all: 0.5 of 3 is 1 / 6, in decile 2.
                members = [
                    [
                        p
                        for place, p in enumerate(programs)
                        if number / 10 <= (place + 0.5) / len(programs) < (number + 1) / 10
                    ]
                    for programs in ordered
                ]
                some = [programs for programs in members if programs]
                assert decile["programs"] == sum(map(len, some))
                assert same(value(decile["fast_1_raw"]), mean_of(mean(p.raw for p in programs) for programs in some))
                logs = [mean(log(p.speed) for p in programs) for programs in some]
                assert same(value(decile["geomean_speedup"]), exp(mean(logs)) if logs else None)


def stopped(rows, stops):
    """Answers taken and what was reached, in the mean over every order; ``stops`` is told all answers so far."""
    taken, reached = [], []
    for order in permutations(rows):
        k = next((k for k in range(1, len(order) + 1) if stops(order[:k])), len(order))
        taken.append(k)
        reached.append(order[:k])
    return mean(taken), reached


def at_k(rows, k, best):
    """The mean over subsets of K answers, between two whole K in proportion."""
    low = min(int(k), len(rows))
    ends = [mean(best(few) for few in combinations(rows, each)) for each in (low, min(low + 1, len(rows)))]
    return ends[0] + (k - low) * (ends[1] - ends[0])


def test_stopping_rules_over_every_order_and_a_fixed_k_that_costs_as_much(run):
    found, report = run
    rows_T = {task: rows for task, rows in rows_by_task(found).items() if is_timed(rows)}

    def success(few) -> float:
        return max(row.verified for row in few)

    def gain(few) -> float:
        return max([log(row.speed) for row in few if row.correct and row.speed > 1], default=0.0)

    for each in report["analyses"]["adaptive_k"]:
        assert each["units"] == len(rows_T)
        for row in each["posterior"][::2]:
            most = next(k for k in range(1, 999) if 0.5 / (k + 1) <= row["cost"] + 1e-12)
            found_by = [
                stopped(rows, lambda so_far, most=most: success(so_far) or len(so_far) == most)
                for rows in rows_T.values()
            ]
            answers = mean(taken for taken, _ in found_by)
            reached = [mean(map(success, orders)) for _, orders in found_by]
            fixed = [at_k(rows, min(answers, len(rows)), success) for rows in rows_T.values()]
            assert same(row["answers"], answers) and same(row["success"], mean(reached))
            assert same(row["fixed_success"], mean(fixed))
            assert same(value(row["gain"]), mean(reached) - mean(fixed))
        for row in each["pandora"][::2]:
            found_by = []
            for task, rows in rows_T.items():
                others = [gain([one]) for other, of in rows_T.items() if other != task for one in of]
                z = reservation(others, row["cost"])
                found_by.append(stopped(rows, lambda so_far, z=z: gain(so_far) >= z))
            answers = mean(taken for taken, _ in found_by)
            reached = [mean(map(gain, orders)) for _, orders in found_by]
            fixed = [at_k(rows, min(answers, len(rows)), gain) for rows in rows_T.values()]
            assert same(row["answers"], answers) and same(row["geomean_speedup"], exp(mean(reached)))
            assert same(row["fixed_geomean_speedup"], exp(mean(fixed)))
            assert value(row["gain"]) == pytest.approx(mean(reached) - mean(fixed), abs=1e-9)


def reservation(values, cost):
    """The z with E[max(X - z, 0)] = cost, which falls in straight lines between the values; the least value if none."""
    n = len(values)
    for above in range(1, n + 1):
        highest = sorted(values, reverse=True)[:above]
        z = (sum(highest) - n * cost) / above
        if z <= highest[-1] and (above == n or z >= sorted(values, reverse=True)[above]):
            return max(z, min(values))
    return min(values)
