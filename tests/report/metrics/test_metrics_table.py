"""Each metric of a strategy on small examples worked out by hand, and the gates that use a metric."""

from dataclasses import replace
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.errors import StrategyError, UsageError
from pytest_kernelbench.records import Evaluation, Outcome, Selection
from pytest_kernelbench.report.metrics import (
    METRICS,
    SHARES,
    Gate,
    Sample,
    StrategyResults,
    TaskResults,
    failed_gates,
    headroom_of,
    parse_gate,
    retained_speedup,
    strategy_gates,
    void_counts,
)
from pytest_kernelbench.strategy import Strategy


def correct(speedup: float, low: float | None = None) -> Evaluation:
    return Evaluation(
        source_sha256=None,
        outcome=Outcome.CORRECT,
        speedup=speedup,
        speedup_low=speedup * 0.98 if low is None else low,
        speedup_high=speedup * 1.02,
    )


def bad(outcome: Outcome = Outcome.INCORRECT, *flags: str) -> Evaluation:
    return Evaluation(source_sha256=None, outcome=outcome, flags=flags)


def task(name: str, *evaluations: Evaluation, chosen: int | None = None, confirmed: float | None = None) -> TaskResults:
    """``chosen`` is timed again at ``confirmed`` times the reference, give or take 1 %."""
    first = None if chosen is None else evaluations[chosen]
    selection = Selection(
        task=name,
        strategy="s",
        index=chosen,
        considered=(),
        cost={},
        speedup=first and first.speedup,
        speedup_low=first and first.speedup_low,
        speedup_high=first and first.speedup_high,
        confirmed_speedup=confirmed,
        confirmed_low=confirmed and confirmed * 0.99,
        confirmed_high=confirmed and confirmed * 1.01,
        fast=confirmed is not None and confirmed * 0.99 > 1.01,
        fast_raw=first is not None and first.fast_raw(),
    )
    samples = tuple(Sample(index=index, evaluation=each) for index, each in enumerate(evaluations))
    return TaskResults(task=name, samples=samples, selection=selection)


def results(*tasks: TaskResults, margin: float = 0.01) -> StrategyResults:
    return StrategyResults(strategy="s", k=4, tasks=tasks, margin=margin)


FOUR_TASKS = results(
    task("solved", correct(2.5), correct(1.005), bad(), bad(), chosen=0, confirmed=2.4),
    task("flattered", correct(1.1), correct(0.4), correct(0.9), bad(), chosen=0, confirmed=1.0),
    task("unsolved", bad(), bad(), bad(Outcome.TIMEOUT), bad(Outcome.VOID, "side_stream")),
    TaskResults(task="lost"),
)


def test_unsolved_and_lost_tasks_stay_in_the_denominator():
    assert METRICS["fast_1"](FOUR_TASKS) == 1 / 4
    assert METRICS["solved"](FOUR_TASKS) == 2 / 4


def test_a_task_that_was_not_judged_is_in_no_rate_of_samples_and_passes_no_gate_for_that():
    assert METRICS["any_correct"](FOUR_TASKS) == 2 / 3
    assert METRICS["fast_1_any"](FOUR_TASKS) == METRICS["fast_1_any_raw"](FOUR_TASKS) == 2 / 3
    assert METRICS["fast_2_any"](FOUR_TASKS) == 1 / 3
    assert failed_gates(FOUR_TASKS, [parse_gate("fast_1_any:0.6")]) == [
        "fast_1_any of s was not measured on lost: the gate is not passed"
    ]
    assert METRICS["correct"](results(TaskResults(task="t", samples=(Sample(index=0),)))) is None


def test_nothing_is_verified_by_a_protocol_that_gives_no_intervals_and_nothing_is_a_mean_of_nothing():
    """All kernels 2.5x by protocol paper: not 0 % verified, even at p = 0."""
    timed = Evaluation(source_sha256=None, outcome=Outcome.CORRECT, speedup=2.5)
    paper = results(task("t", timed, timed, chosen=0))
    assert METRICS["fast_0"](paper) is METRICS["fast_1_sample"](paper) is METRICS["fast_1_any"](paper) is None
    assert METRICS["fast_1_raw"](paper) == METRICS["fast_1_sample_raw"](paper) == METRICS["fast_1_any_raw"](paper) == 1
    uncounted = Evaluation(source_sha256=None, outcome=Outcome.CORRECT, speedup=2.5, counted=False)
    assert METRICS["fast_1_sample"](results(task("t", uncounted))) == 0
    for name in ("geomean_speedup", "mean_speedup", "median_speedup"):
        assert METRICS[name](results(task("t", bad()))) is None


def test_verified_goes_by_the_confirmation_and_raw_by_the_first_timing():
    assert METRICS["fast_1_raw"](FOUR_TASKS) == 2 / 4
    assert METRICS["fast_0.5"](FOUR_TASKS) == 2 / 4
    assert METRICS["fast_2"](FOUR_TASKS) == METRICS["fast_2_raw"](FOUR_TASKS) == 1 / 4


