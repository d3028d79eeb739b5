"""Estimates and curves over tasks, and the warnings where their intervals do not hold."""

import re
from math import exp, log

import numpy
import pytest
from made_up_study import Drawn, study_of

from pytest_kernelbench.report.analyses import ANALYSES
from pytest_kernelbench.report.analyses.estimates import (
    curve_over_tasks,
    difference_curve_over_tasks,
    estimate_over_tasks,
    exponential,
    rate_curve_over_tasks,
)
from pytest_kernelbench.report.stats import NO_INTERVAL, mean_interval

TASKS = [f"level1/{number}_x" for number in range(6)]
EVEN = [0.1, 0.3, 0.2, -0.1, 0.4, 0.0]
CARRIED = [0.0, 0.01, 2.5, -0.01, 0.02, 0.0]


def test_a_curve_of_means_has_no_interval_where_one_task_carries_it_and_says_so():
    found = curve_over_tasks(TASKS, numpy.array([EVEN, CARRIED]).T)
    assert (found["low"][0], found["high"][0]) == pytest.approx(mean_interval(EVEN))
    assert found["low"][1] is found["high"][1] is None and found["value"][1] == pytest.approx(2.52 / 6)
    assert found["warning"] == f"level1/2 of 6 tasks carries this mean: {NO_INTERVAL}"
    assert found["warning"] == estimate_over_tasks(TASKS, CARRIED)["warning"]


def test_a_curve_of_means_that_few_tasks_share_says_how_few_and_one_of_nothing_says_nothing():
    few = "of 6 tasks: 53 % of samples this small miss a kind that makes up 10 % of all tasks"
    assert curve_over_tasks(TASKS, numpy.array([CARRIED, EVEN]).T)["warning"] == few
    assert curve_over_tasks(TASKS, numpy.full((6, 2), numpy.nan)) == {
        "value": [None, None],
        "low": None,
        "high": None,
        "warning": None,
    }
    only_carried = curve_over_tasks(TASKS, numpy.array([CARRIED, CARRIED]).T)
    assert only_carried["low"] is only_carried["high"] is None


def test_curves_of_rates_and_of_their_differences_need_no_warning():
    values = numpy.array([EVEN, EVEN]).T
    assert "warning" not in rate_curve_over_tasks(TASKS, abs(values)) | difference_curve_over_tasks(TASKS, values)
    far = difference_curve_over_tasks(TASKS[:2], numpy.array([[1.0], [-1.0]]))
    assert (far["low"], far["high"]) == ([-1.0], [1.0])


def test_logarithms_are_taken_back_and_what_is_said_of_them_stays():
    units = [task for task in TASKS for _ in range(2)]
    values = [value + off for value in EVEN for off in (0.1, -0.1)]
    found, back = estimate_over_tasks(units, values), exponential(estimate_over_tasks(units, values))
    assert back["value"] == pytest.approx(exp(found["value"])) and back["tasks"] == 6
    assert back["warning"] == found["warning"] and back["fixed"]["low"] == pytest.approx(exp(found["fixed"]["low"]))
    assert back["fixed"]["warning"] == "of 12 choices: 28 % of samples this small miss what happens in 10 % of cases"


def test_every_interval_of_a_mean_in_a_report_of_few_tasks_stands_beside_a_warning():
    """Speed-ups of any kind, wherever they are reported."""
    tasks = {task: [Drawn(exp(value)), Drawn(0.9), Drawn(None)] for task, value in zip(TASKS, EVEN, strict=True)}
    study = study_of(tasks)
    found = list(means_in({name: analyse(study) for name, analyse in ANALYSES.items()}))
    assert len(found) > 10
    assert [path for path, each in found if each.get("low") is not None and not each["warning"]] == []


def means_in(value, path=""):
    """Every estimate or curve whose name says that it is of speed-ups."""
    if isinstance(value, dict):
        if {"value", "low", "high"} <= value.keys() and re.search(r"(speedup|\.ratio)[^.]*(\.\w+)?$", path):
            yield path, value
        for name, each in value.items():
            yield from means_in(each, f"{path}.{name}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from means_in(each, f"{path}[{place}]")


def test_the_mean_of_a_logarithm_is_of_the_speed_up():
    assert exponential({"value": log(2.0), "low": None, "high": None})["value"] == pytest.approx(2.0)
