"""The gradient on small random models equals the gradient of the loss as written, in every way of computing it."""

from dataclasses import replace

import pytest
import torch
from made_up_policies import ROWS, WordPolicy, gpt_oss, moe
from peft_training import EXPERTS, MODELS, TEMPERATURE, learner_on, rows_from
from policies.random_models import llama

from pytest_kernelbench.adaptation import objective
from pytest_kernelbench.adaptation.objective import token_logprobs
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.shapes import kept_bytes
from pytest_kernelbench.policies.causal_lm import score_rows
from pytest_kernelbench.registries import LOSSES, REDUCTIONS
from pytest_kernelbench.strategy import Adaptation, Clipped, Lora


def gradient_of(policy, rows, **settings):
    with learner_on(policy, **settings) as training:
        return torch.cat([each.flatten() for each in training.gradient(rows).values()])


def same(first, second):
    return float((first - second).norm()) < 1e-5 * float(second.norm())


def test_micro_batches_checkpointing_and_row_order_change_no_gradient(monkeypatch):
    policy = WordPolicy(llama())
    rows = rows_from(policy)
    whole = gradient_of(policy, rows)
    assert whole.norm() > 0
    assert same(gradient_of(policy, rows, checkpointing=True), whole)
    assert same(gradient_of(policy, rows[::-1]), whole)
    monkeypatch.setitem(objective.TOKENS_AT_ONCE, "cpu", 1)
    monkeypatch.setattr(objective, "LOGITS_CHUNK_BYTES", 1)
    assert same(gradient_of(policy, rows), whole)


def test_on_a_cpu_a_micro_batch_is_as_large_as_its_layers_memory_allows(monkeypatch):
    policy = WordPolicy(llama())
    rows = rows_from(policy)
    whole, together = gradient_of(policy, rows), list(objective.micro_batches(rows, policy.model))
    longest = max(len(row.prompt_ids) + len(row.token_ids) for row in rows)
    monkeypatch.setattr(objective, "KEPT_BYTES", longest * kept_bytes(policy.model))
    apart = list(objective.micro_batches(rows, policy.model))
    assert len(together) < len(apart) == len(rows)
    assert same(gradient_of(policy, rows), whole)


def test_what_a_backward_pass_keeps_of_a_token_is_counted_over_all_layers():
    # q, k, v, o, gate, up, down: 32 + 16 + 16 + 32 + 48 + 48 + 32 numbers in each of two layers, in float32.
    assert kept_bytes(llama()) == 2.5 * 2 * 224 * 4
    assert kept_bytes(llama().to(torch.bfloat16)) == 2.5 * 2 * 224 * 2
    with learner_on(WordPolicy(llama())) as training:
        assert kept_bytes(training.model) == 2.5 * 2 * 224 * 4


@pytest.mark.parametrize("loss", LOSSES)
def test_a_rollout_that_was_drawn_twice_counts_twice_and_is_read_once(loss):
    policy = WordPolicy(llama())
    rows = rows_from(policy)
    # Whose ratios differ, so that one of the two is clipped and the other is not.
    twin = replace(
        rows[0], behaviour=tuple(each - 1.0 for each in rows[0].behaviour), advantages=rows[1].advantages[:1] * 4
    )
    settings = {"loss": loss, "entropy": 0.1}
    apart = gradient_of(policy, rows, **settings) + gradient_of(policy, [twin], **settings)
    assert same(gradient_of(policy, [*rows, twin], **settings), apart)
    with learner_on(policy, **settings) as training:
        update = training.update([*rows, twin], step=1)
    assert update["rollouts"] == len(rows) + 1
    assert update["update_tokens"] == sum(len(row.prompt_ids) + len(row.token_ids) for row in rows)


@pytest.mark.parametrize("model", [moe, gpt_oss])
def test_checkpointing_changes_no_gradient_of_a_mixture_of_experts(model):
    policy = WordPolicy(model())
    whole, again = (
        gradient_of(policy, rows_from(policy), lora_parameters=EXPERTS, checkpointing=each) for each in (False, True)
    )
    assert whole.norm() > 0 and same(again, whole)


