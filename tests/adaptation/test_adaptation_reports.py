"""What reports say of adaptation, from the records of steps that were taken."""

import json

import pytest
from made_up_world import World, search, strategy

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.records import Task
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render import render, report_json

OTHERS = [Task(id=f"level1/{number}_Other", source=f"class Model: {number}\n") for number in (901, 902)]
HERE = {"train_on": "level1/1,level1/2", "steps": 2}


def ran(folder, *strategies, tasks=OTHERS, seed=0):
    world = World(folder, tasks=tasks, strategies=strategies, seed=seed)
    for each in strategies:
        for task in tasks:
            run_item(task, each, world)
    return RunRecords.load(folder)


def test_run_json_names_the_tasks_that_were_trained_on_and_the_hashes_of_their_texts(tmp_path):
    trains = strategy(**HERE)
    records = ran(tmp_path, trains)
    group = records.options["adaptation_groups"][trains.adaptation_sha256]
    assert [task.partition("_")[0] for task in group] == ["level1/1", "level1/2"]
    assert records.tasks == tuple(task.id for task in OTHERS)
    assert set(records.options["task_sha256"]) == {*group, *records.tasks}
    assert records.only_trained_on == tuple(group)


def test_another_text_of_a_task_that_was_trained_on_is_refused(tmp_path):
    ran(tmp_path, strategy(**HERE))
    path = tmp_path / "run.json"
    run = json.loads(path.read_text())
    name = next(task for task in run["task_sha256"] if task.startswith("level1/1_"))
    path.write_text(json.dumps({**run, "task_sha256": {**run["task_sha256"], name: "0"}}))
    with pytest.raises(UsageError) as caught:
        ran(tmp_path, strategy("again", checkpoint="last", **HERE))
    assert str(caught.value) == f"{tmp_path}: was made with another text of {name}; start another run"


def test_a_strategy_that_trains_elsewhere_is_counted_there_and_here(tmp_path):
    report = report_json(ran(tmp_path, strategy(**HERE), search(k=8)))
    here = report["strategies"]["adapting"]["tasks"]
    assert {task: (row["drawn"], row["judged"]) for task, row in here.items()} == {task.id: (8, 8) for task in OTHERS}
    adapting, searching = report["samples"]
    assert (adapting["drawn"], adapting["judged"]) == (16, 16)
    assert len(adapting["only_trained_on"]["units"]) == 2
    assert (adapting["only_trained_on"]["drawn"], adapting["only_trained_on"]["judged"]) == (48, 48)
    assert (searching["drawn"], searching["only_trained_on"]) == (16, None)
    (trajectory,) = report["analyses"]["adaptation"]
    assert list(trajectory["per_task"]) == adapting["only_trained_on"]["units"]
    assert None not in trajectory["per_sample"]["verified"]["value"] and len(trajectory["steps"]) == 3
    refusal = "the tasks that were trained on are not those that search sampled"
    assert trajectory["equivalent_k"]["any_of_k"]["refusal"] == refusal


def test_the_terminal_says_what_was_drawn_to_train_on_other_tasks(tmp_path):
    lines = render(report_json(ran(tmp_path, strategy(**HERE))), width=100)
    assert "beside them, to train on 2 other tasks: 48 drawn, 48 judged" in lines
    assert "over the 2 tasks that it trains on, 2 of them not among this run's" in lines
    assert any(line.startswith("adapting, %, at step") for line in lines)


def test_what_was_trained_on_is_counted_for_every_seed_of_a_study(tmp_path):
    runs = {str(seed): ran(tmp_path / str(seed), strategy(**HERE), seed=seed) for seed in (0, 1)}
    report = report_json(merged(runs))
    (samples,) = report["samples"]
    assert (samples["drawn"], samples["only_trained_on"]["drawn"]) == (32, 96)
    assert len(samples["only_trained_on"]["units"]) == 4 and len(report["tasks"]) == 4


def test_shards_that_trained_on_the_same_tasks_are_not_one_run(tmp_path):
    runs = {task.id: ran(tmp_path / task.name, strategy(**HERE), tasks=[task]) for task in OTHERS}
    with pytest.raises(UsageError) as caught:
        merged(runs)
    assert str(caught.value) == (
        "level1/902_Other: trained on the same tasks as level1/901_Other, to other weights; report them one at a time, "
        "or train once and name the adapter with --policy"
    )


def test_a_strategy_that_stopped_early_is_not_given_the_steps_of_one_that_shares_its_lineage(tmp_path):
    together = ran(tmp_path, strategy("three", steps=3), strategy("one", steps=1), tasks=OTHERS)
    of = {each.name: each for each in together.strategies}
    assert [len(task.samples) for task in together.results(of["three"]).tasks] == [32, 32]
    assert [len(task.samples) for task in together.results(of["one"]).tasks] == [16, 16]
    three, one = report_json(together)["samples"]
    assert (three["strategies"], three["drawn"], one["strategies"], one["drawn"]) == (["three"], 64, ["one"], 32)
