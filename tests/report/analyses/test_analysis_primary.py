"""The primary comparison: its effect, its p, the effect that it could detect, and names that are refused."""

from dataclasses import replace

import pytest
from made_up_study import Drawn, records_of

from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.render import report_json
from pytest_kernelbench.report.render.primary import primary_lines

# The most surprising of four programs is the fast one, in four tasks of five.
RIGHT = [Drawn(2.0, -9.0), Drawn(0.5, -3.0), Drawn(0.6, -2.0), Drawn(0.7, -1.0)]
WRONG = [Drawn(0.5, -9.0), Drawn(2.0, -3.0), Drawn(0.6, -2.0), Drawn(0.7, -1.0)]
TASKS = {f"level1/{number}_x": RIGHT if number else WRONG for number in range(5)}


def records(primary: str | None, tasks=None, **more):
    found = records_of(TASKS if tasks is None else tasks)
    return replace(found, options={**found.options, "primary": primary, "primary_by": "strategy s", **more})


def primary_of(*args, **more):
    return ANALYSES["primary"](Study.of(records(*args, **more)))


def test_without_a_name_there_is_no_primary_comparison():
    assert primary_of(None) is None
    assert primary_lines(report_json(records(None)), 100) == []


def test_the_comparison_that_was_named_has_its_effect_its_p_and_what_it_could_show():
    found = primary_of("surprisal:random:success")
    assert found["values"] == [0.8, pytest.approx(0.25)] and found["effect"]["value"] == pytest.approx(0.55)
    # Of five tasks at 1/4 each, four or more succeed once in 64.
    assert found["test"]["p_one_sided"] == pytest.approx(16 / 1024)
    assert found["power"][0]["share"] == 0 and found["power"][0]["power"] <= 0.05
    assert found["detectable"]["power"] >= 0.8
    lines = primary_lines(report_json(records("surprisal:random:success")), 300)
    assert lines == [
        "primary: surprisal against random in verified success (named by strategy s): 80 % and 25 %, "
        "+55 [-100, +100] points; p = 0.031 by randomisation within 5 tasks",
        f"power: an effect of +{100 * found['detectable']['effect']:.0f} points is found in 80 % of studies "
        "of these tasks; a useless score is rejected in 2 %",
        "all other comparisons of this report are secondary",
    ]


def test_log_speed_ups_are_compared_as_a_ratio():
    found = primary_of("surprisal:random:log_speedup")
    assert found["values"][0] == pytest.approx((2**4 * 0.5) ** 0.2) and found["effect"]["value"] > 1
    assert "as fast; p = " in " ".join(primary_lines(report_json(records("surprisal:random:log_speedup")), 300))


def test_against_the_opposite_ranking_no_power_is_claimed():
    found = primary_of("surprisal:confidence:success")
    assert found["detectable"] is None and found["power"] == [] and found["test"]["p_two_sided"] < 0.2


def test_what_cannot_be_compared_is_refused_in_words():
    unscored = {task: [each._replace(sum_logprob=None) for each in group] for task, group in TASKS.items()}
    found = primary_of("surprisal:random:success", unscored)
    assert found["refusal"] == "no candidates that surprisal can rank: log-probabilities are needed"
    untimed = records("surprisal:random:success")
    bare = dict.fromkeys(("speedup", "speedup_low", "speedup_high"))
    without = {key: replace(each, **bare) for key, each in untimed.evaluations.items()}
    found = ANALYSES["primary"](Study.of(replace(untimed, evaluations=without)))
    assert found["refusal"] == "no task whose correct programs all have a speed-up and a log-probability"
    bare = records("surprisal:random:success")
    plain = {key: replace(each, speedup_low=None, speedup_high=None) for key, each in bare.evaluations.items()}
    found = ANALYSES["primary"](Study.of(replace(bare, evaluations=plain)))
    assert found["refusal"] == "nothing is verified: the protocol gives no intervals"
