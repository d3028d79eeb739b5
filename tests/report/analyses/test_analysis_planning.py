"""The plan of a study: power, the effect that can be detected, and the number of tasks that are needed."""

import numpy
import pytest
from made_up_study import Drawn, study_of

from pytest_kernelbench.report.analyses.planning import Assumptions, assumed, least_tasks, planned, recorded
from pytest_kernelbench.strategy.primary import parse_primary

PRIMARY = parse_primary("surprisal:random:success", "here")
GROUP = [Drawn(2.0, -9.0, source="a")] * 6 + [Drawn(0.5, -3.0, source="b"), Drawn(0.6, -2.0, source="c")]


def test_more_tasks_show_more_and_a_useless_score_is_rejected_once_in_twenty():
    few, many = (
        planned(assumed(Assumptions(), PRIMARY, tasks=tasks, k=32, seeds=1), PRIMARY, 0.3, seed=0, studies=12)
        for tasks in (6, 40)
    )
    assert few.power < 0.6 < 0.9 < many.power and max(few.size, many.size) <= 0.05 and many.possible > 0.3


def test_an_effect_that_tasks_cannot_give_is_told():
    make = assumed(Assumptions(fast=0.9), PRIMARY, tasks=10, k=32, seeds=1)
    assert planned(make, PRIMARY, 0.5, seed=0, studies=4).possible < 0.5


def test_a_study_drawn_from_a_run_has_its_tasks_and_k_of_their_answers():
    (group,) = study_of({"level1/1_x": GROUP, "level1/2_y": [Drawn(None)] * 3}).groups
    rng = numpy.random.default_rng(0)
    for task in recorded(group, PRIMARY, tasks=30, k=1, seeds=1)(rng):
        assert (~numpy.isnan(task.value_SP)).sum() <= 1
    sizes = [(~numpy.isnan(task.value_SP)).sum() for task in recorded(group, PRIMARY, tasks=30, k=8, seeds=1)(rng)]
    assert set(sizes) == {0, 3}
    two = recorded(group, PRIMARY, tasks=4, k=8, seeds=2)(rng)
    assert all(len(task.value_SP) == 2 for task in two)


@pytest.mark.parametrize("needed", [2, 7, 64, 200])
def test_the_tasks_that_are_needed_are_found_to_a_twentieth(needed):
    found = least_tasks(lambda n: 0.9 if n >= needed else 0.1)
    assert needed <= found <= needed * 1.06 + 1
    assert least_tasks(lambda n: 0.1) is None
