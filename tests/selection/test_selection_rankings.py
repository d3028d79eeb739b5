"""Rankings other than surprisal, each on a group worked out by hand, and the data that each may see."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome
from pytest_kernelbench.selection import RANKINGS, Choice, Sees, select
from pytest_kernelbench.selection.base import visible
from pytest_kernelbench.strategy import SelectionSettings, load_strategies

PACKAGED = Path(__file__).parents[2] / "strategies"
SUM = "def f(x):\n    return x.sum()  # {}\n"
MEAN = "def f({0}):\n    return {0}.mean()\n"
MAX = "def f(x):\n    return x.amax()\n"


def judged(index, speedup, logprob=None, certainty=None, source=SUM):
    completion = Completion(
        task="level1/19_ReLU",
        index=index,
        text="",
        policy="p",
        sum_logprob=logprob,
        n_tokens=1,
        self_certainty=certainty,
    )
    evaluation = Evaluation(source_sha256=str(index), outcome=Outcome.CORRECT, speedup=speedup)
    return Judged(candidate=Candidate(completion=completion, source=source), evaluation=evaluation)


def choose(group, named=None, **settings):
    return select(group, SelectionSettings(**settings), seed=0, named=named)


CERTAIN = [judged(0, 9.0, -1.0, 2.0), judged(1, 1.0, -9.0, 5.0), judged(2, 3.0, -5.0, 4.0)]


def test_self_certainty_takes_what_the_policy_was_surest_of_whatever_its_log_probability():
    assert choose(CERTAIN, by="self-certainty") == Choice(index=1, considered=(1,))
    assert choose(CERTAIN, by="self-certainty", top=2) == Choice(index=2, considered=(1, 2), by_timing=True)


def test_without_a_recorded_self_certainty_a_candidate_is_not_ranked():
    group = [*CERTAIN, judged(3, 5.0, -1.0)]
    assert choose(group, by="self-certainty", top=9).unranked == (3,)


# Three spellings of a sum, two of a mean and one maximum; by surprisal the three sums come first.
CLUSTERED = [
    judged(0, 1.0, -9.0, source=SUM.format("a")),
    judged(1, 1.1, -8.0, source=SUM.format("b")),
    judged(2, 1.2, -7.0, source=SUM.format("c")),
    judged(3, 2.0, -3.0, source=MEAN.format("x")),
    judged(4, 2.1, -4.0, source=MEAN.format("values")),
    judged(5, 0.5, -1.0, source=MAX),
]


def test_the_shortlist_holds_the_least_expected_of_each_cluster():
    assert choose(CLUSTERED, by="surprisal", top=3).considered == (0, 1, 2)
    assert choose(CLUSTERED, by="cluster", top=3) == Choice(index=4, considered=(0, 4, 5), by_timing=True)


def test_after_one_of_each_cluster_come_the_others_by_surprisal():
    assert choose(CLUSTERED, by="cluster", top=6).considered == (0, 4, 5, 1, 2, 3)


def test_a_forecast_is_taken_first_and_the_others_follow_by_surprisal():
    assert choose(CERTAIN, named=0, by="forecast", top=3).considered == (0, 1, 2)
    assert choose(CERTAIN, named=None, by="forecast", top=3).considered == (1, 2, 0)


@pytest.mark.parametrize("by", RANKINGS)
def test_a_ranking_sees_what_it_declares_and_nothing_else(by):
    sees = RANKINGS[by].sees
    seen = visible(judged(3, 2.0, -4.0, 5.0), sees, SelectionSettings(by=by), named=3)
    assert (seen.speedup is not None) == (sees is Sees.TIMINGS)
    assert (seen.source is not None) == (sees is Sees.PROGRAMS)
    assert (seen.named is not None) == (sees is Sees.FORECAST)
    assert (seen.self_certainty is not None) == (sees is Sees.SELF_CERTAINTY)
    assert (seen.logprob is not None) == (sees in (Sees.LOGPROBS, Sees.PROGRAMS, Sees.FORECAST))


@pytest.mark.parametrize("by", RANKINGS)
@given(scores=st.lists(st.tuples(st.floats(-9, 0), st.floats(0, 9)), min_size=1, max_size=6))
def test_every_ranking_is_an_order_of_all_that_it_is_given(by, scores):
    group = [judged(index, 1.5, logprob, certainty) for index, (logprob, certainty) in enumerate(scores)]
    assert sorted(choose(group, by=by, top=99).considered) == list(range(len(scores)))


@pytest.mark.parametrize(
    ("name", "control"),
    [("self-certainty-top3", "random-top3"), ("cluster-top3", "random-top3"), ("forecast", "random")],
)
def test_each_has_a_control_that_looks_at_as_many_programs_of_the_same_candidates(name, control):
    one, other = load_strategies([name, control], folders=[PACKAGED])
    assert one.selection.top == other.selection.top
    assert (one.sampling_sha256, one.evaluation_sha256) == (other.sampling_sha256, other.evaluation_sha256)
    assert control in one.source
