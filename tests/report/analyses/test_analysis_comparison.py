"""Two runs compared by task: kernels that became faster or slower, were lost or gained; runs that are refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import Drawn, records_of

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Selection
from pytest_kernelbench.report.analyses.comparison import compare_runs


def run_of(speedups: dict[str, float | None], *, strategy: str = "s", half_width: float = 0.01, **options: object):
    """Speed-ups of the chosen kernels as timed again; None where there is no choice."""
    selections = {}
    for task, speedup in speedups.items():
        timed = (
            {}
            if speedup is None
            else {
                "speedup": speedup,
                "confirmed_speedup": speedup,
                "confirmed_low": speedup * (1 - half_width),
                "confirmed_high": speedup * (1 + half_width),
                "fast": speedup * (1 - half_width) > 1.01,
            }
        )
        selections[task, strategy] = Selection(
            task=task, strategy=strategy, index=None if speedup is None else 0, considered=(), cost={}, **timed
        )
    records = records_of({task: [Drawn(2.0)] for task in speedups}, strategies=(strategy,), selections=selections)
    return replace(records, options={**records.options, **options})


def changes_of(before, after, **more):
    found = compare_runs({"a": run_of(before), "b": run_of(after)}, **more)["strategies"]["s"]
    return {task: row["change"] for task, row in found["tasks"].items()}, found


def test_what_became_faster_slower_lost_and_gained_is_told_apart():
    before = {"t/1": 1.0, "t/2": 2.0, "t/3": 1.5, "t/4": None, "t/5": 1.5, "t/6": None}
    after = {"t/1": 1.2, "t/2": 1.6, "t/3": None, "t/4": 1.5, "t/5": 1.51, "t/6": None}
    changes, found = changes_of(before, after)
    assert list(changes.values()) == ["faster", "slower", "lost", "gained", "same", "neither"]
    assert found["counts"] == dict.fromkeys(("faster", "slower", "lost", "gained", "same", "neither"), 1)
    assert found["fast_1"]["values"] == [3 / 6, 4 / 6]


def test_a_difference_within_both_intervals_and_the_margin_is_none():
    assert changes_of({"t/1": 1.0}, {"t/1": 1.02})[0] == {"t/1": "same"}
    assert changes_of({"t/1": 1.0}, {"t/1": 1.03})[0] == {"t/1": "faster"}


def test_the_interval_of_the_ratio_joins_those_of_both_runs():
    _, found = changes_of({"t/1": 1.0}, {"t/1": 1.1})
    ratio = found["tasks"]["t/1"]["ratio"]
    assert ratio["value"] == pytest.approx(1.1)
    assert ratio["low"] == pytest.approx(1.1 * (1 - 0.01 * 2**0.5), abs=1e-3)
    assert ratio["high"] == pytest.approx(1.1 * (1 + 0.01 * 2**0.5), abs=1e-3)


sides = st.dictionaries(st.sampled_from(["t/1", "t/2", "t/3", "t/4"]), st.none() | st.floats(0.2, 5), min_size=4)


@settings(deadline=None)
@given(sides, sides)
def test_the_other_way_round_everything_is_the_other_way_round(before, after):
    there, found = changes_of(before, after)
    back, mirrored = changes_of(after, before)
    opposite = {"faster": "slower", "slower": "faster", "lost": "gained", "gained": "lost"}
    assert back == {task: opposite.get(change, change) for task, change in there.items()}
    if found["geomean_ratio"] is None:
        assert mirrored["geomean_ratio"] is None and not any((*before.values(), *after.values()))
    else:
        assert mirrored["geomean_ratio"]["value"] == pytest.approx(1 / found["geomean_ratio"]["value"])
    for task, row in found["tasks"].items():
        if row["ratio"]:
            other = mirrored["tasks"][task]["ratio"]
            assert (other["low"], other["high"]) == pytest.approx((1 / row["ratio"]["high"], 1 / row["ratio"]["low"]))


def test_a_run_compared_with_itself_has_no_change():
    before = {"t/1": 1.0, "t/2": 2.0, "t/3": None}
    changes, found = changes_of(before, before)
    assert set(changes.values()) == {"same", "neither"}
    assert found["geomean_ratio"]["value"] == 1.0 and found["wilcoxon"] is None


def test_where_nothing_can_be_verified_no_run_has_0_percent():
    bare = {"speedup_low": None, "speedup_high": None}
    runs = {}
    for name, speedup in (("a", 1.5), ("b", 2.0)):
        run = run_of({"t/1": speedup, "t/2": None})
        chosen = {key: replace(each, confirmed_low=None, confirmed_high=None) for key, each in run.selections.items()}
        judged = {key: replace(each, **bare) for key, each in run.evaluations.items()}
        runs[name] = replace(run, selections=chosen, evaluations=judged)
    found = compare_runs(runs)["strategies"]["s"]
    assert found["fast_1"] == {"values": [None, None], "difference": None} and found["sign"] is None
    assert found["geomean_ratio"]["value"] == pytest.approx((2.0 / 1.5) ** 0.5)


def test_two_runs_without_a_kernel_have_no_ratio():
    _, found = changes_of({"t/1": None}, {"t/1": None})
    assert found["geomean_ratio"] is None and found["wilcoxon"] is None


def test_a_second_timing_is_not_set_beside_a_first():
    """Where one run's kernel was not timed again, both are taken as first timed, in the table and in the mean."""
    once, twice = run_of({"t/1": 2.0}), run_of({"t/1": 2.0})
    once = replace(once, selections={k: replace(each, confirmed_speedup=None) for k, each in once.selections.items()})
    slower = {k: replace(each, confirmed_speedup=1.5) for k, each in twice.selections.items()}
    found = compare_runs({"a": once, "b": replace(twice, selections=slower)})["strategies"]["s"]
    assert found["tasks"]["t/1"]["ratio"]["value"] == found["geomean_ratio"]["value"] == 1.0


