"""The curves of success and speed-up by K: exact over all subsets, their saturation and the equivalent K."""

from dataclasses import replace
from itertools import combinations
from statistics import mean

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_up_study import MARGIN, Drawn, records_of, study_of

from pytest_kernelbench.records import Candidate, Judged
from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.scaling import ANY_OF_K, PER_SAMPLE, equivalent, saturation_k
from pytest_kernelbench.report.stats import clopper_pearson, clustered_rate
from pytest_kernelbench.selection import select
from pytest_kernelbench.strategy import SelectionSettings

SETTINGS = {
    "any": SelectionSettings(),
    "surprisal": SelectionSettings(by="surprisal"),
    "surprisal-top3": SelectionSettings(by="surprisal", top=3),
    "confidence": SelectionSettings(by="confidence"),
    "confidence-top3": SelectionSettings(by="confidence", top=3),
}

candidates = st.builds(
    lambda speedup, logprob, n_tokens: Drawn(speedup, logprob, n_tokens),
    st.sampled_from([None, 0.5, 0.995, 1.005, 1.5, 3.0]),
    st.sampled_from([-3.0, -2.0, -1.0]),
    st.integers(5, 9),
)


def scaling_of(tasks, **more):
    (found,) = ANALYSES["scaling"](study_of(tasks, **more))
    return found


# The same program has the same speed-up; its answers the same log-probability, for a curve takes that of the first.
programs = st.builds(
    lambda number: Drawn((None, 0.5, 1.5, 3.0)[number], (-3.0, -2.0, -1.0, -2.5)[number], 5, f"program {number}"),
    st.integers(0, 3),
)


@settings(deadline=None, max_examples=30)
@given(st.lists(candidates | programs, min_size=1, max_size=6))
def test_every_curve_is_the_mean_over_all_subsets_of_what_the_selector_itself_takes(group):
    # Of two programs with one score, a curve takes the one that was drawn first, and a selector that of its subset.
    scores = {each.source or number: each.sum_logprob / each.n_tokens for number, each in enumerate(group)}
    assume(len(set(scores.values())) == len(scores))
    study = study_of({"level1/1_x": group})
    (found,) = ANALYSES["scaling"](study)
    ((unit,),) = [each.units for each in study.groups]
    judged = [
        Judged(candidate=Candidate(completion=each.completion, source=None), evaluation=each.evaluation)
        for each in unit.results.samples
    ]
    for rule, selector in SETTINGS.items():
        for k in range(1, len(group) + 1):
            taken = [
                next(
                    (
                        each.evaluation
                        for each in subset
                        if each.candidate.index == select(subset, selector, seed=0).index
                    ),
                    None,
                )
                for subset in combinations(judged, k)
            ]
            verified = mean(float(each is not None and each.fast(margin=MARGIN)) for each in taken)
            raw = mean(float(each is not None and each.fast_raw()) for each in taken)
            assert found["success"][rule]["verified"]["value"][k - 1] == pytest.approx(verified, abs=1e-9)
            assert found["success"][rule]["raw"]["value"][k - 1] == pytest.approx(raw, abs=1e-9)
            if rule in found["mean_speedup"]:
                speedups = mean(0.0 if each is None else each.speedup for each in taken)
                assert found["mean_speedup"][rule]["value"][k - 1] == pytest.approx(speedups, abs=1e-9)


def test_a_curve_has_a_value_for_every_k_and_an_interval_over_tasks():
    found = scaling_of({"level1/1_x": [Drawn(2.0), Drawn(0.5)], "level1/2_y": [Drawn(0.5), Drawn(None)]})
    assert found["k"] == [1, 2] and found["tasks"] == 2
    curve = found["success"]["any"]["verified"]
    assert curve["value"] == [0.25, 0.5]
    assert list(zip(curve["low"], curve["high"], strict=True)) == [clustered_rate([0.5, 0.0]), clopper_pearson(1, 2)]


def test_a_task_without_candidates_says_nothing_and_is_counted():
    found = scaling_of({"level1/1_x": [Drawn(2.0)], "level1/2_y": []})
    assert found["success"]["any"]["raw"]["value"] == [1.0]
    assert found["of"]["units"] == 2 and found["of"]["units_in_curves"] == 1
    nothing = study_of({"level1/1_x": []})
    assert ANALYSES["scaling"](nothing) == []


def test_a_task_that_the_run_was_killed_at_does_not_cut_the_curves_of_the_others_short():
    found = scaling_of({"level1/1_x": [Drawn(2.0)] * 8, "level1/2_y": [Drawn(0.5)] * 3})
    assert found["k"][-1] == 8 and found["of"]["units_in_curves"] == 1 and found["of"]["judged"] == 11


