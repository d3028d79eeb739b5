"""The objective: a policy-gradient term for each token, summed over a step's rollouts and divided by a constant.

To add a loss: write its function here, and add its line to ``LOSSES`` in ``registries.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_kernelbench.strategy import Adaptation

MOST_RATIO = 2.0
LEAST_OTHERS = 1e-7


def importance_sampling(ratios: Tensor, advantages: Tensor, settings: Adaptation) -> Tensor:
    """ratio * advantage, never clipped. Source: arXiv 2602.07670, batch TTT (Tinker's ``importance_sampling``)."""
    return ratios * advantages


def clipped(ratios: Tensor, advantages: Tensor, settings: Adaptation) -> Tensor:
    """min(ratio * A, clip(ratio, 1 - low, 1 + high) * A): PPO, with DAPO's two bounds (arXiv 2503.14476)."""
    within = ratios.clamp(1 - settings.clipped.low, 1 + settings.clipped.high)
    return (ratios * advantages).minimum(within * advantages)


def towards_teacher(ratios: Tensor, student: Tensor, teacher: Tensor, settings: Adaptation) -> Tensor:
    """-min(ratio, 2) * Jensen-Shannon divergence, in nats, of distributions (..., k) given as log-probabilities.

    (1 - share) KL(student || m) + share KL(teacher || m), where m = (1 - share) student + share teacher; for a share of
    0 KL(teacher || student), for 1 KL(student || teacher). No gradient goes through the ratio, which is a weight.
    Source: SDPO, arXiv 2601.20802, and its code.
    """
    share = settings.sdpo.teacher_share
    if share in (0, 1):
        distance = _kl(teacher, student) if share == 0 else _kl(student, teacher)
    else:
        mixture = (student + math.log(1 - share)).logaddexp(teacher + math.log(share))
        distance = (1 - share) * _kl(student, mixture) + share * _kl(teacher, mixture)
    return -ratios.detach().clamp(max=MOST_RATIO) * distance


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (p.exp() * (p - q)).sum(-1)


def with_others(logprobs: Tensor) -> Tensor:
    """Log-probabilities (..., k + 1): of the k given tokens, then of all other tokens together."""
    # Where they hold everything, rounding may take their sum beyond 1.
    held = logprobs.logsumexp(-1, keepdim=True).clamp(max=-LEAST_OTHERS)
    return torch.cat([logprobs, (-held.expm1()).log()], dim=-1)


def divergence(logprobs: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) in nats a token, from tokens that the policy drew; never negative.

    Source: the k3 estimator, J. Schulman, "Approximating KL divergence" (2020).
    """
    log_ratio = reference - logprobs
    return log_ratio.exp() - 1 - log_ratio
