"""What was spent and how much of it on the same text: cost, diversity and the physical floor."""

from math import log

import pytest
from made_up_study import Drawn, records_of, study_of

from pytest_kernelbench.analysis import ANALYSES, Study
from pytest_kernelbench.records import Selection

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
    assert row["update_tokens"] is None and row["adaptation_seconds"] is None


def test_search_gets_its_success_for_less_where_k_is_smaller():
    (search,) = cost_of(choice("level1/1_x", "search", 0, 2))["search"]
    one, two = search["points"]
    assert (one["k"], one["rollouts"], one["generated_tokens"]) == (1, 1.0, 20.0)
    assert one["any_verified"] == pytest.approx((2 / 3) / 2) and two["any_verified"] == pytest.approx(0.5)
    # One of three: 5/3 seconds on average for the first task (2, 2, 1), 4/3 for the second.
    assert one["evaluation_seconds"] == pytest.approx((5 / 3 + 4 / 3) / 2)


def test_a_strategy_that_another_beats_at_the_same_price_is_not_on_the_frontier():
    found = cost_of(choice("level1/1_x", "good", 0, 2), choice("level1/1_x", "bad", None, 2))["strategies"]
    assert found["good"]["on_frontier"] == {"rollouts": True, "generated_tokens": True, "evaluation_seconds": True}
    assert found["bad"]["on_frontier"]["rollouts"] is False


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
