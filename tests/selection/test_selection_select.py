"""The choice of a candidate by time, surprisal or confidence: shortlists, repeated programs, ties, missing scores."""

from itertools import combinations
from math import isclose
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome
from pytest_kernelbench.report.stats import any_success, expected_max, random_correct_success, top_m_success
from pytest_kernelbench.selection import Choice, select
from pytest_kernelbench.strategy import SelectionSettings

TASK = "level1/19_ReLU"


def judged(
    index: int, speedup: float | None, logprob: float | None = None, n_tokens: int = 1, source: str | None = None
) -> Judged:
    """A candidate; one without a speed-up is incorrect. ``logprob`` is the mean over its tokens."""
    total = None if logprob is None else logprob * n_tokens
    completion = Completion(task=TASK, index=index, text="", policy="p", sum_logprob=total, n_tokens=n_tokens)
    outcome = Outcome.INCORRECT if speedup is None else Outcome.CORRECT
    evaluation = Evaluation(source_sha256=source, outcome=outcome, speedup=speedup)
    return Judged(candidate=Candidate(completion=completion, source=""), evaluation=evaluation)


def choose(group: list[Judged], seed: int = 0, **settings) -> Choice:
    return select(group, SelectionSettings(**settings), seed=seed)


GROUP = [
    judged(0, None, -9.0),  # the least expected, and incorrect
    judged(1, 0.9, -3.0, n_tokens=1),
    judged(2, 3.0, -0.5, n_tokens=100),
    judged(3, 1.2, -2.0, n_tokens=10),
    judged(4, 1.1, -1.0, n_tokens=2),
]


def test_fastest_takes_the_fastest_and_looks_at_every_correct_one():
    choice = choose(GROUP, by="fastest")
    assert choice.index == 2
    assert sorted(choice.considered) == [1, 2, 3, 4]


def test_surprisal_takes_the_least_expected_of_the_correct():
    assert choose(GROUP, by="surprisal") == Choice(index=1, considered=(1,))


def test_surprisal_by_the_sum_prefers_the_long():
    assert choose(GROUP, by="surprisal", logprob="sum") == Choice(index=2, considered=(2,))


def test_surprisal_top3_takes_the_fastest_of_the_three_least_expected():
    assert choose(GROUP, by="surprisal", top=3) == Choice(index=3, considered=(1, 3, 4), by_timing=True)


def test_confidence_takes_the_most_expected_of_the_correct():
    assert choose(GROUP, by="confidence", top=2) == Choice(index=2, considered=(2, 4), by_timing=True)


@pytest.mark.parametrize("by", ["fastest", "random", "surprisal", "confidence"])
def test_without_a_correct_candidate_nothing_is_chosen(by):
    assert choose(GROUP[:1], by=by, top=3) == Choice(index=None, considered=())
    assert choose([], by=by) == Choice(index=None, considered=())


@pytest.mark.parametrize("by", ["fastest", "surprisal", "confidence"])
@given(order=st.permutations(range(4)))
def test_equal_scores_are_decided_by_the_lower_index_whatever_the_order(by, order):
    assert choose([judged(index, 1.5, -1.0) for index in order], by=by, top=2).index == 0


def test_a_correct_candidate_that_was_not_timed_comes_last():
    untimed = Judged(
        candidate=judged(0, 1.0).candidate,
        evaluation=Evaluation(source_sha256=None, outcome=Outcome.CORRECT),
    )
    assert choose([untimed, judged(1, 0.1)], by="fastest").index == 1


OFTEN = [judged(index, 1.0, -5.0, source="often") for index in range(3)]


def test_top_3_looks_at_three_programs_however_often_each_was_drawn():
    group = [*OFTEN, judged(3, 9.0, -1.0, source="rare")]
    for by in ("surprisal", "confidence", "random"):
        choice = choose(group, by=by, top=3)
        assert choice.index == 3 and sorted(choice.considered) == [0, 3]


def test_duplicates_fill_the_shortlist_as_candidates_do_in_the_paper_where_that_is_asked_for():
    group = [*OFTEN, judged(3, 9.0, -1.0, source="rare")]
    assert choose(group, by="surprisal", top=3, distinct=False) == Choice(index=0, considered=(0, 1, 2), by_timing=True)


def test_a_program_has_the_score_of_its_first_answer_whatever_is_drawn_later():
    first = [judged(0, 1.0, -2.0, source="a"), judged(1, 1.5, -3.0, source="b")]
    assert choose(first, by="surprisal").index == 1
    assert choose([*first, judged(2, 1.0, -9.0, source="a")], by="surprisal").index == 1
    unscored = [judged(0, 1.0, None, source="a"), judged(1, 1.5, -3.0, source="b"), judged(2, 1.0, -9.0, source="a")]
    assert choose(unscored, by="surprisal") == Choice(index=2, considered=(2,))


