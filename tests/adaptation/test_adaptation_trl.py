"""The gradient against TRL's GRPOTrainer on the same tokens, advantages and temperature."""

import pytest
import torch
from made_up_policies import ROWS, WordPolicy
from policies.random_models import llama

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.causal_lm import score_rows
from pytest_kernelbench.strategy import Adaptation, Lora

# TRL, datasets and pandas warn of their own affairs.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.parametrize("temperature", [0.25, 1.0])]
MAX_TOKENS = 8
ADVANTAGES = (1.0, -0.5, 0.25)


def gradient_of_trl(model, rows, folder, temperature):
    """Of ``dr_grpo``, by parameter name: sum over tokens / (rollouts x max_completion_length)."""
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        output_dir=str(folder),
        loss_type="dr_grpo",
        temperature=temperature,
        beta=0.0,
        max_completion_length=MAX_TOKENS,
        per_device_train_batch_size=len(rows),
        num_generations=len(rows),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        disable_dropout=True,
    )
    trainer = GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset(InMemoryTable.from_pydict({"prompt": ["x"]}), fingerprint="one prompt"),
        processing_class=_tokenizer(PreTrainedTokenizerFast),
    )
    # TRL pads prompts on the left, and answers on the right.
    prompts = max(len(row.prompt_ids) for row in rows)
    answers = max(len(row.token_ids) for row in rows)
    left = [prompts - len(row.prompt_ids) for row in rows]
    right = [answers - len(row.token_ids) for row in rows]
    inputs = {
        "prompt_ids": torch.tensor([[0] * n + list(row.prompt_ids) for n, row in zip(left, rows, strict=True)]),
        "prompt_mask": torch.tensor([[0] * n + [1] * (prompts - n) for n in left]),
        "completion_ids": torch.tensor([list(row.token_ids) + [0] * n for n, row in zip(right, rows, strict=True)]),
        "completion_mask": torch.tensor([[1] * (answers - n) + [0] * n for n in right]),
        "advantages": torch.tensor([row.advantages[0] for row in rows]),
        "num_items_in_batch": torch.tensor(sum(len(row.token_ids) for row in rows)),
    }
    model.zero_grad()
    trainer.compute_loss(model, inputs).backward()
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.requires_grad}


def _tokenizer(cls):
    from tokenizers import Tokenizer, models

    return cls(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 1, "<end>": 0}, unk_token="x")),
        pad_token="<end>",
        eos_token="<end>",
    )


def test_the_gradient_is_that_of_trl_s_dr_grpo(tmp_path, temperature):
    policy = WordPolicy(llama())
    rows = [
        TrainingRow(prompt_ids=prompt, token_ids=answer, behaviour=logprobs, advantages=(advantage,) * len(answer))
        for prompt, answers in ROWS
        for answer, logprobs, advantage in zip(
            answers, score_rows(policy.model, prompt, answers, temperature=temperature), ADVANTAGES, strict=True
        )
    ]
    settings = Adaptation(learning_rate=1e-2, reduction="constant", lora=Lora(rank=4))
    with PeftTrainer(policy, settings=settings, temperature=temperature, max_tokens=MAX_TOKENS, seed=0) as learner:
        ours = learner.gradient(rows)
        theirs = gradient_of_trl(learner.model, rows, tmp_path, temperature)
    assert ours.keys() == theirs.keys()
    flat, flat_theirs = (torch.cat([each[name].flatten() for name in ours]) for each in (ours, theirs))
    assert torch.nn.functional.cosine_similarity(flat, flat_theirs, dim=0) > 0.9999
    assert float(flat.norm() / flat_theirs.norm()) == pytest.approx(1, abs=1e-3)
