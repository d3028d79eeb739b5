"""A trainer on a small random model, and rollouts of two prompts for it to train on."""

from made_up_policies import ROWS, gpt_oss, moe
from policies.random_models import llama

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.causal_lm import score_rows
from pytest_kernelbench.strategy import Adaptation

MODELS = {"tied": llama, "untied": lambda: llama(tie_word_embeddings=False), "moe": moe, "gpt-oss": gpt_oss}
EXPERTS = "mlp.experts.gate_up_proj, mlp.experts.down_proj"
TEMPERATURE = 0.5


def learner_on(policy, *, temperature=TEMPERATURE, checkpointing=None, **settings):
    settings = {"learning_rate": 1e-2, "lora_rank": 4, **settings}
    return PeftTrainer(
        policy,
        settings=Adaptation.from_json(settings),
        temperature=temperature,
        max_tokens=16,
        seed=0,
        gradient_checkpointing=checkpointing,
    )


def rows_from(policy, *, temperature=TEMPERATURE, advantages=(1.0, -0.5, 0.25)):
    """Rollouts of two prompts, with the log-probabilities that the policy itself gives them."""
    rows = []
    for prompt, answers in ROWS:
        behaviour = score_rows(policy.model, prompt, answers, temperature=temperature)
        for answer, logprobs, advantage in zip(answers, behaviour, advantages, strict=True):
            rows.append(
                TrainingRow(
                    prompt_ids=prompt, token_ids=answer, behaviour=logprobs, advantages=(advantage,) * len(answer)
                )
            )
    return rows


def scores(policy):
    return [score_rows(policy.model, prompt, answers) for prompt, answers in ROWS]