def test_timings_do_not_sway_a_ranking_that_may_not_see_them():
    logprobs = [-3.0, -0.5, -2.0, -1.0]
    swapped = [judged(i, 5.0 - i, logprob) for i, logprob in enumerate(logprobs, 1)]
    for by in ("surprisal", "confidence", "random"):
        assert choose(swapped, by=by).index == choose(GROUP[1:], by=by).index


def test_a_candidate_without_a_log_probability_is_not_ranked_and_counted():
    choice = choose([judged(7, 9.0), judged(8, 1.0, -2.0), judged(9, 2.0, -1.0)], by="surprisal", top=3)
    assert (choice.index, choice.considered, choice.unranked) == (9, (8, 9), (7,))
    assert choose([judged(7, 9.0)], by="surprisal") == Choice(index=None, considered=(), unranked=(7,))
    assert choose([judged(7, 9.0)], by="fastest").unranked == ()


def thought(index: int, speedup: float, reasoning: tuple[float, ...], talk: float, code: float) -> Judged:
    """An answer of two tokens, the second of which is its code, after tokens of reasoning."""
    logprobs, n = (*reasoning, talk, code), len(reasoning)
    spans = {"answer_tokens": (n, n + 2), "code_tokens": (n + 1, n + 2)}
    completion = Completion(task=TASK, index=index, text="", policy="p", reasoning="Hm.", logprobs=logprobs, **spans)
    return Judged(
        candidate=Candidate(completion=completion, source=""),
        evaluation=Evaluation(source_sha256=str(index), outcome=Outcome.CORRECT, speedup=speedup),
    )


@pytest.mark.parametrize(("span", "chosen"), [("answer", 0), ("code", 1), ("all", 2)])
def test_surprisal_is_that_of_the_span(span, chosen):
    group = [
        thought(0, 1.0, (-1.0, -1.0), talk=-9.0, code=-1.0),
        thought(1, 1.0, (-1.0, -1.0), talk=-1.0, code=-4.0),
        thought(2, 1.0, (-9.0, -9.0), talk=-1.0, code=-1.0),
    ]
    for logprob in ("mean", "sum"):
        assert choose(group, by="surprisal", span=span, logprob=logprob).index == chosen


def test_the_log_probability_of_an_incorrect_candidate_is_not_needed():
    assert choose([judged(0, None), judged(1, 1.0, -1.0)], by="surprisal").index == 1


candidates = st.one_of(st.none(), st.floats(0.1, 10))


@st.composite
def groups_and_k(draw):
    speedups = draw(st.lists(candidates, min_size=1, max_size=6))
    logprobs = draw(st.permutations([-float(i) for i in range(len(speedups))]))
    group = [judged(i, speedup, logprob) for i, (speedup, logprob) in enumerate(zip(speedups, logprobs, strict=True))]
    return group, draw(st.integers(1, len(group)))


def success_of(subset, **settings) -> float:
    choice = choose(list(subset), **settings)
    speedups = {each.candidate.index: each.evaluation.speedup for each in subset}
    return float(choice.index is not None and speedups[choice.index] > 1)


def counts(group):
    correct = [each for each in group if each.evaluation.correct]
    return len(group), len(correct), sum(each.evaluation.fast_raw() for each in group)


@given(groups_and_k())
def test_choosing_the_fastest_of_every_subset_succeeds_as_often_as_pass_at_k(group_and_k):
    group, k = group_and_k
    n, _, f = counts(group)
    brute = mean(success_of(subset, by="fastest") for subset in combinations(group, k))
    assert isclose(brute, any_success(n, f, k), abs_tol=1e-12)


@given(groups_and_k())
def test_the_fastest_of_every_subset_is_on_average_the_expected_maximum(group_and_k):
    group, k = group_and_k
    scores = [each.evaluation.speedup or 0.0 for each in group]
    chosen = []
    for subset in combinations(group, k):
        index = choose(list(subset), by="fastest").index
        chosen.append(0.0 if index is None else scores[index])
    assert isclose(mean(chosen), expected_max(scores, k), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("by", ["surprisal", "confidence"])
@given(group_and_k=groups_and_k(), top=st.integers(1, 3))
def test_choosing_by_log_probability_succeeds_as_often_as_the_top_m_formula(by, group_and_k, top):
    group, k = group_and_k
    correct = [each for each in group if each.evaluation.correct]
    ranked = sorted(correct, key=lambda each: each.candidate.completion.mean_logprob, reverse=by == "confidence")
    brute = mean(success_of(subset, by=by, top=top) for subset in combinations(group, k))
    fast_ranked = [each.evaluation.fast_raw() for each in ranked]
    assert isclose(brute, top_m_success(fast_ranked, len(group), k, top), abs_tol=1e-12)


def test_choosing_at_random_succeeds_as_often_as_the_formula():
    group = [judged(0, None), judged(1, 0.5), judged(2, 2.0), judged(3, 0.8), judged(4, None)]
    n, c, f = counts(group)
    seeds = 300
    brute = mean(
        success_of(subset, by="random", seed=seed) for seed in range(seeds) for subset in combinations(group, 2)
    )
    assert abs(brute - random_correct_success(n, c, f, 2)) < 0.04
