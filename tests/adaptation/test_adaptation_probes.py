"""Probes: the same text scored under every checkpoint of a run."""

import json
from dataclasses import replace

import pytest
from made_up_world import FirstTokenPolicy, World, search, strategy
from policies.random_models import llama
from project import RELU
from scipy.stats import spearmanr

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.commands import probe
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks

OTHER = Task(id="level1/901_Other", source="class Model: 901\n")


def edit_run(folder, **values):
    """Change values of a recorded run.json."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def lines(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_rollouts_of_step_0_are_scored_under_the_weights_of_every_step(tmp_path, monkeypatch, capsys):
    trains = strategy(train_on="level1/1,level1/2", k=12)
    run_item(OTHER, trains, World(tmp_path, tasks=[OTHER], strategies=[trains]))
    monkeypatch.setattr(probe, "load_policy", lambda spec, device: FirstTokenPolicy(llama(vocab_size=16)))
    assert main(["probe", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    steps = lines(tmp_path, "adaptation")
    drawn = {
        (row["task"], row["index"]): row
        for row in lines(tmp_path, "completions")
        if row["policy_version"] == "made-up" and row["task"] in steps[0]["tasks"]
    }
    found = lines(tmp_path, "probes")
    assert len(drawn) == 2 * 12 and len(found) == 3 * len(drawn)
    at_start = {(row["task"], row["index"]): row for row in found if row["step"] == 0}
    for key, row in at_start.items():
        assert row["nll"] == pytest.approx(-drawn[key]["sum_logprob"], abs=1e-4)
        assert row["n_tokens"] == drawn[key]["n_tokens"]
    moved = [row for row in found if abs(row["nll"] - at_start[row["task"], row["index"]]["nll"]) > 1e-6]
    assert {row["step"] for row in moved} == {1, 2}
    for step in range(3):
        correct = [row for row in found if row["step"] == step and row["speedup"] is not None]
        rho = spearmanr([row["nll"] for row in correct], [row["speedup"] for row in correct]).statistic
        (line,) = (line.split() for line in shown.splitlines() if line.split()[:1] == [str(step)])
        assert int(line[1]) == len(correct) > 3 and float(line[3]) == pytest.approx(rho, rel=1e-2)
    assert shown.startswith("adapting: rho of NLL") and f"wrote probes.jsonl in {tmp_path}" in shown


def test_a_search_s_samples_are_probed_where_they_are_named(tmp_path, monkeypatch, capsys):
    trains, searches = strategy(train_on="level1/1,level1/2", k=4), search("best-of-6", k=6)
    tasks = load_tasks(["level1/1", "level1/2"])
    world = World(tmp_path, tasks=tasks, strategies=[trains, searches])
    for each in (trains, searches):
        for task in tasks:
            run_item(task, each, world)
    monkeypatch.setattr(probe, "load_policy", lambda spec, device: FirstTokenPolicy(llama(vocab_size=16)))
    assert main(["probe", str(tmp_path), "--samples=best-of-6"]) == 0
    assert "and speed-up of correct samples of best-of-6" in capsys.readouterr().out
    found = lines(tmp_path, "probes")
    assert {(row["task"], row["index"]) for row in found} == {(task.id, index) for task in tasks for index in range(6)}
    assert len(found) == 3 * 2 * 6
    assert main(["probe", str(tmp_path), "--samples=best-of-64"]) == 4
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: --samples=best-of-64 is no search of this run; there are best-of-6\n"
    )


def test_the_policy_that_a_strategy_names_is_the_one_that_is_probed(tmp_path, monkeypatch):
    trains = strategy(train_on="level1/1", k=4, steps=1)
    trains = replace(trains, sampling=replace(trains.sampling, policy="other"))
    world = World(tmp_path, tasks=[OTHER], strategies=[trains])
    world._policies["other"] = world._policies["made-up"]
    run_item(OTHER, trains, world)
    asked = []
    policy = FirstTokenPolicy(llama(vocab_size=16))
    monkeypatch.setattr(probe, "load_policy", lambda spec, device: asked.append(spec) or policy)
    assert len(list(probe.probe_run(tmp_path, device="cpu"))) == 2 * 4
    assert asked == ["other"]


@pytest.fixture
def own_level(tmp_path):
    """Task files of the user's own, with small sizes, in a folder that ``level9/...`` does not find."""
    folder = tmp_path / "mine" / "level9"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{number}_Mine.py").write_text(RELU)
    (folder / "small.toml").write_text("[1_Mine]\nn = 100\n[2_Mine]\nn = 200\n")
    return folder


@pytest.mark.parametrize("by", ["the run's selectors", "train_on", "--tasks"])
def test_tasks_of_the_user_s_own_are_found_where_the_run_found_them(own_level, tmp_path, monkeypatch, by):
    tasks = load_tasks(str(own_level))
    learnt = {"train_on": str(own_level)} if by == "train_on" else {}
    trains = strategy(k=4, steps=1, **learnt)
    world = World(tmp_path / "run", tasks=[OTHER] if by == "train_on" else tasks, strategies=[trains])
    run_item(world.tasks[0], trains, world)
    if by == "the run's selectors":
        edit_run(tmp_path / "run", selectors=[str(own_level)])
    monkeypatch.setattr(probe, "load_policy", lambda spec, device: FirstTokenPolicy(llama(vocab_size=16)))
    options = [f"--tasks={own_level}"] if by == "--tasks" else []
    assert main(["probe", str(tmp_path / "run"), *options]) == 0
    assert {row["task"] for row in lines(tmp_path / "run", "probes")} == {"level9/1_Mine", "level9/2_Mine"}


def test_small_sizes_of_the_user_s_own_are_those_of_the_run(own_level, tmp_path, monkeypatch, capsys):
    sizes = tmp_path / "sizes.toml"
    sizes.write_text("[1_Mine]\nn = 50\n[2_Mine]\nn = 60\n")
    tasks = load_tasks(str(own_level), sizes="small", small=sizes)
    trains, folder = strategy(k=4, steps=1), tmp_path / "run"
    run_item(tasks[0], trains, World(folder, tasks=tasks, strategies=[trains]))
    edit_run(folder, selectors=[str(own_level)], sizes="small")
    monkeypatch.setattr(probe, "load_policy", lambda spec, device: FirstTokenPolicy(llama(vocab_size=16)))
    assert main(["probe", str(folder)]) == 4
    assert capsys.readouterr().err == (
        f"error: {folder}: level9/1_Mine had another text or sizes; "
        "name the place of the recorded ones with --tasks, or a file of their sizes with --small\n"
    )
    assert main(["probe", str(folder), f"--small={sizes}"]) == 0


def test_tasks_that_are_gone_are_told_with_the_remedy(own_level, tmp_path, capsys):
    trains, folder = strategy(k=4, steps=1), tmp_path / "run"
    tasks = load_tasks(str(own_level))
    run_item(tasks[0], trains, World(folder, tasks=tasks, strategies=[trains]))
    edit_run(folder, selectors=["nowhere"])
    assert main(["probe", str(folder)]) == 4
    assert capsys.readouterr().err == (
        f"error: {folder}: its tasks are not found (--tasks=nowhere: no such level, file or folder; packaged: level1); "
        "name their place with --tasks\n"
    )


def test_a_run_without_adaptation_is_told_what_to_run(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({"policy": "tiny", "strategies": [], "tasks": []}))
    assert main(["probe", str(tmp_path)]) == 4
    assert "holds no adaptation; run a strategy such as batch-ttt first" in capsys.readouterr().err
