"""The analyses of cost, of the diversity of programs, and of the physical floor."""

from dataclasses import replace
from itertools import combinations
from math import isnan, log
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_study import Drawn, records_of, study_of

from pytest_kernelbench.records import AdaptationStep, Completion, Selection
from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.cost import on_frontier
from pytest_kernelbench.report.analyses.spending import spent_on
from pytest_kernelbench.report.metrics import Sample
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.strategy import Adaptation

TWO = {
    "level1/1_x": [Drawn(2.0, n_tokens=10, source="a"), Drawn(2.0, n_tokens=10, source="a"), Drawn(None, n_tokens=40)],
    "level1/2_y": [Drawn(0.5, n_tokens=20), Drawn(None, n_tokens=20), Drawn(None, n_tokens=20)],
}


def choice(task: str, strategy: str, index: int | None, timed: int) -> Selection:
    speedup = TWO[task][index].speedup if index is not None else None
    return Selection(
        task=task,
        strategy=strategy,
        index=index,
        considered=(),
        cost={"rollouts": 3, "timed": timed},
        confirmed_speedup=speedup,
        confirmed_low=speedup,
        confirmed_high=speedup,
        fast=bool(speedup and speedup > 1),
    )


def cost_of(*selections: Selection):
    records = records_of(
        TWO,
        strategies=tuple(dict.fromkeys(each.strategy for each in selections)),
        selections={(each.task, each.strategy): each for each in selections},
    )
    return ANALYSES["cost"](Study.of(records))


def test_costs_are_means_for_a_task_and_the_same_text_is_evaluated_once():
    found = cost_of(choice("level1/1_x", "search", 0, 2), choice("level1/2_y", "search", 0, 1))
    row = found["strategies"]["search"]
    assert row["rollouts"] == 3 and row["generated_tokens"] == 60 and row["timed"] == 1.5
    # Two seconds for a correct source, one for any other: 2 + 1, and 2 + 1 + 1.
    assert row["evaluation_seconds"] == 3.5
    assert row["fast_1"]["value"] == 0.5 and row["geomean_speedup"]["value"] == pytest.approx(1.0)
    assert row["update_tokens"] == row["adaptation_seconds"] == 0 and row["tokens"] == 60
    # Two seconds for each answer drawn.
    assert row["sampling_seconds"] == 6 and row["seconds"] == 9.5


