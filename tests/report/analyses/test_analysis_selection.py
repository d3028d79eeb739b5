"""Selectors and their controls replayed on the same candidates, and the tests that compare them."""

import random
from dataclasses import replace
from itertools import combinations
from math import exp, log
from statistics import mean

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import Drawn, records_of, study_of

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.replay import replays
from pytest_kernelbench.report.analyses.selection import randomised

speedups = st.sampled_from([None, 0.5, 0.995, 1.005, 1.5, 3.0])


def selection_of(tasks):
    (found,) = ANALYSES["selection"](study_of(tasks))
    return found


def comparison(found, selector, control):
    (each,) = [row for row in found["comparisons"] if (row["selector"], row["control"]) == (selector, control)]
    return each


def group_of(choice: float, *others: float | None) -> list[Drawn]:
    """The first is the most surprising one."""
    return [Drawn(choice, sum_logprob=-9.0), *(Drawn(each, sum_logprob=-1.0) for each in others)]


@settings(deadline=None, max_examples=40)
@given(st.lists(speedups, min_size=1, max_size=6))
def test_random_selection_is_the_mean_over_all_draws_of_the_fastest_drawn(found):
    (group,) = study_of({"level1/1_x": [Drawn(each) for each in found]}).groups
    correct = [each for each in found if each is not None]
    for name, top in (("random", 1), ("random-top3", 3), ("random-draws", 1), ("random-draws-top3", 3)):
        replay = replays(group)[name]
        best = [max(each) for each in combinations(correct, min(top, len(correct)))] if correct else [1.0]
        assert replay.speedup_U[0] == pytest.approx(mean(best))
        assert replay.log_speedup_U[0] == pytest.approx(mean(map(log, best)))
        raw = mean(float(each > 1) for each in best) if correct else 0
        verified = mean(float(each * 0.999 > 1.01) for each in best) if correct else 0
        assert replay.fast_U["raw"][0] == pytest.approx(raw)
        assert replay.fast_U["verified"][0] == pytest.approx(verified)


def test_every_selector_is_there_with_its_control_whatever_the_run_was_asked_for():
    found = selection_of({"level1/1_x": group_of(2.0, 0.5, 0.7, 3.0), "level1/2_y": group_of(0.5, None)})
    selectors = found["selectors"]
    assert {"oracle", "random", "random-top3", "confidence", "surprisal", "surprisal-top3"} <= set(selectors)
    assert {"surprisal-sum", "surprisal-sum-top3"} <= set(selectors)
    assert selectors["surprisal"]["fast_1"]["value"] == 0.5
    assert selectors["oracle"]["mean_speedup"]["value"] == pytest.approx((3.0 + 0.5) / 2)
    assert selectors["random"]["fast_1"]["value"] == pytest.approx((0.5 + 0) / 2)
    pairs = {(each["selector"], each["control"]) for each in found["comparisons"]}
    assert {("surprisal-top3", "random-top3"), ("surprisal-top3", "confidence-top3")} <= pairs


def test_code_alone_and_the_temperature_sampled_at_choose_where_they_are_known():
    """By the whole answer #0 is the least expected, by its code #1, and by the temperature sampled at #2."""
    records = records_of({"level1/1_x": [Drawn(2.0), Drawn(3.0), Drawn(4.0)]})
    logprobs = {0: (-9.0, -1.0), 1: (-1.0, -8.0), 2: (-1.0, -1.0)}
    tempered = {0: (-1.0, -1.0), 1: (-1.0, -1.0), 2: (-5.0, -1.0)}

    def told(each, **more):
        return replace(each, logprobs=logprobs[each.index], sampling_logprobs=tempered[each.index], **more)

    def chosen(completions):
        (found,) = ANALYSES["selection"](Study.of(replace(records, completions=completions)))
        return {name: each["mean_speedup"]["value"] for name, each in found["selectors"].items()}, found

    known = {key: told(each, code_tokens=(1, 2)) for key, each in records.completions.items()}
    speedups, found = chosen(known)
    assert speedups["surprisal"] == speedups["surprisal-sum"] == 2.0
    assert speedups["surprisal-code"] == speedups["surprisal-code-sum"] == 3.0
    assert speedups["surprisal-tempered"] == speedups["surprisal-code-top3"] == 4.0
    assert found["selectors"]["surprisal-code-sum"]["of"] == "code" and found["selectors"]["random"]["of"] is None
    pairs = {(each["selector"], each["control"]) for each in found["comparisons"]}
    assert ("surprisal-code-top3", "confidence-code-top3") in pairs
    speedups, _ = chosen({key: told(each) for key, each in records.completions.items()})
    assert "surprisal-code" not in speedups and "surprisal-tempered" in speedups


