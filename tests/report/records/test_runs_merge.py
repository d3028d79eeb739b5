"""Folders of several shards and seeds become one study, and runs that were measured differently are refused."""

import json
from dataclasses import replace

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.records import merged as merge


def error_of(call) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def merged(**folders):
    return merge({name: RunRecords.load(folder) for name, folder in folders.items()})


def test_shards_merge_into_the_run_that_they_are_parts_of(tmp_path):
    whole = RunRecords.load(write_run(tmp_path / "whole", "surprisal", "random"))
    a = write_run(tmp_path / "a", "surprisal", "random", tasks=(TASKS[2], TASKS[4]))
    b = write_run(tmp_path / "b", "surprisal", "random", tasks=(TASKS[0], TASKS[1], TASKS[3]))
    parts = merged(a=a, b=b)
    assert parts.tasks == whole.tasks
    for strategy in whole.strategies:
        assert parts.results(strategy) == whole.results(strategy)


@pytest.mark.parametrize(
    ("key", "value"), [("device", "NVIDIA L4"), ("protocol", "fast"), ("sizes", "small"), ("margin", 0.02)]
)
def test_runs_measured_differently_are_not_merged(tmp_path, key, value):
    a = write_run(tmp_path / "a", "oracle", tasks=TASKS[:2])
    b = write_run(tmp_path / "b", "oracle", tasks=TASKS[2:], **{key: value})
    original = json.dumps(RunRecords.load(a).options[key])
    assert error_of(lambda: merged(a=a, b=b)) == (
        f"b: {key} is {json.dumps(value)}, but {original} in a; report them one at a time, or together with --mix"
    )


def test_runs_of_other_strategies_are_not_merged(tmp_path):
    a = write_run(tmp_path / "a", "oracle", tasks=TASKS[:2])
    b = write_run(tmp_path / "b", "random", tasks=TASKS[2:])
    assert error_of(lambda: merged(a=a, b=b)) == ("b: strategies differ from those of a; report them one at a time")


def test_a_task_in_two_runs_is_not_counted_twice(tmp_path):
    a = write_run(tmp_path / "a", "oracle", tasks=TASKS[:2])
    b = write_run(tmp_path / "b", "oracle", tasks=TASKS[1:])
    assert error_of(lambda: merged(a=a, b=b)) == f"b: {TASKS[1]} is in a too; leave one of the two out"


def test_runs_of_other_devices_are_merged_if_told_to_and_the_note_says_so(tmp_path):
    a = RunRecords.load(write_run(tmp_path / "a", "oracle", tasks=TASKS[:2]))
    b = RunRecords.load(write_run(tmp_path / "b", "oracle", tasks=TASKS[2:], device="NVIDIA L4", margin=0.05))
    both = merge({"a": a, "b": b}, mix=True)
    assert both.options["device"] == "NVIDIA H200 + NVIDIA L4"
    assert both.notes == ("mixed: device NVIDIA H200 + NVIDIA L4", "mixed: margin 0.05")
    assert both.strategies[0].margin == both.options["margin"] == 0.05
    assert len(both.tasks) == len(TASKS)


def test_a_shard_that_does_not_know_its_device_takes_that_of_the_others(tmp_path):
    a = RunRecords.load(write_run(tmp_path / "a", "oracle", tasks=TASKS[:2], device=None))
    b = RunRecords.load(write_run(tmp_path / "b", "oracle", tasks=TASKS[2:]))
    both = merge({"a": a, "b": b})
    assert both.options["device"] == "NVIDIA H200" and both.notes == ()
    c = RunRecords.load(write_run(tmp_path / "c", "oracle", tasks=TASKS[2:], device="cpu"))
    assert error_of(lambda: merge({"a": a, "b": b, "c": c})).startswith('c: device is "cpu", but "NVIDIA H200" in b;')


