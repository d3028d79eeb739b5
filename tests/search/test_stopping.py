"""Strategies that stop by themselves: when they stop, that a resumed run stops there too, and their recorded cost."""

import json
from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_bench import MARGIN, SPEEDUPS, TASK, Bench, Killed, evaluation_of, rows, untimed
from made_up_bench import strategy as best_of
from made_up_readers import Reader, searching
from made_up_search import judged

from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.report.analyses import Study
from pytest_kernelbench.report.analyses.adaptive_k import posterior_stop
from pytest_kernelbench.report.analyses.budget import budget
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.summary import report_json
from pytest_kernelbench.search.stopping import expected_gain, reason_to_stop, stop_of
from pytest_kernelbench.strategy.stopping import Stopping

FAST = Stopping(gain="fast", cost=0.01, every=2)
SPEEDUP = Stopping(gain="speedup", cost=0.01, scale=0.5, every=2)
K = 8


def adaptive(name="adaptive", stopping=FAST, k=K, **changes):
    return replace(best_of(name, k=k), stopping=stopping, **changes)


def evaluations(*speedups):
    return [evaluation_of(f"source {place}", each) for place, each in enumerate(speedups)]


def test_the_posterior_mean_of_the_first_success_falls_with_every_failure_and_a_success_ends_it():
    assert [expected_gain(FAST, evaluations(*[None] * n), 0.0) for n in (0, 1, 4)] == [0.5, 0.25, 0.1]
    assert expected_gain(FAST, evaluations(None, 1.5), 0.0) == 0
    # The interval of 1.05 begins at 1.03, which the margin swallows.
    assert expected_gain(FAST, evaluations(None, 1.05), MARGIN) == 0.5 / 3


def test_a_better_best_leaves_less_to_gain():
    assert expected_gain(SPEEDUP, evaluations(None, 0.5), 0.0) == 0.5 / 3
    assert expected_gain(SPEEDUP, evaluations(None, 2.0), 0.0) == pytest.approx(0.5 * exp(-log(2) / 0.5) / 3)


@given(
    speedups=st.lists(st.none() | st.floats(0.1, 10), min_size=1, max_size=20),
    more=st.none() | st.floats(0.1, 10),
    settings=st.sampled_from([FAST, SPEEDUP]),
)
def test_what_one_more_answer_gains_never_rises_with_an_answer(speedups, more, settings):
    before = expected_gain(settings, evaluations(*speedups), 0.0)
    assert expected_gain(settings, evaluations(*speedups, more), 0.0) <= before


def test_the_analysis_that_replays_the_rule_stops_where_the_rule_does():
    for cost in (0.1, 0.05, 0.02, 0.01):
        n = posterior_stop(cost)
        settings = replace(FAST, cost=cost)
        assert reason_to_stop(settings, evaluations(*[None] * (n - 1)), 0.0) is None
        assert reason_to_stop(settings, evaluations(*[None] * n), 0.0) is not None


def test_candidates_that_a_replay_does_not_hold_say_nothing():
    known = {index: judged(index, None) for index in (0, 1)}
    turns = [[0, 1], [2, 3], [4, 5]]
    assert stop_of(replace(FAST, cost=0.2), turns, known, margin=0.0) == (
        2,
        "one more answer gains 0.17 verified fast candidates and costs 0.2",
    )
    assert stop_of(FAST, turns, {}, margin=0.0) is None


def test_where_the_first_answers_are_fast_it_stops_after_the_first_turn(tmp_path):
    bench = Bench(tmp_path, ["good", "wrong"] * 4, SPEEDUPS)
    chosen = run_item(TASK, adaptive(), bench).selection
    assert bench.sampled == [0, 1]
    assert (chosen.index, chosen.asked, chosen.stopped) == (0, 2, "a verified fast candidate is there")
    assert chosen.cost["rollouts"] == 2


def test_where_nothing_succeeds_it_draws_them_all(tmp_path):
    bench = Bench(tmp_path, ["wrong"] * K, SPEEDUPS)
    chosen = run_item(TASK, adaptive(), bench).selection
    assert bench.sampled == list(range(K))
    assert (chosen.index, chosen.asked, chosen.stopped) == (None, K, "all 8 were asked for")


def test_where_an_answer_costs_more_than_it_promises_it_gives_up(tmp_path):
    bench = Bench(tmp_path, ["wrong"] * K, SPEEDUPS)
    chosen = run_item(TASK, adaptive(stopping=replace(FAST, cost=0.11)), bench).selection
    assert (chosen.asked, chosen.stopped) == (4, "one more answer gains 0.1 verified fast candidates and costs 0.11")
    assert bench.sampled == list(range(4))


