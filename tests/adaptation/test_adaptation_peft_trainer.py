"""The engine on small random models: adapters, updates and checkpoints, and nothing left behind."""

import json

import pytest
import torch
from made_up_policies import WordPolicy, gpt_oss, moe
from peft_training import EXPERTS, MODELS, TEMPERATURE, learner_on, rows_from, scores
from policies.random_models import llama

from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.policies.adapters import with_adapter
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Lora, Sampling


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
