"""The engine on small random models: the right gradient, the right weights back, nothing left behind."""

import json
from dataclasses import replace

import pytest
import torch
from made_up_policies import ROWS, WordPolicy, gpt_oss, moe
from policies.random_models import llama

from pytest_kernelbench.adaptation import objective
from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.adaptation.objective import token_logprobs
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.shapes import kept_bytes
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.policies.adapters import with_adapter
from pytest_kernelbench.policies.causal_lm import score_rows
from pytest_kernelbench.records import Task
from pytest_kernelbench.registries import LOSSES, REDUCTIONS
from pytest_kernelbench.strategy import Adaptation, Clipped, Lora, Sampling

MODELS = {"tied": llama, "untied": lambda: llama(tie_word_embeddings=False), "moe": moe, "gpt-oss": gpt_oss}
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


@pytest.mark.parametrize("model", MODELS)
def test_before_the_first_update_every_importance_ratio_is_1(model):
    policy = WordPolicy(MODELS[model]())
    with learner_on(policy) as training:
        update = training.update(rows_from(policy), step=1)
    for ratio in ("ratio_min", "ratio_mean", "ratio_max"):
        assert update[ratio] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_an_adapter_that_is_off_or_taken_off_leaves_the_policy_as_it_was_to_the_bit(model):
    policy = WordPolicy(MODELS[model]())
    before, loaded = scores(policy), policy.model
    with learner_on(policy) as training:
        assert scores(policy) == before
        training.update(rows_from(policy), step=1)
        training.use_adapted("other")
        assert policy.version == "other" and scores(policy) != before
        training.use_loaded()
        assert policy.version == "made-up" and scores(policy) == before
    assert policy.model is loaded and scores(policy) == before


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_that_is_loaded_again_changes_nothing(model, tmp_path):
    policy = WordPolicy(MODELS[model]())
    rows = rows_from(policy)
    with learner_on(policy) as training:
        training.update(rows, step=1)
        training.checkpoint({"loss": 1.5}).write(tmp_path / "step-0001")
        training.use_adapted("1")
        first = scores(policy)
        training.update(rows, step=2)
        training.use_adapted("2")
        second = scores(policy)
    with learner_on(policy) as training:
        training.load(tmp_path / "step-0001", step=1)
        training.use_adapted("1")
        assert scores(policy) == first
        training.update(rows, step=2)  # from the optimizer's state as it was, too
        training.use_adapted("2")
        assert scores(policy) == second
        training.load(None, step=0)
        training.use_adapted("0")
        assert scores(policy) == scores(WordPolicy(MODELS[model]()))
    assert Checkpoint.read(tmp_path / "step-0001").update == {"loss": 1.5}


def test_peft_loads_the_checkpoint_and_gives_the_same_log_probabilities(tmp_path):
    policy = WordPolicy(llama())
    with learner_on(policy) as training:
        training.update(rows_from(policy), step=1)
        training.checkpoint({}).write(tmp_path / "adapter")
        training.use_adapted("1")
        adapted = scores(policy)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 4
    again = WordPolicy(with_adapter(llama(), tmp_path / "adapter", "made-up"))
    assert scores(again) == adapted


def test_a_policy_with_an_adapter_goes_on_from_a_copy_of_it_and_keeps_its_own(tmp_path):
    policy = WordPolicy(llama())
    with learner_on(policy) as training:
        training.update(rows_from(policy), step=1)
        training.checkpoint({}).write(tmp_path / "adapter")
    policy = WordPolicy(with_adapter(llama(), tmp_path / "adapter", "made-up"))
    start = scores(policy)
    with learner_on(policy, lora_rank=2) as training:
        training.use_adapted("0")
        assert scores(policy) == start
        update = training.update(rows_from(policy), step=1)
        assert update["ratio_max"] == pytest.approx(1, abs=1e-5)
        training.use_adapted("1")
        assert scores(policy) != start
        training.use_loaded()
        assert scores(policy) == start
        assert training.checkpoint({}).config["r"] == 4
    assert scores(policy) == start
    assert list(policy.model.peft_config) == ["default"]


EXPERTS = "mlp.experts.gate_up_proj, mlp.experts.down_proj"


@pytest.mark.parametrize("model", [moe, gpt_oss])
def test_experts_that_are_no_layers_are_adapted_where_they_are_named(model, tmp_path):
    policy = WordPolicy(model())
    before, rows = scores(policy), rows_from(policy)
    with learner_on(policy, lora_targets="q_proj", lora_parameters=EXPERTS) as training:
        assert any("experts" in name for name in training.checkpoint({}).adapter)
        update = training.update(rows, step=1)
        assert (update["ratio_min"], update["ratio_max"]) == pytest.approx((1, 1), abs=1e-5)
        training.checkpoint({}).write(tmp_path / "adapter")
        training.use_adapted("1")
        adapted = scores(policy)
        training.use_loaded()
        assert scores(policy) == before != adapted
    assert scores(policy) == before
    policy = WordPolicy(with_adapter(model(), tmp_path / "adapter", "made-up"))
    assert scores(policy) == adapted
    with learner_on(policy) as training:
        training.update(rows_from(policy), step=1)
        training.use_adapted("2")
        assert scores(policy) != adapted
        training.use_loaded()
        assert scores(policy) == adapted


