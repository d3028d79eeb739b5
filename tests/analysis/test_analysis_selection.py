from dataclasses import replace
from itertools import combinations
from math import log
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import Drawn, records_of, study_of

from pytest_kernelbench.analysis import ANALYSES, Study
from pytest_kernelbench.analysis.selection import replays

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
    for name, top in (("random", 1), ("random-top3", 3)):
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
    rates = comparison(selection_of(tasks), "surprisal", "confidence")["verified"]
    assert rates["sign"] == {"wins": 3, "losses": 0, "ties": 2, "p_one_sided": 0.125, "p_two_sided": 0.25}
    assert rates["difference"]["value"] == pytest.approx(0.6)
    assert rates["power"]["tasks"] == 5 and rates["power"]["least_p"] == 0.0625
    assert rates["power"]["at_observed"] == 0.0 and rates["power"]["tasks_for_80_percent"] == 12


def test_against_random_choices_a_success_weighs_what_chance_gives_it():
    tasks = {f"level1/{number}_x": group_of(2.0, 0.5, 0.5, 0.5) for number in range(3)}
    rates = comparison(selection_of(tasks), "surprisal", "random")["raw"]
    assert rates["sign"] is None
    assert rates["chance"]["successes"] == 3 and rates["chance"]["expected"] == pytest.approx(0.75)
    assert rates["chance"]["p_one_sided"] == pytest.approx(0.25**3)


def test_the_signed_rank_test_pairs_log_speed_ups_by_task():
    tasks = {f"level1/{number}_x": group_of(1.5 + number, 0.5) for number in range(5)}
    test = comparison(selection_of(tasks), "surprisal", "confidence")["wilcoxon"]
    assert test == {"n": 5, "statistic": 0.0, "p": 0.0625}


def test_tasks_without_a_correct_candidate_are_the_reference_and_not_fast():
    selectors = selection_of({"level1/1_x": [Drawn(None), Drawn(None)], "level1/2_y": []})["selectors"]
    for each in selectors.values():
        assert each["fast_1"]["value"] == 0 and each["geomean_speedup"]["value"] == 1.0


def test_one_seed_has_no_spread_over_seeds():
    each = selection_of({"level1/1_x": group_of(2.0)})["selectors"]["surprisal"]
    assert each["by_seed"]["0"]["fast_1"] == 1.0 and each["sd_over_seeds"]["fast_1"] is None


def test_candidates_whose_completions_were_not_kept_can_still_be_chosen_by_their_timings():
    records = replace(records_of({"level1/1_x": group_of(0.5, 2.0)}), completions={})
    (found,) = ANALYSES["selection"](Study.of(records))
    assert found["selectors"]["oracle"]["fast_1"]["value"] == 1.0
    assert "surprisal" not in found["selectors"]
