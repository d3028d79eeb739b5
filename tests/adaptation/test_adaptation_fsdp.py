"""A model sharded over two processes: gradient, draws and weights equal those of one process, and it is trained."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_world import World, strategy
from policies.random_models import llama, save_tokenizer

from pytest_kernelbench.adaptation.fsdp_trainer import FsdpTrainer
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import HarnessError, PolicyError
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Lora, Sampling

HERE = Path(__file__).parent
TASK = Task(id="level1/1_Task", source="class Model: ...")
SAMPLING = Sampling(k=4, temperature=0.8, max_tokens=12)


@pytest.mark.slow
def test_two_processes_give_what_one_has_alone(tmp_path):
    paths = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(HERE / "two_ranks.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cosine"] > 0.99999 and found["norms"] == pytest.approx(1, abs=1e-4)
    assert found["same_draws"] and found["reloaded"] and found["whole"]
    alone, both = found["updates"]
    assert both == {key: pytest.approx(value, rel=1e-4) for key, value in alone.items()}
    for one, two in zip(*found["scores"], strict=True):
        for ours, theirs in zip(one, two, strict=True):
            assert theirs == pytest.approx(ours, abs=1e-3)
    assert 0.45 < found["share"] < 0.55


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    llama().save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}'
    )
    return folder


@pytest.fixture(scope="module")
def sharded(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("policy") / "sharded.toml"
    file.write_text(f'policy = "hf:{folder}"\nshards = 2\n')
    policy = load_policy(str(file), device="cpu")
    yield policy
    log = policy._group._log
    policy.close()
    assert not log.exists()  # they ended by themselves, and nothing is left


def test_what_is_asked_of_a_sharded_policy_may_end_with_advice(folder, sharded):
    alone = load_policy(f"hf:{folder}", device="cpu")
    asked = {"seed": 3, "indices": [0], "advice": "An earlier answer of yours was wrong."}
    drawn, expected = (next(iter(each.sample(TASK, SAMPLING, **asked))) for each in (sharded, alone))
    assert (drawn.prompt_sha256, drawn.token_ids) == (expected.prompt_sha256, expected.token_ids)
    plain = next(iter(sharded.sample(TASK, SAMPLING, seed=3, indices=[0])))
    assert plain.prompt_sha256 != drawn.prompt_sha256


def test_a_sharded_policy_draws_scores_and_learns_as_the_same_model_alone(folder, sharded, tmp_path):
    alone = load_policy(f"hf:{folder}", device="cpu")
    assert sharded.version == alone.version
    drawn = {each.index: each for each in sharded.sample(TASK, SAMPLING, seed=3, indices=range(4))}
    expected = {each.index: each for each in alone.sample(TASK, SAMPLING, seed=3, indices=range(4))}
    assert {index: each.token_ids for index, each in drawn.items()} == {
        index: each.token_ids for index, each in expected.items()
    }
    rows = [
        TrainingRow(
            prompt_ids=tuple(alone.prompt_ids(TASK, "module")),
            token_ids=each.token_ids,
            behaviour=each.sampling_logprobs,
            advantages=((-1.0) ** index,) * len(each.token_ids),
        )
        for index, each in sorted(drawn.items())
    ]
    token_ids = [row.token_ids for row in rows]
    settings = Adaptation(learning_rate=1e-2, lora=Lora(rank=4))
    found = []
    for kind, policy in ((PeftTrainer, alone), (FsdpTrainer, sharded)):
        trainer = kind(policy, settings=settings, temperature=0.8, max_tokens=12, seed=0)
        update = trainer.update(rows, step=1)
        assert trainer.holds is None
        trainer.save(tmp_path / kind.__name__, update)
        trainer.load(None, step=0)
        trainer.load(tmp_path / kind.__name__, step=1)
        trainer.use_adapted("adapted")
        assert trainer.version == policy.version == "adapted" and trainer.holds == 1
        adapted = trainer.score(TASK, "module", token_ids, temperature=0.8)
        with trainer.as_loaded():
            loaded = trainer.score(TASK, "module", token_ids, temperature=0.8)
        with trainer.as_average([tmp_path / kind.__name__], rate=0.5):
            average = trainer.score(TASK, "module", token_ids, temperature=0.8, advice="# more")
        trainer.close()
        assert policy.version == trainer.loaded_version
        found.append((update, adapted, loaded, average, trainer.described))
    (one, *ours, told), (two, *theirs, told_sharded) = found
    assert two == {key: pytest.approx(value, rel=1e-3, abs=1e-6) for key, value in one.items()}
    assert told == told_sharded
    for single, both in zip(ours, theirs, strict=True):
        for a, b in zip(single, both, strict=True):
            assert b == pytest.approx(a, abs=2e-3)
    assert ours[0] != ours[1]


def test_a_sampler_that_is_left_early_leaves_the_next_request_its_own_answer(sharded):
    answers = sharded.sample(TASK, SAMPLING, seed=3, indices=range(4))
    first = next(answers)
    answers.close()
    again = {each.index: each.token_ids for each in sharded.sample(TASK, SAMPLING, seed=3, indices=range(4))}
    assert again[first.index] == first.token_ids


def test_a_strategy_adapts_on_shards_and_each_step_is_drawn_from_its_own_weights(sharded, tmp_path):
    trains = strategy(k=2, steps=1, method="sdpo")
    world = World(tmp_path, tasks=[TASK], strategies=[trains])
    world._policies["made-up"] = sharded
    run_item(TASK, trains, world)
    first, second = [json.loads(line) for line in (tmp_path / "adaptation.jsonl").read_text().splitlines()]
    assert second["policy_version"] == f"{first['policy_version']}+{first['lineage']}.1" and second["kl"] > 0
    assert second["update"]["ratio_max"] == pytest.approx(1, abs=1e-4) and second["update"]["teacher_tokens"] > 0
    drawn = [json.loads(line)["policy_version"] for line in (tmp_path / "completions.jsonl").read_text().splitlines()]
    assert drawn == [first["policy_version"]] * 2 + [second["policy_version"]] * 2
    world.training.trainer.close()


@pytest.mark.parametrize(
    ("settings", "place", "refusal"),
    [
        (
            {"method": "sdpo", "distil": "distribution"},
            "sdpo",
            'distil = "distribution" needs whole distributions, and shards send none; set distil = "drawn"',
        ),
        (
            {"lora_experts": True},
            "lora",
            "experts are spread over processes and cannot be adapted; set experts = false",
        ),
    ],
)
def test_what_shards_cannot_do_is_refused_before_anything_is_sampled(settings, place, refusal, sharded):
    with pytest.raises(PolicyError) as caught:
        FsdpTrainer(sharded, settings=Adaptation.from_json(settings), temperature=0.8, max_tokens=12, seed=0)
    assert str(caught.value) == f"--policy={sharded.name}: [adaptation.{place}] {refusal}"


def test_an_error_in_the_processes_is_raised_here_and_they_go_on(sharded):
    with pytest.raises(PolicyError) as caught:
        list(sharded.sample(Task(id="level1/2_Long", source="x" * 5000), SAMPLING, seed=0, indices=[0]))
    assert str(caught.value).startswith(f"--policy={sharded.name}: the prompt of level1/2 has")
    assert len(list(sharded.sample(TASK, SAMPLING, seed=3, indices=[0]))) == 1


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path):
    file = tmp_path / "none.toml"
    (tmp_path / "empty").mkdir()
    file.write_text(f'policy = "hf:{tmp_path / "empty"}"\nshards = 2\n')
    with pytest.raises((PolicyError, HarnessError)) as caught:
        load_policy(str(file), device="cpu")
    assert len(str(caught.value).splitlines()) == 1 and "empty cannot be loaded" in str(caught.value)


def test_a_process_that_is_killed_is_a_harness_error_and_not_a_wait_for_ever(folder, tmp_path):
    file = tmp_path / "killed.toml"
    file.write_text(f'policy = "hf:{folder}"\nshards = 2\n')
    policy = load_policy(str(file), device="cpu")
    os.kill(policy.processes[1], signal.SIGKILL)
    with pytest.raises(HarnessError) as caught:
        list(policy.sample(TASK, SAMPLING, seed=3, indices=[0]))
    assert f"--policy={file}: a process of its shards ended (" in str(caught.value)
    policy.close()
