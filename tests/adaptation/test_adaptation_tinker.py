"""The paper's dual loop on Tinker's interface: training, sampling from the trained weights, and resuming."""

import json
import sys

import pytest
from made_up_world import TASKS, Killed, World, strategy

if sys.version_info < (3, 11):
    pytest.skip("the Tinker SDK needs Python 3.11", allow_module_level=True)

from tinker_training import FirstTokenTinkerPolicy, Service

from pytest_kernelbench.adaptation.tinker_trainer import TinkerTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.strategy import Adaptation

# peft asks transformers for an attribute by its old name, and warns of tied embeddings.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def world_on(service, folder, **settings):
    world = World(folder, **settings)
    world._policies["made-up"] = FirstTokenTinkerPolicy(service)
    return world


def run(world, each, tasks=TASKS[:1]):
    return [run_item(task, each, world).selection for task in tasks]


def rows(world, name):
    return [json.loads(line) for line in (world.ledger.folder / f"{name}.jsonl").read_text().splitlines()]


def test_each_step_is_sampled_from_the_weights_that_the_step_before_saved(tmp_path):
    service = Service()
    world = world_on(service, tmp_path)
    run(world, strategy(k=4, lora_alpha=32, temperature=1.0))
    steps = rows(world, "adaptation")
    assert [row["policy_version"].rpartition(".")[2] for row in steps] == ["made-up", "1", "2"]
    for row in steps[1:]:
        assert (row["update"]["ratio_min"], row["update"]["ratio_max"]) == pytest.approx((1, 1), abs=1e-4)
        assert row["update"]["update_tokens"] > 0 and row["kl"] > 0
        named = json.loads((tmp_path / row["checkpoint"] / "tinker.json").read_text())
        name = f"{row['lineage']}-step-000{row['step']}"
        assert named["sampler"] == f"tinker://run/sampler_weights/{name}" and named["state"].endswith(name)
    # One training client for both steps; a sampling client for the start and for each step.
    assert service.asked.count("create_lora_training_client") == 1
    assert service.asked.count("create_sampling_client") == 3
    trained = [each for each in service.asked if each in ("forward_backward", "optim_step", "save")]
    assert trained == ["forward_backward", "optim_step", "save", "save"] * 2
    assert json.loads((tmp_path / "run.json").read_text())["adapters"][steps[0]["lineage"]]["rank"] == 4


def test_it_learns(tmp_path):
    world = world_on(Service(), tmp_path)
    learning = {"steps": 4, "reward": "correct", "learning_rate": 6e-3, "loss": "clipped", "passes": 2}
    run(world, strategy(k=16, **learning))
    rates = [
        sum(task["correct"] for task in row["tasks"].values()) / sum(task["rollouts"] for task in row["tasks"].values())
        for row in rows(world, "adaptation")
    ]
    assert rates[-1] > rates[0] + 0.3


def test_after_a_kill_training_goes_on_from_the_state_that_the_service_kept(tmp_path):
    whole = world_on(Service(), tmp_path / "whole")
    run(whole, strategy(k=4))
    service = Service()
    with pytest.raises(Killed):
        run(world_on(service, tmp_path / "run", die_after=round(whole.ticks * 0.7)), strategy(k=4))
    assert "save" in service.asked
    again = world_on(service, tmp_path / "run")
    run(again, strategy(k=4))
    assert service.asked.count("create_training_client_from_state_with_optimizer") <= 1
    texts = [
        {(row["task"], row["index"]): row["token_ids"] for row in rows(each, "completions")} for each in (whole, again)
    ]
    assert texts[0] == texts[1]


def test_a_self_taught_step_scores_at_temperature_1_on_both_sides(tmp_path):
    world = world_on(Service(), tmp_path)
    run(world, strategy(k=4, steps=1, method="sdpo"))
    (update,) = (row["update"] for row in rows(world, "adaptation") if row["update"])
    assert update["teacher_tokens"] > 0 and update["rollouts"] > 0


def trainer(**settings):
    saved = settings.pop("saved", False)
    policy = FirstTokenTinkerPolicy(Service(), saved=saved)
    return TinkerTrainer(
        policy, settings=Adaptation.from_json({"temperature": 1.0, **settings}), temperature=0.25, max_tokens=8, seed=0
    )


def test_a_loss_that_is_not_finite_takes_no_step():
    training = trainer()
    row = TrainingRow(prompt_ids=(5, 6), token_ids=(7, 0), behaviour=(-1000.0, -1.0), advantages=(1.0, 1.0))
    assert training.update([row], step=1) is None
    assert training.policy.service.asked[-1] == "forward_backward"


def test_without_an_advantage_the_service_is_not_asked():
    training = trainer()
    row = TrainingRow(prompt_ids=(5, 6), token_ids=(7, 0), behaviour=(-1.0, -1.0), advantages=(0.0, 0.0))
    assert training.update([row], step=1)["rollouts"] == 0
    assert training.policy.service.asked == ["create_sampling_client"]


@pytest.mark.parametrize(
    ("settings", "place", "refusal"),
    [
        ({"temperature": None}, "adaptation", "Tinker's losses are at temperature 1; set temperature = 1"),
        ({"lora_targets": "q_proj"}, "adaptation.lora", 'Tinker chooses the layers; set targets = "all-linear"'),
        ({"lora_parameters": "x"}, "adaptation.lora", 'Tinker chooses the layers; set parameters = ""'),
        ({"lora_alpha": 16}, "adaptation.lora", "Tinker's adapters have an alpha of 32; set alpha = 32"),
        ({"lora_dropout": 0.1}, "adaptation.lora", "Tinker's adapters have no dropout; set dropout = 0"),
        ({"kl": 0.1}, "adaptation", "Tinker's losses have no penalty on divergence; set kl = 0"),
        ({"entropy": 0.1}, "adaptation", "Tinker's losses have no bonus on entropy; set entropy = 0"),
        ({"teacher": "average"}, "adaptation.sdpo", 'Tinker averages no weights; set teacher = "current" or "start"'),
        ({"distil": "distribution"}, "adaptation.sdpo", 'Tinker gives no whole distributions; set distil = "drawn"'),
        (
            {"saved": True},
            "adaptation",
            "weights that were saved for sampling cannot be trained; "
            "set --policy=tinker:tests/random, the model that they were made from",
        ),
    ],
)
def test_what_the_service_cannot_do_is_refused_in_one_line(settings, place, refusal):
    with pytest.raises(PolicyError) as caught:
        trainer(**settings)
    assert str(caught.value) == f"--policy=made-up: [{place}] {refusal}"