def test_the_gradient_is_that_of_the_loss_as_it_is_written():
    """Against -sum of exp(logp - logq) A, by finite differences along the gradient."""
    policy = WordPolicy(llama().double())
    rows = rows_from(policy)
    with learner_on(policy) as training:
        training.update(rows, step=1)  # away from B = 0
        training._adapter_on()
        gradient = training.gradient(rows)
        norm = sum(float((each**2).sum()) for each in gradient.values()) ** 0.5

        def loss_at(distance):
            with torch.no_grad():
                for name, each in training._parameters.items():
                    each.add_(gradient[name] * (distance / norm))
            total = 0.0
            for row in rows:
                logprobs = token_logprobs(policy.model, [row], temperature=TEMPERATURE).chosen
                ratios = (logprobs[0] - torch.tensor(row.behaviour)).exp()
                total -= float((ratios * torch.tensor(row.advantages)).sum().detach())
            with torch.no_grad():
                for name, each in training._parameters.items():
                    each.sub_(gradient[name] * (distance / norm))
            return total

        slope = (loss_at(1e-4) - loss_at(-1e-4)) / 2e-4
    assert slope == pytest.approx(norm, rel=1e-2)


def test_the_temperature_is_the_loss_s_own():
    policy = WordPolicy(llama())
    cold = gradient_of(policy, rows_from(policy, temperature=0.25), temperature=0.25)
    warm = gradient_of(policy, rows_from(policy, temperature=1.0), temperature=1.0)
    explicit = gradient_of(policy, rows_from(policy, temperature=1.0), temperature=0.25, **{"lora_rank": 4})
    assert torch.nn.functional.cosine_similarity(cold, warm, dim=0) < 0.99
    assert not torch.allclose(explicit, cold)
    settings = Adaptation(temperature=1.0, learning_rate=1e-2, lora=Lora(rank=4))
    with PeftTrainer(policy, settings=settings, temperature=0.25, max_tokens=16, seed=0) as training:
        assert training.temperature == 1.0


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_reduction_divides_by_a_constant(reduction):
    policy = WordPolicy(llama())
    rows = rows_from(policy)
    tokens, rollouts = sum(len(row.token_ids) for row in rows), len(rows)
    divisor = {"sum": 1, "token-mean": tokens, "constant": rollouts * 16}[reduction]
    by_sum = gradient_of(policy, rows, reduction="sum")
    assert same(gradient_of(policy, rows, reduction=reduction) * divisor, by_sum)


def test_clipping_stops_the_gradient_where_the_ratio_has_left_its_bounds_in_the_direction_of_the_advantage():
    ratios = torch.tensor([0.5, 0.9, 1.2, 2.0, 0.5, 2.0], requires_grad=True)
    advantages = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0])
    settings = Adaptation(clipped=Clipped(low=0.2, high=0.28))
    LOSSES["clipped"](ratios, advantages, settings).sum().backward()
    assert ratios.grad.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, -1.0]


def test_a_penalty_on_divergence_pulls_back_and_an_entropy_bonus_flattens():
    policy = WordPolicy(llama())
    rows = rows_from(policy)
    held = [replace(row, reference=row.behaviour) for row in rows]
    free, kept = {}, {}
    for kl, results in ((0.0, free), (50.0, kept)):
        with learner_on(policy, kl=kl, learning_rate=1e-3) as training:
            for step in range(1, 6):
                results[step] = training.update(held, step=step)
            training.use_adapted("5")
            results["moved"] = sum(
                abs(a - b)
                for row, score in zip(rows, [s for group in tempered(policy) for s in group], strict=True)
                for a, b in zip(row.behaviour, score, strict=True)
            )
    assert kept["moved"] < free["moved"]

    def entropies(policy, row):
        return token_logprobs(policy.model, [row], temperature=TEMPERATURE, with_entropy=True).entropies.detach()

    def mean_entropy():
        rows = rows_from(policy)
        return sum(float(entropies(policy, row).mean()) for row in rows)

    with learner_on(policy, entropy=10.0, learning_rate=1e-3) as training:
        before = mean_entropy()
        training.update(rows_from(policy, advantages=(0.0, 0.0, 0.0)), step=1)
        training.use_adapted("1")
        assert mean_entropy() > before


def tempered(policy):
    return [score_rows(policy.model, prompt, answers, temperature=TEMPERATURE) for prompt, answers in ROWS]


@pytest.mark.parametrize("model", MODELS)
def test_the_gradient_beside_bfloat16_weights_is_about_that_beside_the_same_in_float32(model):
    half, single = MODELS[model]().bfloat16(), MODELS[model]().bfloat16().float()
    rows = rows_from(WordPolicy(single))
    with_half, with_single = (
        gradient_of(WordPolicy(each), rows, checkpointing=checkpointing)
        for each, checkpointing in ((half, True), (single, False))
    )
    assert with_half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(with_half, with_single, dim=0) > 0.97