def test_comparison_is_json():
    comparison = compare_runs({"a": run_of({"t/1": 1.0}), "b": run_of({"t/1": None})})
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison


def error_of(a, b, **more) -> str:
    with pytest.raises(UsageError) as caught:
        compare_runs({"a": a, "b": b}, **more)
    return str(caught.value)


@pytest.mark.parametrize("key", ["device", "protocol", "sizes"])
def test_runs_that_were_measured_differently_are_compared_only_if_told_to(key):
    a, b = run_of({"t/1": 1.0}, **{key: "x"}), run_of({"t/1": 1.0}, **{key: "y"})
    assert error_of(a, b) == f'b: {key} is "y", but "x" in a; report them one at a time, or together with --mix'
    assert compare_runs({"a": a, "b": b}, mix=True)["notes"] == [f"{key}: x and y"]


def test_policies_may_differ_for_that_is_what_is_compared():
    a, b = run_of({"t/1": 1.0}, policy="tiny"), run_of({"t/1": 1.5}, policy="hf:other")
    assert compare_runs({"a": a, "b": b})["notes"] == ["policy: tiny and hf:other"]


def test_runs_without_a_task_or_strategy_in_common_are_refused():
    assert error_of(run_of({"t/1": 1.0}), run_of({"t/2": 1.0})) == (
        "b: no task in common with a; compare runs of the same tasks"
    )
    two = run_of({"t/1": 1.0}, strategy="x")
    three = records_of({"t/1": []}, strategies=("y", "z"))
    assert error_of(two, three) == "b: no strategy in common with a; compare runs of the same strategies"


def test_tasks_that_only_one_run_has_are_named():
    comparison = compare_runs({"a": run_of({"t/1": 1.0, "t/2": 1.0}), "b": run_of({"t/1": 1.0, "t/3": 1.0})})
    assert comparison["only_in"] == [["t/2"], ["t/3"]]


def test_the_only_strategies_of_two_runs_are_compared_whatever_their_names():
    a, b = run_of({"t/1": 1.0}, strategy="search"), run_of({"t/1": 1.5}, strategy="ttt")
    assert list(compare_runs({"a": a, "b": b})["strategies"]) == ["search and ttt"]
