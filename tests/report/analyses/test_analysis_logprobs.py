"""The analyses of log-probabilities: quartiles, correlations, regimes and the prefilter."""

from dataclasses import replace
from itertools import combinations
from statistics import mean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import MARGIN, Drawn, records_of, study_of

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.prefilter import crossover
from pytest_kernelbench.report.analyses.quartiles import quartile_of_rank
from pytest_kernelbench.report.analyses.regimes import regime
from pytest_kernelbench.report.stats import clustered_rate

NAMES = ("quartiles", "correlation", "regimes", "prefilter")

candidates = st.builds(
    lambda speedup, logprob, n_tokens: Drawn(speedup, logprob, n_tokens),
    st.sampled_from([None, 0.5, 1.5]),
    st.floats(-9, -1),
    st.integers(5, 9),
)


def analysis_of(name, tasks):
    (found,) = ANALYSES[name](study_of(tasks))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_candidates_without_log_probabilities_have_no_such_analysis(name):
    assert ANALYSES[name](study_of({"level1/1_x": [Drawn(2.0, sum_logprob=None)]})) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_one_candidate_is_no_error(name):
    found = ANALYSES[name](study_of({"level1/1_x": [Drawn(2.0)], "level1/2_y": []}))
    assert len(found) == (2 if name == "prefilter" else 1)


@given(st.integers(0, 50))
def test_quartiles_are_as_equal_as_can_be_and_in_order(c):
    sizes = [list(quartile_of_rank(c)).count(quartile) for quartile in range(4)]
    assert sum(sizes) == c and max(sizes) - min(sizes) <= 1
    assert sorted(quartile_of_rank(c)) == list(quartile_of_rank(c))


def test_pooled_quartiles_compare_tasks_and_those_within_a_task_do_not():
    """Every answer to the second task is less probable; within a task, only the most surprising one is fast."""
    tasks = {
        "level1/1_sure": [Drawn(2.0, -4.0), Drawn(0.5, -3.0), Drawn(0.5, -2.0), Drawn(0.5, -1.0)],
        "level1/2_unsure": [Drawn(2.0, -40.0), Drawn(0.5, -30.0), Drawn(0.5, -20.0), Drawn(0.5, -10.0)],
    }
    found = analysis_of("quartiles", tasks)
    assert [each["fast_1"]["value"] for each in found["within_task"]["sum"]] == [1.0, 0.0, 0.0, 0.0]
    assert [each["fast_1"]["value"] for each in found["pooled"]["sum"]] == [0.5, 0.0, 0.5, 0.0]
    assert [each["n"] for each in found["pooled"]["sum"]] == [2, 2, 2, 2]