def test_a_kernel_that_was_not_confirmed_is_not_verified_at_any_p():
    unconfirmed = results(task("t", correct(3.0), chosen=0))
    assert METRICS["fast_0"](unconfirmed) == METRICS["fast_1"](unconfirmed) == 0
    assert METRICS["fast_1_raw"](unconfirmed) == 1


def test_a_sample_within_the_margin_is_fast_raw_and_not_verified():
    within = results(task("t", correct(1.02, low=1.005)))
    assert METRICS["fast_1_sample"](within) == 0
    assert METRICS["fast_1_sample_raw"](within) == 1


def test_per_sample_rates_average_within_a_task_and_then_over_tasks():
    assert METRICS["correct"](FOUR_TASKS) == pytest.approx((2 / 4 + 3 / 4 + 0) / 3)
    assert METRICS["fast_1_sample"](FOUR_TASKS) == pytest.approx((1 / 4 + 1 / 4) / 3)
    assert METRICS["fast_1_sample_raw"](FOUR_TASKS) == pytest.approx((2 / 4 + 1 / 4) / 3)


def test_a_candidate_that_was_drawn_and_not_judged_says_nothing_of_how_many_are_correct():
    half = TaskResults(task="t", samples=(Sample(index=0, evaluation=correct(2.0)), Sample(index=1)))
    assert METRICS["correct"](results(half)) == 1.0


def test_the_confirmed_speed_up_is_the_reported_one_and_an_unsolved_task_keeps_the_reference():
    assert isclose(METRICS["geomean_speedup"](FOUR_TASKS), 2.4**0.25)
    assert isclose(METRICS["mean_speedup"](FOUR_TASKS), (2.4 + 1 + 1 + 1) / 4)
    assert METRICS["median_speedup"](FOUR_TASKS) == 1.0


def test_losing_a_kernel_cannot_raise_the_speed_up():
    both = results(task("a", correct(4.0), chosen=0), task("b", correct(2.0), chosen=0))
    lost = results(task("a", correct(4.0), chosen=0), task("b", bad()))
    assert METRICS["geomean_speedup"](lost) < METRICS["geomean_speedup"](both)


def test_what_the_chosen_keep_when_timed_again_shows_the_winner_s_curse():
    assert isclose(retained_speedup(FOUR_TASKS), (2.4 / 2.5 * 1.0 / 1.1) ** 0.5)
    assert retained_speedup(results(task("t", bad()))) is None


def test_void_candidates_are_counted_by_their_flag():
    many = results(
        task("a", bad(Outcome.VOID, "side_stream"), bad(Outcome.VOID, "cached_output", "side_stream")),
        task("b", bad(Outcome.VOID), bad(Outcome.INCORRECT, "side_stream")),
    )
    assert void_counts(many) == {"side_stream": 2, "cached_output": 1, "unflagged": 1}


def test_without_a_task_there_is_nothing_to_measure():
    assert {metric(results()) for metric in METRICS.values()} == {None}


speedups = st.one_of(st.none(), st.floats(0.01, 100))


@given(st.lists(st.lists(speedups, min_size=1, max_size=4), min_size=1, max_size=4))
def test_rates_fall_as_p_rises_and_any_of_k_is_at_least_one_sample(groups):
    tasks = [
        task(str(i), *(bad() if speedup is None else correct(speedup) for speedup in group))
        for i, group in enumerate(groups)
    ]
    values = {name: metric(results(*tasks)) for name, metric in METRICS.items()}
    for of in ("_sample", "_any"):
        for reading in ("", "_raw"):
            rates = [values[f"fast_{p}{of}{reading}"] for p in ("0", "0.5", "1", "1.5", "2")]
            assert rates == sorted(rates, reverse=True)
        assert values[f"fast_1{of}"] <= values[f"fast_1{of}_raw"]
    assert values["fast_1_sample"] <= values["fast_1_any"] + 1e-12


def test_a_gate_is_read_from_metric_and_value():
    assert parse_gate("fast_1:0.8") == Gate(metric="fast_1", minimum=0.8)
    assert parse_gate("fast_0.5_raw:1").metric == "fast_0.5_raw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast1:0.8", 'no such metric "fast1"; did you mean "fast_1"?'),
        ("zzz:1", f'no such metric "zzz"; there are {", ".join(METRICS)}'),
        ("fast_1", "write METRIC:VALUE, as in fast_1:0.8"),
        ("fast_1:high", '"high" is not a number'),
        ("fast_1:nan", '"nan" is not a finite number'),
        ("fast_1:80", "fast_1 is a share: its gate must be from 0 to 1, not 80; write 0.8 for 80 %"),
        ("correct:-0.1", "correct is a share: its gate must be from 0 to 1, not -0.1"),
    ],
)
def test_a_gate_that_cannot_be_read_is_refused_in_one_line(text, message):
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert str(caught.value) == f"--kernelbench-fail-under={text}: {message}"