@pytest.mark.parametrize(("key", "value"), [("policy", "hf:other"), ("policy_version", "1")])
def test_another_policy_is_another_study_even_if_told_to_mix(tmp_path, key, value):
    a = RunRecords.load(write_run(tmp_path / "a", "oracle", tasks=TASKS[:2], policy_version="0"))
    b = RunRecords.load(write_run(tmp_path / "b", "oracle", tasks=TASKS[2:], **{"policy_version": "0", key: value}))
    assert error_of(lambda: merge({"a": a, "b": b}, mix=True)) == (
        f"b: {key} is {json.dumps(value)}, but {json.dumps(a.options[key])} in a; report them one at a time"
    )


def test_another_text_of_a_task_is_not_merged_even_if_told_to(tmp_path):
    a = RunRecords.load(write_run(tmp_path / "a", "oracle", task_sha256={TASKS[0]: "1"}))
    b = RunRecords.load(write_run(tmp_path / "b", "oracle", task_sha256={TASKS[0]: "2"}, seed=1))
    assert error_of(lambda: merge({"a": a, "b": b}, mix=True)) == (
        f"b: {TASKS[0]} has another text than in a; report them one at a time"
    )


def study(tmp_path, *, tasks=3, seeds=(0, 1), **more):
    folders = make_synthetic_run(tmp_path, tasks=tasks, k=8, seeds=seeds, strategies=("oracle", "surprisal"), **more)
    return {str(folder): RunRecords.load(folder) for folder in folders}


def test_seeds_of_one_task_are_units_of_their_own_in_one_study(tmp_path):
    runs = study(tmp_path)
    both = merge(runs)
    assert both.seeds == (0, 1) and len(both.tasks) == 6
    name = "level1/4_Matrix_vector_multiplication_"
    assert both.tasks[:2] == (f"{name}[seed=0]", f"{name}[seed=1]")
    assert both.unit(both.tasks[1]) == (name, 1)
    strategy = both.strategies[0]
    for seed, run in enumerate(runs.values()):
        alone = [(task.task, task.samples, task.selection) for task in run.results(strategy).tasks]
        joined = [
            (each.task, each.samples, each.selection) for each in both.results(strategy).tasks if each.seed == seed
        ]
        assert joined == alone


def test_shards_of_several_seeds_merge_in_one_go(tmp_path):
    whole = merge(study(tmp_path / "whole"))
    parts = {}
    for name, run in study(tmp_path / "parts").items():
        parts[f"{name} 1"] = replace(run, tasks=run.tasks[:1])
        parts[f"{name} 2"] = replace(run, tasks=run.tasks[1:])
    joined = merge(parts)
    assert joined.tasks == whole.tasks
    assert [joined.results(each) for each in joined.strategies] == [whole.results(each) for each in whole.strategies]


def test_one_seed_twice_is_refused(tmp_path):
    (run, other) = study(tmp_path).values()
    assert error_of(lambda: merge({"a": run, "b": other, "c": other})) == (
        "c: level1/4_Matrix_vector_multiplication_[seed=1] is in b too; leave one of the two out"
    )


def test_a_seed_that_lacks_tasks_is_noted_for_its_mean_is_over_others(tmp_path):
    (run, other) = study(tmp_path).values()
    both = merge({"a": run, "b": replace(other, tasks=other.tasks[:1])})
    assert both.notes == ("seed 1 lacks 2 of 3 tasks",)


def test_steps_of_adaptation_stay_with_their_seed(tmp_path):
    both = merge(study(tmp_path, steps=2))
    strategy = both.strategies[-1]
    steps = both.steps(strategy)
    assert set(steps) == set(both.tasks)
    assert [len(each) for each in steps.values()] == [3] * 6
    # A quarter of 8 candidates at each of three steps; what is held out trains nothing and is no sample.
    assert {len(task.samples) for task in both.results(strategy).tasks} == {6}
    for task in both.results(strategy).tasks:
        assert {sample.completion.seed for sample in task.samples} == {task.seed}