def test_search_gets_its_success_for_less_where_k_is_smaller():
    (search,) = cost_of(choice("level1/1_x", "search", 0, 2))["search"]
    one, two = search["points"]
    assert (one["k"], one["rollouts"], one["tokens"]) == (1, 1.0, 20.0)
    assert one["any_verified"] == pytest.approx((2 / 3) / 2) and two["any_verified"] == pytest.approx(0.5)
    # One of three: 5/3 seconds on average for the first task (2, 2, 1), 4/3 for the second.
    assert one["seconds"] == pytest.approx(2 + (5 / 3 + 4 / 3) / 2)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(1, 9)).map(
            lambda each: Drawn(2.0 if each[0] else None, n_tokens=each[2], source=each[1] + str(each[0]))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_search_spends_and_finds_is_the_mean_over_all_subsets(group):
    (search,) = ANALYSES["cost"](study_of({"level1/1_x": group}))["search"]
    for point in search["points"]:
        subsets = list(combinations(group, point["k"]))
        seconds = [sum(2.0 if source.endswith("True") else 1.0 for source in {d.source for d in s}) for s in subsets]
        assert point["seconds"] == pytest.approx(2 * point["k"] + mean(seconds))
        assert point["tokens"] == pytest.approx(mean(sum(d.n_tokens for d in s) for s in subsets))
        assert point["any_verified"] == pytest.approx(mean(any(d.speedup for d in s) for s in subsets))


def test_prompt_tokens_are_a_cost_of_their_own_and_a_task_that_lacks_one_is_left_out_and_counted():
    chosen = [choice(task, "search", 0, 1) for task in TWO]
    records = records_of(TWO, strategies=("search",), selections={(each.task, each.strategy): each for each in chosen})
    known = {key: replace(each, prompt_tokens=100) for key, each in records.completions.items()}
    row = ANALYSES["cost"](Study.of(replace(records, completions=known)))["strategies"]["search"]
    assert row["prompt_tokens"] == 300 and row["tokens"] == 60
    assert row["on_frontier"]["prompt_tokens"] is row["on_frontier"]["timed"] is True
    first, *_ = known
    known[first] = replace(known[first], prompt_tokens=None)
    row = ANALYSES["cost"](Study.of(replace(records, completions=known)))["strategies"]["search"]
    assert row["prompt_tokens"] == 300
    assert row["units"] == {"of": 2, "tokens": 2, "prompt_tokens": 1, "seconds": 2, "timed": 2}
    row = ANALYSES["cost"](Study.of(records))["strategies"]["search"]
    assert row["prompt_tokens"] is None and row["units"]["prompt_tokens"] == 0


def test_one_missing_count_of_tokens_takes_one_task_out_and_not_the_tokens_away():
    """The issue's: one missing ``n_tokens`` of all removed every figure of tokens."""
    chosen = [choice(task, "search", 0, 1) for task in TWO]
    records = records_of(TWO, strategies=("search",), selections={(each.task, each.strategy): each for each in chosen})
    key = ("s", "level1/2_y", 1)
    gap = {**records.completions, key: replace(records.completions[key], n_tokens=None)}
    found = ANALYSES["cost"](Study.of(replace(records, completions=gap)))
    row = found["strategies"]["search"]
    assert row["generated_tokens"] == row["tokens"] == 10 + 10 + 40 and row["units"]["tokens"] == 1
    assert row["on_frontier"]["tokens"] is True and row["rollouts"] == 3
    assert found["search"][0]["points"][0]["tokens"] == pytest.approx(20.0)


def test_tokens_of_tasks_that_were_only_trained_on_are_no_measure_of_the_others():
    drawn = {
        "a": (Sample(index=0, completion=told(10)), Sample(index=1, completion=told(None))),
        "b": (Sample(index=0, completion=told(30)),),
        "other": (Sample(index=0, completion=told(500)),),
    }
    spent = spent_on(drawn, (), collected=("a", "b"))
    assert spent.generated_tokens == 2 * 30 + 500 and spent.units["tokens"] == 1
    assert isnan(spent_on({**drawn, "other": drawn["a"]}, (), collected=("a", "b")).generated_tokens)


def told(n_tokens: int | None) -> Completion:
    return Completion(task="t", index=0, text="", policy="made up", n_tokens=n_tokens)


def test_a_strategy_that_another_beats_at_the_same_price_is_not_on_the_frontier():
    found = cost_of(choice("level1/1_x", "good", 0, 2), choice("level1/1_x", "bad", None, 2))["strategies"]
    known = dict.fromkeys(("rollouts", "tokens", "timed", "seconds"), True)
    assert found["good"]["on_frontier"] == {**known, "prompt_tokens": None} and found["good"]["units"]["timed"] == 1
    assert found["bad"]["on_frontier"]["rollouts"] is False


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=6))
def test_the_frontier_is_what_nothing_dominates(points):
    rows = {str(place): {"tokens": cost, "fast_1": {"value": success}} for place, (cost, success) in enumerate(points)}
    for name, (cost, success) in zip(rows, points, strict=True):
        dominated = any(c <= cost and s >= success and (c, s) != (cost, success) for c, s in points)
        assert on_frontier(name, rows, "tokens") is not dominated


def adapted(*, holdout: int = 0, searched: int = 8) -> RunRecords:
    """Two tasks, three steps of 2 rollouts; search drew ``searched``. Fast ones come up at steps 1 and 2."""
    found = {"level1/1_x": (None, 2.0, 0.5), "level1/2_y": (0.5, 0.5, 2.0)}
    spent = 2 + holdout
    base = {task: [Drawn(speedups[0], source="step 0")] * searched for task, speedups in found.items()}
    records = records_of(base, k=searched)
    strategy = replace(
        records.strategies[0], name="ttt", k=2, adaptation_sha256="a", adaptation=Adaptation(steps=2, holdout=holdout)
    )
    completions, evaluations = dict(records.completions), dict(records.evaluations)
    for task, speedups in found.items():
        for step, speedup in enumerate(speedups[1:], 1):
            more = records_of({task: [Drawn(speedup, source=f"step {step}")] * spent}, k=spent)
            for index in range(spent):
                key = (f"s{step}", task, step * spent + index)
                completions[key] = replace(more.completions["s", task, index], index=key[2])
                evaluations[key[0], "e", task, key[2]] = more.evaluations["s", "e", task, index]
    steps = {
        (0, "lineage", step): AdaptationStep(
            lineage="lineage",
            adaptation_sha256="a",
            group=tuple(found),
            step=step,
            policy_version=str(step),
            sampling_sha256=f"s{step}" if step else "s",
            first_index=step * spent,
            rollouts=2,
            holdout=holdout,
            trained_on=tuple(found),
            tasks={
                task: {"rollouts": 2, "fast_1": 0, "fast_1_raw": 0, "correct": 2, "holdout": None} for task in found
            },
            update={"update_tokens": 100, "teacher_tokens": 10, "seconds": 3.0} if step else None,
        )
        for step in range(3)
    }
    return replace(
        records,
        strategies=(*records.strategies, strategy),
        completions=completions,
        evaluations=evaluations,
        adaptation=steps,
    )