def test_two_selectors_are_compared_by_the_tasks_that_only_one_of_them_wins():
    # As in the paper's table: surprisal wins three tasks that confidence loses, and they agree on two.
    tasks = {f"level1/{number}_x": group_of(2.0, 0.5) for number in (1, 2, 3)}
    tasks |= {f"level1/{number}_x": group_of(2.0, 3.0) for number in (4, 5)}
    found = comparison(selection_of(tasks), "surprisal", "confidence")
    sign = {"wins": 3, "losses": 0, "ties": 2, "p_one_sided": 0.125, "p_two_sided": 0.25}
    assert found["paper"]["sign"] == found["paper"]["sign_task_seeds"] == sign
    assert found["verified"]["difference"]["value"] == pytest.approx(0.6) and found["tasks"] == 5
    # Of the orders of two programs half put the fast one first: three tasks are won by chance once in eight.
    assert found["verified"]["test"]["p_one_sided"] == pytest.approx(1 / 8, abs=0.01)


def test_against_random_choices_a_success_weighs_what_chance_gives_it():
    tasks = {f"level1/{number}_x": group_of(2.0, 0.5, 0.5, 0.5) for number in range(3)}
    test = comparison(selection_of(tasks), "surprisal", "random")["raw"]["test"]
    assert test["exact"] and test["statistic"] == 1.0 and test["expected"] == pytest.approx(0.25)
    assert test["p_one_sided"] == pytest.approx(0.25**3) and test["least_p"] == pytest.approx(2 * 0.25**3)


def test_the_signed_rank_test_pairs_log_speed_ups_by_task():
    tasks = {f"level1/{number}_x": group_of(1.5 + number, 0.5) for number in range(5)}
    test = comparison(selection_of(tasks), "surprisal", "confidence")["paper"]["wilcoxon"]
    assert test == {"n": 5, "statistic": 0.0, "p": 0.0625}


def test_tasks_without_a_correct_candidate_are_the_reference_and_not_fast():
    selectors = selection_of({"level1/1_x": [Drawn(None), Drawn(None)], "level1/2_y": []})["selectors"]
    for each in selectors.values():
        assert each["fast_1"]["value"] == 0 and each["geomean_speedup"]["value"] == 1.0
        assert each["fast_1"]["tasks"] == 1  # nothing was judged of the other


def test_one_seed_has_no_spread_over_seeds():
    each = selection_of({"level1/1_x": group_of(2.0)})["selectors"]["surprisal"]
    assert each["by_seed"]["0"]["fast_1"] == 1.0 and each["sd_over_seeds"]["fast_1"] is None


def test_candidates_whose_completions_were_not_kept_can_still_be_chosen_by_their_timings():
    records = replace(records_of({"level1/1_x": group_of(0.5, 2.0)}), completions={})
    (found,) = ANALYSES["selection"](Study.of(records))
    assert found["selectors"]["oracle"]["fast_1"]["value"] == 1.0
    assert "surprisal" not in found["selectors"]


def test_top_3_looks_at_three_programs_and_chance_draws_programs_unless_draws_are_asked_for():
    """One program fills the first three places; the old reading never looks at the fast one."""
    group = [Drawn(0.5, -9.0, source="often")] * 3 + [Drawn(3.0, -5.0, source="rare"), Drawn(0.7, -1.0, source="sure")]
    found = selection_of({"level1/1_x": group})["selectors"]
    assert found["surprisal-top3"]["fast_1"]["value"] == found["random-top3"]["fast_1"]["value"] == 1.0
    assert found["surprisal-draws-top3"]["fast_1"]["value"] == 0.0
    assert found["random-draws-top3"]["fast_1"]["value"] == pytest.approx(6 / 10)
    assert found["random"]["fast_1"]["value"] == pytest.approx(1 / 3)
    assert found["random-draws"]["fast_1"]["value"] == pytest.approx(1 / 5)
    assert found["surprisal-draws-top3"]["unit"] == "draw" and found["random"]["unit"] == "program"


