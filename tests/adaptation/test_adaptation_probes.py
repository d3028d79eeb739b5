"""Probes: the same text scored under every checkpoint of a run."""

import json

import pytest
from made_up_world import FirstTokenPolicy, World, strategy
from policies.random_models import llama
from scipy.stats import spearmanr

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.adaptation import probes
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.records import Task

OTHER = Task(id="level1/901_Other", source="class Model: 901\n")


def lines(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_rollouts_of_step_0_are_scored_under_the_weights_of_every_step(tmp_path, monkeypatch, capsys):
    trains = strategy(train_on="level1/1,level1/2", k=12)
    run_item(OTHER, trains, World(tmp_path, tasks=[OTHER], strategies=[trains]))
    monkeypatch.setattr(probes, "load_policy", lambda spec, device: FirstTokenPolicy(llama(vocab_size=16)))
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


def test_a_run_without_adaptation_is_told_what_to_run(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({"strategies": []}))
    assert main(["probe", str(tmp_path)]) == 2
    assert "holds no adaptation; run a strategy such as batch-ttt first" in capsys.readouterr().err