def test_an_update_makes_what_was_rewarded_likelier_and_what_was_punished_less_likely():
    policy = WordPolicy(llama())
    before = scores(policy)
    with learner_on(policy, learning_rate=1e-3) as training:
        training.update(rows_from(policy, advantages=(1.0, -1.0, 0.0)), step=1)
        training.use_adapted("1")
        after = scores(policy)
    for then, now in zip(before, after, strict=True):
        assert sum(now[0]) > sum(then[0]) and sum(now[1]) < sum(then[1])


def test_a_learning_rate_of_0_moves_nothing():
    policy = WordPolicy(llama())
    before = scores(policy)
    with learner_on(policy, learning_rate=0.0) as training:
        training.update(rows_from(policy), step=1)
        training.use_adapted("1")
        assert scores(policy) == before


def test_without_an_advantage_there_is_no_step_whatever_momentum_says():
    policy = WordPolicy(llama())
    with learner_on(policy) as training:
        training.update(rows_from(policy), step=1)
        training.use_adapted("1")
        first = scores(policy)
        update = training.update(rows_from(policy, advantages=(0.0, 0.0, 0.0)), step=2)
        assert scores(policy) == first
    assert (update["rollouts"], update["update_tokens"], update["grad_norm"]) == (0, 0, 0.0)


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


def test_what_is_not_finite_is_refused_and_the_weights_stay():
    policy = WordPolicy(llama())
    before = scores(policy)
    rows = rows_from(policy, advantages=(float("inf"), 1.0, 1.0))
    with learner_on(policy) as training:
        assert training.update(rows, step=1) is None
        training.use_adapted("1")
        assert scores(policy) == before


def test_bfloat16_weights_carry_a_float32_adapter():
    policy = WordPolicy(llama().bfloat16())
    with learner_on(policy) as training:
        assert {each.dtype for each in training._parameters.values()} == {torch.float32}
        before = {name: each.detach().clone() for name, each in training._parameters.items()}
        update = training.update(rows_from(policy), step=1)
        assert any(not torch.equal(each, before[name]) for name, each in training._parameters.items())
    assert update["ratio_mean"] == pytest.approx(1, abs=0.1)
    assert policy.model.dtype == torch.bfloat16


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


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.2)])
def test_on_a_gpu_a_step_is_taken_sampled_from_and_loaded_again(model, dtype, tolerance, tmp_path):
    policy = WordPolicy(MODELS[model]().to("cuda", dtype))
    task, sampling = Task(id="level1/1_A", source="relu"), Sampling(k=6, temperature=TEMPERATURE, max_tokens=12)

    def check_samples():
        drawn = list(policy.sample(task, sampling, seed=0, indices=range(sampling.k)))
        scored = policy.score(task, "module", [each.token_ids for each in drawn])
        for each, logprobs in zip(drawn, scored, strict=True):
            assert logprobs == pytest.approx(each.logprobs, abs=5 * tolerance)

    def flat():
        return torch.tensor([value for group in scores(policy) for row in group for value in row])

    check_samples()
    before = flat()
    with learner_on(policy) as training:
        update = training.update(rows_from(policy), step=1)
        assert update["ratio_mean"] == pytest.approx(1, abs=tolerance)
        training.checkpoint({}).write(tmp_path / "adapter")
        training.use_adapted("1")
        check_samples()
        adapted = flat()
        training.load(None, step=0)
        training.load(Checkpoint.read(tmp_path / "adapter"), step=1)
        # Experts add up in any order on a GPU.
        assert torch.allclose(flat(), adapted, atol=tolerance) and not torch.allclose(adapted, before, atol=tolerance)
    assert torch.allclose(flat(), before, atol=tolerance)


def test_one_seed_gives_one_adapter_and_dropout_is_repeated_too():
    def adapted(seed):
        policy = WordPolicy(llama())
        settings = Adaptation(learning_rate=1e-2, lora=Lora(rank=4, dropout=0.2))
        with PeftTrainer(policy, settings=settings, temperature=TEMPERATURE, max_tokens=16, seed=seed) as training:
            torch.rand(3)  # whatever else draws
            training.update(rows_from(policy), step=1)
            return training.checkpoint({}).adapter

    first, again, other = adapted(1), adapted(1), adapted(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_average_leans_towards_each_step_in_turn_and_is_borrowed_without_a_trace():
    policy = WordPolicy(llama())
    with learner_on(policy) as training:
        start = training.checkpoint({}).adapter
        steps = []
        for step in (1, 2):
            training.update(rows_from(policy), step=step)
            steps.append(training.checkpoint({}).adapter)
        average = training.average(steps, rate=0.25)
        for name, weight in average.items():
            expected = 0.75 * (0.75 * start[name] + 0.25 * steps[0][name]) + 0.25 * steps[1][name]
            assert torch.allclose(weight, expected, atol=1e-6)
        training.use_adapted("2")
        before = scores(policy)
        with training.borrowed(average):
            assert scores(policy) not in (before, scores(WordPolicy(llama())))
        assert scores(policy) == before and policy.version == "2"
        training.use_loaded()
        with training.borrowed(average):
            pass
        assert scores(policy) == scores(WordPolicy(llama()))


def test_targets_that_match_nothing_are_an_error_in_one_line():
    with pytest.raises(UsageError) as caught:
        learner_on(WordPolicy(llama()), lora_targets="nothing")
    assert str(caught.value) == (
        '--policy=made-up: [adaptation.lora] targets = "nothing" fits nothing in this model; '
        'write "all-linear", or some of down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj'
    )
