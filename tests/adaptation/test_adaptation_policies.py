"""Policies that were adapted and saved, named again with ``+ADAPTER``: the same distribution, and on from there."""

import pytest
from made_up_policies import gpt_oss
from policies.random_models import REFERENCE, llama, save_tokenizer

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import check_policy, load_policy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Lora, Sampling

TASK = Task(id="level1/19_ReLU", source=REFERENCE)
SAMPLING = Sampling(k=4, temperature=0.7, max_tokens=12)
SETTINGS = Adaptation(learning_rate=1e-2, lora=Lora(rank=4))


def saved(model, folder):
    from transformers import PreTrainedTokenizerFast

    save_tokenizer(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token="<end>").save_pretrained(folder)
    model().save_pretrained(folder)
    return folder


def sampled(policy):
    return list(policy.sample(TASK, SAMPLING, seed=0, indices=range(SAMPLING.k)))


def adapted(policy, folder):
    """An adapter made by one step on the policy's own samples, and how the policy with it scores them."""
    completions = sampled(policy)
    prompt = tuple(policy.prompt_ids(TASK, "module"))
    rows = [
        TrainingRow(
            prompt_ids=prompt,
            token_ids=each.token_ids,
            behaviour=each.sampling_logprobs,
            advantages=((-1.0) ** each.index,) * len(each.token_ids),
        )
        for each in completions
    ]
    with PeftTrainer(policy, settings=SETTINGS, temperature=SAMPLING.temperature, max_tokens=12, seed=0) as learner:
        update = learner.update(rows, step=1)
        learner.checkpoint(update).write(folder)
        learner.use_adapted("1")
        scores = policy.score(TASK, "module", [each.token_ids for each in completions])
    return completions, scores, update


@pytest.mark.parametrize("model", [llama, gpt_oss])
def test_a_model_is_loaded_sampled_adapted_and_loaded_again_with_its_adapter(model, tmp_path):
    folder = saved(model, tmp_path)
    policy = load_policy(f"hf:{folder}", device="cpu")
    completions, scores, update = adapted(policy, tmp_path / "adapter")
    assert (update["ratio_min"], update["ratio_max"]) == pytest.approx((1, 1), abs=1e-5)
    again = load_policy(f"hf:{folder}+{tmp_path / 'adapter'}", device="cpu")
    assert again.score(TASK, "module", [each.token_ids for each in completions]) == scores
    assert again.version != policy.version
    assert [each.token_ids for each in sampled(again)] != [each.token_ids for each in completions]


def test_tiny_goes_on_from_an_adapter(tmp_path):
    policy = load_policy("tiny", device="cpu")
    completions, scores, _ = adapted(policy, tmp_path / "adapter")
    again = load_policy(f"tiny+{tmp_path / 'adapter'}", device="cpu")
    assert again.score(TASK, "module", [each.token_ids for each in completions]) == scores
    assert again.name == f"tiny+{tmp_path / 'adapter'}" and again.version != policy.version


@pytest.mark.parametrize("adapter", ["", "nowhere"])
def test_a_folder_without_an_adapter_is_seen_before_anything_is_loaded(adapter):
    with pytest.raises(PolicyError) as caught:
        check_policy(f"tiny+{adapter}")
    assert str(caught.value) == (
        f"--policy=tiny+{adapter}: {adapter or '+'} holds no adapter; write tiny+FOLDER, as peft saves it"
    )