def test_one_missing_log_probability_takes_one_unit_out_of_the_rankings_and_no_analysis_away():
    tasks = {f"level1/{number}_x": group_of(2.0, 0.5, 0.7) for number in range(4)}
    tasks["level1/9_y"] = [Drawn(2.0, sum_logprob=None), Drawn(0.5)]
    study = study_of(tasks)
    for name in ("selection", "quartiles", "correlation", "regimes", "prefilter"):
        (found, *_) = ANALYSES[name](study)
        assert found["of"]["ranked"] == 13 and found["of"]["correct"] == 14
        assert found["of"]["units_ranked"] == 4 and found["of"]["units"] == 5
    (found,) = ANALYSES["selection"](study)
    assert found["selectors"]["surprisal"]["fast_1"]["tasks"] == 4
    assert found["selectors"]["oracle"]["fast_1"]["tasks"] == 5
    assert comparison(found, "surprisal-top3", "random-top3")["tasks"] == 4


def test_a_program_that_another_answer_scores_is_ranked():
    group = [Drawn(2.0, None, source="a"), Drawn(2.0, -9.0, source="a"), Drawn(0.5, -1.0, source="b")]
    found = selection_of({"level1/1_x": group})
    assert found["selectors"]["surprisal"]["fast_1"]["value"] == 1.0


def test_a_correct_candidate_without_a_speed_up_leaves_its_task_out_of_what_goes_by_speed_ups():
    records = records_of({"level1/1_x": [Drawn(2.0), Drawn(0.5)], "level1/2_y": [Drawn(2.0), Drawn(0.7)]})
    untimed = dict(records.evaluations)
    key = ("s", "e", "level1/1_x", 0)
    untimed[key] = replace(untimed[key], speedup=None, speedup_low=None, speedup_high=None)
    study = Study.of(replace(records, evaluations=untimed))
    for analyse in ANALYSES.values():
        analyse(study)
    (found,) = ANALYSES["selection"](study)
    assert found["of"]["units_timed"] == 1 and found["of"]["timed"] == 3
    assert found["selectors"]["oracle"]["geomean_speedup"]["tasks"] == 1


def test_code_without_tokens_has_no_score_and_refuses_nothing():
    records = records_of({"level1/1_x": [Drawn(2.0), Drawn(3.0)]})
    empty = {key: replace(each, logprobs=(-1.0, -2.0), code_tokens=(1, 1)) for key, each in records.completions.items()}
    (found,) = ANALYSES["selection"](Study.of(replace(records, completions=empty)))
    assert "surprisal-code" not in found["selectors"] and "surprisal" in found["selectors"]


def test_the_best_verified_is_not_the_fastest_by_its_estimate():
    group = [Drawn(3.0, half_width=0.9), Drawn(1.5)]
    found = selection_of({"level1/1_x": group})["selectors"]
    assert found["oracle"]["fast_1"]["value"] == 0.0 and found["oracle"]["mean_speedup"]["value"] == 3.0
    assert found["oracle-verified"]["fast_1"]["value"] == 1.0
    assert found["oracle-verified"]["mean_speedup"]["value"] == 1.5


def useless_study(n_tasks: int, n_programs: int, k: int, seed: int):
    """Quality has nothing to do with probability: answers repeat as probabilities say, and one program has one
    score.
    """
    rng = random.Random(f"{n_tasks} {n_programs} {seed}")
    tasks = {}
    for number in range(n_tasks):
        logprobs = [rng.gauss(-2, 1.5) for _ in range(n_programs)]
        speedups = [2.0 if rng.random() < 0.3 else 0.5 for _ in range(n_programs)]
        drawn = rng.choices(range(n_programs), [exp(each) for each in logprobs], k=k)
        tasks[f"level1/{number}_x"] = [Drawn(speedups[i], logprobs[i], 1, f"{number} {i}") for i in drawn]
    return tasks


def test_a_score_that_says_nothing_is_rejected_once_in_twenty_and_not_in_a_third_of_studies():
    """6 programs and 20 tasks: where draws count as exchangeable, as up to 325b2aa, 27.5 % of these are rejected."""
    studies, by_programs, by_draws = 40, 0, 0
    for seed in range(studies):
        (group,) = study_of(useless_study(20, 6, 32, seed)).groups
        test = randomised(group, "surprisal-top3", "random-top3", "verified")
        by_programs += test.p_two_sided <= 0.05
        found = {
            name: replays(group)[name].fast_U["verified"] for name in ("surprisal-draws-top3", "random-draws-top3")
        }
        taken, rates = found["surprisal-draws-top3"], found["random-draws-top3"]
        chances = numpy.ones(1)
        for rate in rates:
            chances = numpy.convolve(chances, [1 - rate, rate])
        observed = int(taken.sum())
        below, above = chances[: observed + 1].sum(), chances[observed:].sum()
        by_draws += 2 * min(below, above) <= 0.05
    assert by_programs / studies <= 0.1 < 0.2 <= by_draws / studies