def test_without_intervals_nothing_is_verified_and_raw_is_what_it_is():
    records = records_of({"level1/1_x": [Drawn(2.5), Drawn(2.5)]})
    plain = {key: replace(each, speedup_low=None, speedup_high=None) for key, each in records.evaluations.items()}
    for name, analyse in ANALYSES.items():
        found = analyse(Study.of(replace(records, evaluations=plain)))
        if name == "scaling":
            assert found[0]["success"]["any"]["verified"]["value"] == [None, None]
            assert found[0]["success"]["any"]["raw"]["value"] == [1.0, 1.0]
            assert found[0]["saturation_k"]["any"]["verified"] is None
        if name == "selection":
            assert found[0]["selectors"]["oracle"]["fast_1"] is None
            assert found[0]["selectors"]["oracle"]["fast_1_raw"]["value"] == 1.0


def test_without_log_probabilities_only_any_and_random_are_left():
    found = scaling_of({"level1/1_x": [Drawn(2.0, sum_logprob=None), Drawn(0.5)]})
    assert list(found["success"]) == ["any", "random", "random-top3"]


def test_the_identity_control_goes_on_from_the_rate_at_which_the_clock_erred():
    found = scaling_of({"level1/1_x": [Drawn(2.0)] * 3}, nulls=[1.002, 1.003, 0.999, 0.998])
    assert found["identity"]["n"] == 4
    assert found["identity"]["raw"]["value"] == [0.5, 0.75, 0.875] == found["coin_flip"]
    assert found["identity"]["verified"]["value"] == [0.0, 0.0, 0.0]
    assert scaling_of({"level1/1_x": [Drawn(2.0)]})["identity"] is None


def test_a_curve_is_saturated_where_it_reaches_95_percent_of_its_end():
    assert saturation_k([0.2, 0.5, 0.94, 0.96, 1.0]) == 4
    assert saturation_k([0.0, 0.0]) is None


def test_a_selector_is_worth_the_k_at_which_search_succeeds_as_often():
    # One fast in four: random takes it in a quarter of the cases, as does one sample.
    found = scaling_of({"level1/1_x": [Drawn(2.0), Drawn(0.5), Drawn(0.6), Drawn(0.7)]})
    equal = {"k": pytest.approx(1.0), "low": None, "high": None, "open": False, "refusal": None}
    assert found["equivalent_k"]["random"]["verified"] == equal
    assert found["equivalent_k"]["any"]["verified"]["k"] == pytest.approx(4.0)


def test_what_search_is_worth_is_as_uncertain_as_the_tasks_differ():
    one_of_four = [Drawn(2.0), Drawn(0.5), Drawn(0.6), Drawn(0.7)]
    found = scaling_of({"level1/1_x": one_of_four, "level1/2_y": one_of_four})["equivalent_k"]["random"]["verified"]
    assert (found["k"], found["low"], found["high"]) == (pytest.approx(1.0), None, None)  # two tasks that agree
    solved, unsolved = [Drawn(2.0), Drawn(None)], [Drawn(None), Drawn(None)]
    found = scaling_of({"level1/1_x": solved, "level1/2_y": unsolved})["equivalent_k"]["random"]["verified"]
    assert found["k"] == pytest.approx(2.0) and found["low"] == pytest.approx(0, abs=0.1) and found["open"]


def test_where_the_curve_is_flat_no_k_is_as_good_as_another():
    many = [Drawn(2.0)] * 8 + [Drawn(None)] * 8
    found = scaling_of({"level1/1_x": many, "level1/2_y": many})["equivalent_k"]["surprisal-top3"]["verified"]
    assert found["k"] is None and found["refusal"] == (
        "search is as successful, to half a point, from K = 6 to the 16 drawn: no one K can be read off"
    )


def test_a_rate_of_single_samples_is_not_read_off_a_curve_of_any_of_k():
    (group,) = study_of({"level1/1_x": [Drawn(2.0), Drawn(0.5)]}).groups
    assert equivalent(group, "raw", numpy.array([0.5]), metric=ANY_OF_K)["k"] == pytest.approx(1.0)
    assert equivalent(group, "raw", numpy.array([0.5]), metric=PER_SAMPLE) == {
        "k": None,
        "low": None,
        "high": None,
        "open": False,
        "refusal": "the share of single samples that are fast cannot be read off a curve of the share of tasks solved "
        "by what was taken of K candidates: they are different metrics",
    }