def test_a_strategy_s_own_gates_are_checked_by_name():
    assert strategy_gates(Strategy(name="pinned", gate={"solved": 1.0})) == [Gate(metric="solved", minimum=1.0)]
    with pytest.raises(StrategyError) as caught:
        strategy_gates(Strategy(name="pinned", gate={"fast1": 1.0}))
    assert str(caught.value) == 'strategy pinned: [gate] no such metric "fast1"; did you mean "fast_1"?'
    with pytest.raises(StrategyError) as caught:
        strategy_gates(Strategy(name="pinned", gate={"solved": 2.0}))
    message = "strategy pinned: [gate] solved is a share: its gate must be from 0 to 1, not 2"
    assert str(caught.value) == message


def test_a_gate_on_a_speedup_may_be_above_1():
    assert {name for name in METRICS if name not in SHARES} == {
        *("geomean_speedup", "mean_speedup", "median_speedup", "geomean_speedup_compile", "floor_share"),
    }
    assert parse_gate("geomean_speedup:1.5").minimum == 1.5


def test_a_missed_gate_says_by_how_much_and_a_met_one_says_nothing():
    gates = [parse_gate("fast_1:0.8"), parse_gate("fast_1:0.25"), parse_gate("geomean_speedup:2")]
    assert failed_gates(FOUR_TASKS, gates) == [
        "fast_1 of s is 0.25, under the gate of 0.8 (flattered, unsolved, lost)",
        "geomean_speedup of s is 1.245, under the gate of 2 (flattered, unsolved, lost)",
    ]


def test_a_missed_gate_names_five_tasks_and_counts_the_others():
    lost = results(*(TaskResults(task=f"t{number}") for number in range(7)))
    assert failed_gates(lost, [parse_gate("solved:1")]) == [
        "solved of s is 0, under the gate of 1 (t0, t1, t2, t3, t4 and 2 more)"
    ]


def test_a_metric_that_was_not_measured_misses_its_gate():
    assert failed_gates(results(), [parse_gate("fast_1:0")]) == ["fast_1 of s is not measured, under the gate of 0"]


def at(speedup: float | None, floor_ms: float | None = 0.1) -> Evaluation:
    """Of a reference that takes 1 ms; None: incorrect."""
    if speedup is None:
        return bad()
    return replace(correct(speedup), reference_ms=1.0, candidate_ms=1 / speedup, floor_ms=floor_ms)


@pytest.mark.parametrize(
    ("speedup", "floor_ms", "score"),
    [
        (1.0, 0.1, 0.0),
        (10.0, 0.1, 1.0),
        (2.0, 0.1, 0.5 / 0.9),
        (0.5, 0.1, 0.0),
        (20.0, 0.1, 1.0),
        (2.0, None, None),
        (2.0, 1.0, None),
        (2.0, 1.2, None),
    ],
    ids=["reference", "floor", "between", "slower", "beyond", "no floor", "reference at the floor", "and beyond it"],
)
def test_the_score_is_the_share_of_the_way_from_the_reference_to_the_floor(speedup, floor_ms, score):
    found = METRICS["sol_score"](results(task("one", at(speedup, floor_ms), chosen=0)))
    assert found == (None if score is None else pytest.approx(score))


def test_a_task_without_a_choice_went_no_part_of_the_way_and_one_without_a_floor_says_nothing():
    known = results(
        task("solved", at(5.0), chosen=0),
        task("unsolved", at(0.9), at(None)),
        task("unknown", at(5.0, None), chosen=0),
        TaskResults(task="lost"),
    )
    assert METRICS["sol_score"](known) == pytest.approx((0.8 / 0.9 + 0) / 2)
    assert [headroom_of(each) for each in known.tasks] == [pytest.approx(10), pytest.approx(10), None, None]
    assert METRICS["sol_score"](FOUR_TASKS) is None


def test_a_claim_that_does_not_count_goes_no_part_of_the_way():
    claimed = replace(at(5.0), counted=False, attested=1.2, attested_low=1.1, attested_high=1.3)
    assert METRICS["sol_score"](results(task("claimed", claimed, chosen=0))) == 0.0


def test_the_share_of_the_floor_is_a_mean_over_the_tasks_that_know_theirs():
    def timed(candidate_ms: float, floor_ms: float | None) -> Evaluation:
        return replace(correct(2.0), reference_ms=1.0, candidate_ms=candidate_ms, floor_ms=floor_ms)

    known = results(
        task("near", timed(0.5, 0.4), chosen=0),
        task("far", timed(1.0, 0.2), chosen=0),
        task("unknown", timed(1.0, None), chosen=0),
        TaskResults(task="lost"),
    )
    assert isclose(METRICS["floor_share"](known), (0.8 + 0.2) / 2)
    near, *others = known.tasks
    again = replace(known, tasks=(replace(near, confirmation=timed(0.8, 0.4)), *others))
    assert isclose(METRICS["floor_share"](again), (0.5 + 0.2) / 2)
    assert METRICS["floor_share"](FOUR_TASKS) is None