def test_a_refinement_that_has_got_there_stops_in_the_middle(tmp_path):
    bench = Reader(tmp_path)
    chosen = run_item(TASK, replace(searching("refine"), stopping=FAST), bench).selection
    # The second turn reads that the first was wrong, and is fast.
    assert bench.sampled == [0, 1, 2, 3]
    assert (chosen.index, chosen.speedup, chosen.asked) == (2, 1.2, 4)


@pytest.mark.parametrize("moment", range(9))
def test_killed_at_any_moment_it_draws_the_same_and_stops_at_the_same_place(tmp_path, moment):
    words = ["wrong", None, "wrong", "other", "good", "wrong", "best", "best"]
    whole = Bench(tmp_path / "whole", words, SPEEDUPS)
    expected = run_item(TASK, adaptive(), whole).selection
    assert expected.asked == 6 and whole.sampled == list(range(6))
    first = Bench(tmp_path / "run", words, SPEEDUPS, die_after=moment)
    with pytest.raises(Killed):
        run_item(TASK, adaptive(), first)
    second = Bench(tmp_path / "run", words, SPEEDUPS)
    assert untimed(run_item(TASK, adaptive(), second).selection.to_json()) == untimed(expected.to_json())
    assert first.sampled + second.sampled == whole.sampled
    assert first.evaluated + second.evaluated == whole.evaluated
    for name in ("completions", "evaluations", "confirmations", "selections"):
        assert [untimed(row) for row in rows(second, name)] == [untimed(row) for row in rows(whole, name)]


def load(folder, strategies):
    run = json.loads((folder / "run.json").read_text())
    run |= {"strategies": [each.to_json() for each in strategies], "margin": MARGIN}
    (folder / "run.json").write_text(json.dumps(run))
    return RunRecords.load(folder)


def test_beside_sampling_that_draws_them_all_only_its_own_candidates_are_counted(tmp_path):
    bench = Bench(tmp_path, ["good", "wrong", "best", *["wrong"] * 5], SPEEDUPS)
    strategies = [best_of("all", k=K), adaptive()]
    every, own = (run_item(TASK, each, bench).selection for each in strategies)
    assert bench.sampled == list(range(K))  # they share what both draw
    assert (every.cost["rollouts"], own.cost["rollouts"], own.speedup) == (K, 2, 1.2)
    study = Study.of(load(tmp_path, strategies))
    assert [len(study.results[each.name].tasks[0].samples) for each in strategies] == [K, 2]
    assert [group.strategies for group in study.groups] == [("all",)]
    found = budget(study)["rollouts"]
    assert found["budget"] == [1, 2]
    assert {name: each["spends"] for name, each in found["strategies"].items()} == {"all": 8.0, "adaptive": 2.0}


def test_a_report_counts_its_own_candidates_and_calls_none_of_them_missing(tmp_path):
    bench = Bench(tmp_path, ["good", "wrong", "best", *["wrong"] * 5], SPEEDUPS)
    strategies = [best_of("all", k=K), adaptive()]
    for each in strategies:
        run_item(TASK, each, bench)
    report = report_json(load(tmp_path, strategies))
    shown = [(each["strategies"], each["drawn"], bool(each["any_of_k"])) for each in report["samples"]]
    assert shown == [(["all"], K, True), (["adaptive"], 2, False)]
    assert report_json(load(tmp_path, strategies[1:]))["partial"] is None


def test_what_it_saves_on_one_task_it_may_spend_on_another(tmp_path):
    hard = replace(TASK, id="level1/2_Two")
    bench = Bench(tmp_path, [], SPEEDUPS)
    strategies = [best_of("all", k=K), adaptive()]
    for task, words in ((TASK, ["good", *["wrong"] * 7]), (hard, [*["wrong"] * 5, "best", "wrong", "wrong"])):
        bench.words = words
        for each in strategies:
            run_item(task, each, bench)
    run = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "tasks": [TASK.id, hard.id]}))
    found = budget(Study.of(load(tmp_path, strategies)))["rollouts"]
    # It asked for 2 and for 6 answers: 4 a task, within which a fixed K of 4 has not found the second task's.
    assert found["strategies"]["adaptive"]["spends"] == 4.0
    assert found["strategies"]["adaptive"]["verified"]["value"] == [0.5, 0.5, 0.5, 1.0]
    assert found["strategies"]["all"]["verified"]["value"] == [0.5, 0.5, 0.5, 0.5]