@settings(deadline=None)
@given(st.lists(st.lists(candidates, min_size=1, max_size=5), min_size=2, max_size=3))
def test_pooled_quartiles_are_cut_from_one_ranking_of_all_correct_candidates(groups):
    tasks = {f"level1/{number}_x": group for number, group in enumerate(groups)}
    found = analysis_of("quartiles", tasks)["pooled"]["sum"]
    correct = [(task, each) for task, group in tasks.items() for each in group if each.speedup]
    ranked = sorted(correct, key=lambda row: row[1].sum_logprob)
    for number, each in enumerate(found):
        members = [row for place, row in enumerate(ranked) if place * 4 // len(ranked) == number]
        assert each["n"] == len(members)
        if members:
            fast = [row.speedup > 1 for _, row in members]
            assert each["fast_1_raw"]["value"] == pytest.approx(mean(fast))
            assert each["mean_speedup"] == pytest.approx(mean(row.speedup for _, row in members))
            by_task = {task: [row.speedup > 1 for of, row in members if of == task] for task, _ in members}
            expected = clustered_rate([sum(of) for of in by_task.values()], [len(of) for of in by_task.values()])
            assert (each["fast_1_raw"]["low"], each["fast_1_raw"]["high"]) == pytest.approx(expected or (None, None))


def test_quartiles_by_mean_and_by_sum_differ_where_lengths_do():
    group = [Drawn(2.0, -10.0, 100), Drawn(0.5, -9.0, 10), Drawn(0.5, -8.0, 90), Drawn(0.5, -7.0, 80)]
    found = analysis_of("quartiles", {"level1/1_x": group})
    assert found["within_task"]["sum"][0]["fast_1"]["value"] == 1.0
    assert found["within_task"]["mean"][0]["fast_1"]["value"] == 0.0
    assert found["within_task"]["mean"][0]["mean_tokens"] == 10


def test_pooling_may_reverse_what_every_task_says():
    """Simpson's paradox: within each task the less probable are faster, over all of them slower."""
    slow = [Drawn(0.5 + 0.01 * place, -30.0 - place) for place in range(5)]
    fast = [Drawn(2.0 + 0.01 * place, -3.0 - place) for place in range(5)]
    found = analysis_of("correlation", {"level1/1_slow": slow, "level1/2_fast": fast})
    assert found["pooled"]["sum"]["rho"] > 0.4
    assert found["within_task"]["sum"]["rho"]["value"] == pytest.approx(-1.0)
    assert found["n"] == 10 and found["code"] is None


def test_a_correlation_that_is_all_length_is_gone_once_length_is_held():
    group = [Drawn(1.0 + 0.1 * n, -0.5 * n, n) for n in range(5, 15)]
    noisy = [each._replace(sum_logprob=each.sum_logprob + 0.2 * (place % 3)) for place, each in enumerate(group)]
    found = analysis_of("correlation", {"level1/1_x": noisy})["pooled"]["sum"]
    assert found["length_rho"] == pytest.approx(1.0) and found["rho"] < -0.8
    assert found["partial_rho"] is None  # nothing of the speed-up is left once length is taken out


def test_the_two_scores_are_said_to_agree_where_they_rank_and_choose_alike():
    alike = [Drawn(1.5, -1.0, 10, "a"), Drawn(0.5, -2.0, 10, "b"), Drawn(0.7, -3.0, 10, "c")]
    agreement = analysis_of("correlation", {"level1/1_x": alike})["agreement"]["mean_and_sum"]
    assert agreement["rho"]["value"] == pytest.approx(1.0) and agreement["same_choice"]["value"] == 1.0
    apart = [Drawn(1.5, -3.0, 100, "a"), Drawn(0.5, -2.0, 10, "b"), Drawn(0.7, -1.0, 4, "c")]
    agreement = analysis_of("correlation", {"level1/1_x": apart})["agreement"]["mean_and_sum"]
    assert agreement["rho"]["value"] == pytest.approx(-1.0) and agreement["same_choice"]["value"] == 0.0


def test_code_is_told_from_talk_where_completions_say_which_tokens_it_is():
    """The talk is less probable the faster the kernel, the code more probable."""
    records = records_of({"level1/1_x": [Drawn(1.0 + place) for place in range(4)]})
    told = {
        key: replace(each, logprobs=(-9.0 * each.index, -4.0 + each.index, -0.5), code_tokens=(1, 2))
        for key, each in records.completions.items()
    }
    (found,) = ANALYSES["correlation"](Study.of(replace(records, completions=told)))
    assert found["pooled"]["sum"]["rho"] == pytest.approx(-1.0)
    assert found["code"]["sum"]["rho"] == found["code"]["mean"]["rho"] == pytest.approx(1.0)
    assert found["code"]["sum"]["n"] == 4
    assert found["code"]["sum"]["answer_rho"]["value"] == pytest.approx(-1.0)


def test_the_temperature_sampled_at_may_rank_otherwise_than_temperature_1():
    records = records_of({"level1/1_x": [Drawn(1.0 + place, -1.0 - place) for place in range(4)]})
    tempered = {
        key: replace(each, sampling_logprobs=(-4.0 + each.index, -0.5)) for key, each in records.completions.items()
    }
    (found,) = ANALYSES["correlation"](Study.of(replace(records, completions=tempered)))
    assert found["pooled"]["sum"]["rho"] == pytest.approx(-1.0) and found["code"] is None
    assert found["tempered"]["sum"]["rho"] == pytest.approx(1.0)
    (found,) = ANALYSES["correlation"](Study.of(records))
    assert found["tempered"] is None


def test_regimes_are_the_paper_s():
    assert [regime(sd) for sd in (1.01, 1.0, 0.15, 0.14, None)] == ["high", "medium", "medium", "flat", None]


def test_a_task_s_spread_is_over_all_its_candidates_and_selectors_are_judged_by_regime():
    wide = [Drawn(2.0, -9.0, source="a"), Drawn(0.5, -1.0, source="b"), Drawn(None, -5.0, source="b")]
    flat = [Drawn(0.5, -1.0), Drawn(2.0, -1.0)]
    found = analysis_of("regimes", {"level1/1_wide": wide, "level1/2_flat": flat, "level1/3_one": [Drawn(2.0)]})
    assert found["tasks"]["level1/1_wide"]["sd_sum_logprob"] == pytest.approx(stdev([-9, -1, -5]))
    assert found["tasks"]["level1/1_wide"]["distinct"] == 2
    assert found["tasks"]["level1/3_one"]["regime"] is None
    assert found["regimes"]["high"]["tasks"] == 1
    assert found["regimes"]["high"]["selectors"]["surprisal"]["fast_1"] == 1.0
    assert found["regimes"]["flat"]["selectors"]["surprisal"]["fast_1"] == 0.0


@settings(deadline=None, max_examples=40)
@given(st.lists(candidates, min_size=1, max_size=6))
def test_the_prefilter_evaluates_the_first_m_and_random_is_the_mean_over_all_m_subsets(group):
    found, by_draw = ANALYSES["prefilter"](study_of({"level1/1_x": group}))
    assert found["unit"] == "program" and by_draw["success"] == found["success"]  # each was drawn once
    fast = [each.speedup is not None and each.speedup * 0.999 > 1 + MARGIN for each in group]
    ranked = sorted(range(len(group)), key=lambda place: group[place].sum_logprob / group[place].n_tokens)
    for m in found["m"]:
        by_surprisal = float(any(fast[place] for place in ranked[:m]))
        by_chance = mean(float(any(subset)) for subset in combinations(fast, m))
        assert found["success"]["surprisal"]["verified"]["value"][m - 1] == by_surprisal
        assert found["success"]["random"]["verified"]["value"][m - 1] == pytest.approx(by_chance)
        difference = found["against_random"]["surprisal"]["verified"]["value"][m - 1]
        assert difference == pytest.approx(by_surprisal - by_chance)


def test_incorrect_candidates_take_places_in_the_prefilter():
    group = [Drawn(None, -9.0), Drawn(2.0, -8.0), Drawn(0.5, -1.0)]
    found, _ = ANALYSES["prefilter"](study_of({"level1/1_x": group}))
    assert found["success"]["surprisal-sum"]["verified"]["value"] == [0.0, 1.0, 1.0]
    assert found["success"]["confidence-sum"]["verified"]["value"] == [0.0, 1.0, 1.0]


def test_the_prefilter_evaluates_a_program_once_however_often_it_was_drawn():
    group = [Drawn(0.5, -9.0, source="slow")] * 3 + [Drawn(2.0, -1.0, source="fast")]
    programs, draws = ANALYSES["prefilter"](study_of({"level1/1_x": group}))
    assert programs["success"]["surprisal"]["verified"]["value"] == [0.0, 1.0]
    assert draws["success"]["surprisal"]["verified"]["value"] == [0.0, 0.0, 0.0, 1.0]
    assert programs["success"]["random"]["verified"]["value"] == [0.5, 1.0]


def test_the_crossover_is_the_m_from_which_a_ranking_stays_ahead():
    assert crossover([-0.2, 0.1, -0.1, 0.0, 0.2, 0.0]) == 4
    assert crossover([0.1, 0.0]) == 1 and crossover([-0.1, -0.1, 0.0]) is None and crossover([None, None]) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.permutations([1, 2, 3, 4]), min_size=2, max_size=4))
def test_the_interval_of_a_correlation_within_tasks_is_one_of_correlations(orders):
    tasks = {
        f"level1/{number}_x": [Drawn(1.0 + speed, -float(place), 10) for place, speed in enumerate(order, 1)]
        for number, order in enumerate(orders)
    }
    (found,) = ANALYSES["correlation"](study_of(tasks))
    for name in ("rho", "partial_rho"):
        estimate = found["within_task"]["mean"][name]
        if estimate is not None and estimate["low"] is not None:
            assert -1 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
