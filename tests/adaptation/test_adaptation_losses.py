"""Losses on whole distributions: against TRL's SDPO and by hand; a teacher that agrees gives no gradient."""

from dataclasses import replace

import pytest
import torch
from made_up_policies import ROWS, WordPolicy
from policies.random_models import VOCABULARY, llama

from pytest_kernelbench.adaptation.losses import towards_teacher, with_others
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import Lesson, TrainingRow
from pytest_kernelbench.policies.causal_lm import distributions, score_rows
from pytest_kernelbench.strategy import Adaptation, Sdpo

TEMPERATURE = 0.5


def logits(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.filterwarnings("ignore")  # TRL, datasets and pandas warn of their own affairs.
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [1, 4, 40])
def test_loss_and_gradient_are_those_of_trl_s_sdpo(share, k):
    from trl.experimental.sdpo.loss_utils import compute_topk_self_distillation_loss

    student, teacher = logits(0, 2, 5, 40).requires_grad_(), logits(1, 2, 5, 40)
    theirs = compute_topk_self_distillation_loss(
        student, teacher, distillation_topk=k, distillation_alpha=share, distillation_add_tail=True
    )
    their_gradient = torch.autograd.grad(theirs.sum(), student)[0]
    tokens = student.topk(k).indices
    scored, taught = (with_others(each.log_softmax(-1).gather(-1, tokens)) for each in (student, teacher))
    ours = -towards_teacher(torch.ones(2, 5), scored, taught, Adaptation(sdpo=Sdpo(teacher_share=share)))
    assert torch.allclose(ours, theirs, atol=1e-3)
    gradient = torch.autograd.grad(ours.sum(), student)[0]
    assert torch.nn.functional.cosine_similarity(gradient.flatten(), their_gradient.flatten(), dim=0) > 0.9999
    assert float(gradient.norm()) == pytest.approx(float(their_gradient.norm()), rel=1e-3)


def test_a_ratio_weighs_by_at_most_two_and_takes_no_gradient():
    student, teacher = logits(0, 3, 4).log_softmax(-1), logits(1, 3, 4).log_softmax(-1)
    ratios = torch.tensor([0.5, 1.0, 5.0], requires_grad=True)
    by_ratio, plain = (towards_teacher(each, student, teacher, Adaptation()) for each in (ratios, torch.ones(3)))
    assert (by_ratio / plain).tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert not by_ratio.requires_grad


def taught_rows(policy, teacher, *, k):
    """Rollouts of two prompts, with what ``teacher`` makes of them."""
    rows = []
    for prompt, answers in ROWS:
        behaviour = score_rows(policy.model, prompt, answers, temperature=TEMPERATURE)
        for answer, logprobs in zip(answers, behaviour, strict=True):
            own, theirs = (
                torch.cat(list(distributions(model, prompt, [answer], temperature=TEMPERATURE)), dim=1)[0].clone()
                for model in (policy.model, teacher)
            )
            tokens = own.topk(k).indices
            rows.append(
                TrainingRow(
                    prompt_ids=prompt,
                    token_ids=answer,
                    behaviour=logprobs,
                    advantages=(1.0,) * len(answer),
                    lesson=Lesson(tokens, theirs.gather(1, tokens)),
                )
            )
    return rows


def learner_on(policy, **settings):
    settings = Adaptation.from_json({"learning_rate": 1e-2, "lora_rank": 4, "distil": "distribution", **settings})
    return PeftTrainer(policy, settings=settings, temperature=TEMPERATURE, max_tokens=16, seed=0)


def other_llama():
    model = llama()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def flat(gradient):
    return torch.cat([each.flatten() for each in gradient.values()])


def test_over_the_whole_vocabulary_the_gradient_is_that_of_the_divergence_as_it_is_written():
    policy, teacher = WordPolicy(llama()), other_llama()
    rows = taught_rows(policy, teacher, k=VOCABULARY)
    with learner_on(policy) as training:
        ours = flat(training.gradient(rows))
        total = 0.0
        training._adapter_on()
        for row in rows:
            tokens = torch.tensor([row.prompt_ids + row.token_ids[:-1]])
            length = len(row.token_ids)
            p = (training.model(tokens).logits[0, -length:] / TEMPERATURE).softmax(-1)
            with torch.no_grad():
                q = (teacher(tokens).logits[0, -length:] / TEMPERATURE).softmax(-1)
            m = (p + q) / 2
            total = total + 0.5 * ((p * (p / m).log()).nan_to_num() + (q * (q / m).log()).nan_to_num()).sum()
        total.backward()
        plain = torch.cat([each.grad.flatten() for each in training._parameters.values()])
    assert ours.norm() > 0
    assert torch.nn.functional.cosine_similarity(ours, plain, dim=0) > 0.999
    assert float(ours.norm()) == pytest.approx(float(plain.norm()), rel=1e-2)


def test_a_teacher_who_says_the_same_teaches_nothing_and_another_is_approached():
    policy, teacher = WordPolicy(llama()), other_llama()
    with learner_on(policy) as training:
        to_itself = flat(training.gradient(taught_rows(policy, policy.model, k=8)))
        rows = taught_rows(policy, teacher, k=8)
        assert to_itself.norm() < 1e-3 * flat(training.gradient(rows)).norm()
        losses = [training.update(rows, step=step)["loss"] for step in range(1, 4)]
    assert 0 < losses[2] < losses[0]


def test_equal_rollouts_of_which_one_is_not_taught_or_taught_otherwise_are_told_apart():
    policy = WordPolicy(llama())
    taught = taught_rows(policy, other_llama(), k=8)
    otherwise = [replace(row, lesson=Lesson(row.lesson.tokens, row.lesson.logprobs.roll(1, 0))) for row in taught]
    masked = [replace(row, lesson=None) for row in taught]
    with learner_on(policy) as training:
        first, second = (flat(training.gradient(rows)) for rows in (taught, otherwise))
        for rows, expected in (
            (masked + taught, first),
            (taught + masked, first),
            (taught + otherwise, first + second),
        ):
            assert float((flat(training.gradient(rows)) - expected).norm()) < 1e-4 * float(expected.norm())