def test_what_adaptation_has_found_and_spent_is_known_after_each_step():
    (found,) = ANALYSES["cost"](Study.of(adapted()))["adaptation"]
    assert found["strategy"] == "ttt" and found["tasks"] == 2
    assert [point["rollouts"] for point in found["points"]] == [2, 4, 6]
    assert [point["any_verified"] for point in found["points"]] == [0.0, 0.5, 1.0]
    # Ten tokens an answer, and each update reads 110 for two tasks.
    assert [point["tokens"] for point in found["points"]] == [20, 40 + 55, 60 + 110]
    # Two seconds an answer; one or two for the one source of a task and step; three an update.
    assert [point["seconds"] for point in found["points"]] == [4 + 1.5, 8 + 3.5 + 1.5, 12 + 5.5 + 3]


def test_rollouts_that_were_held_out_are_paid_for_and_do_not_count():
    (found,) = ANALYSES["cost"](Study.of(adapted(holdout=1)))["adaptation"]
    assert [point["rollouts"] for point in found["points"]] == [3, 6, 9]
    row = ANALYSES["cost"](Study.of(adapted(holdout=1)))["strategies"]["ttt"]
    assert row["rollouts"] == 9 and row["update_tokens"] == 100


def test_adaptation_is_compared_with_search_that_drew_as_many_answers():
    (found,) = ANALYSES["cost"](Study.of(adapted(searched=5)))["equal_budget"]
    assert (found["step"], found["rollouts"], found["tasks"]) == (1, 4, 2)
    assert found["verified"]["adapted"]["value"] == 0.5 and found["verified"]["searched"]["value"] == 0.0
    assert found["verified"]["difference"]["value"] == 0.5
    (found,) = ANALYSES["cost"](Study.of(adapted(searched=3)))["equal_budget"]
    assert found == {
        "strategy": "ttt",
        "refusal": "search drew 3 a task, fewer than the rollouts of the first step after an update",
    }


def test_distinct_sources_are_counted_and_weighed_by_how_often_they_were_drawn():
    (found,) = ANALYSES["diversity"](study_of(TWO))
    task = found["tasks"]["level1/1_x"]
    assert task["distinct"] == 2 and task["distinct_correct"] == 1
    entropy = -(2 / 3 * log(2 / 3) + 1 / 3 * log(1 / 3))
    assert log(task["effective"]) == pytest.approx(entropy)
    assert found["tasks"]["level1/2_y"]["effective"] == pytest.approx(3.0)
    assert found["distinct"]["value"] == pytest.approx([1.0, (5 / 3 + 2) / 2, 2.5])


def test_the_share_of_the_floor_does_not_depend_on_the_reference():
    tasks = {"level1/1_x": [Drawn(4.0, floor_ms=0.1)], "level1/2_y": [Drawn(2.0)], "level1/3_z": [Drawn(None)]}
    chosen = {
        (task, "search"): Selection(
            task=task, strategy="search", index=None if task.endswith("z") else 0, considered=(), cost={}
        )
        for task in tasks
    }
    found = ANALYSES["floor"](study_of(tasks, selections=chosen))["strategies"]["search"]
    assert found["tasks"] == {
        "level1/1_x": {
            "floor_ms": pytest.approx(0.1),
            "candidate_ms": 0.25,
            "reference_ms": 1.0,
            "share": pytest.approx(0.4),
            "reference_share": pytest.approx(0.1),
        }
    }
    assert found["share"]["value"] == pytest.approx(0.4)


def test_without_a_floor_there_is_no_share_of_it():
    assert ANALYSES["floor"](study_of(TWO)) is None
