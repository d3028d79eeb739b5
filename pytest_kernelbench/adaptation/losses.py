"""What is minimised: a policy-gradient term for each token, summed over a step's rollouts and divided by a constant.

To add a loss or a reduction: write its function, add its line to the table and its name to ``strategy``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pytest_kernelbench.strategy import Adaptation


def importance_sampling(ratios: Tensor, advantages: Tensor, settings: Adaptation) -> Tensor:
    """ratio * advantage, never clipped. Source: arXiv 2602.07670, batch TTT (Tinker's ``importance_sampling``)."""
    return ratios * advantages


def clipped(ratios: Tensor, advantages: Tensor, settings: Adaptation) -> Tensor:
    """min(ratio * A, clip(ratio, 1 - low, 1 + high) * A): PPO, with DAPO's two bounds (arXiv 2503.14476)."""
    within = ratios.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    return (ratios * advantages).minimum(within * advantages)


def divergence(logprobs: Tensor, reference: Tensor) -> Tensor:
    """KL(policy || reference) in nats a token, from tokens that the policy drew; never negative.

    Source: the k3 estimator, J. Schulman, "Approximating KL divergence" (2020).
    """
    log_ratio = reference - logprobs
    return log_ratio.exp() - 1 - log_ratio


# (ratios, advantages, settings) to the objective of each token; all of one shape.
LOSSES: dict[str, Callable[[Tensor, Tensor, Adaptation], Tensor]] = {
    "importance-sampling": importance_sampling,
    "clipped": clipped,
}

# (tokens trained on, rollouts trained on, max_tokens) to what the sum over tokens is divided by.
REDUCTIONS: dict[str, Callable[[int, int, int], float]] = {
    "sum": lambda tokens, rollouts, max_tokens: 1.0,
    "token-mean": lambda tokens, rollouts, max_tokens: float(tokens),
    "constant": lambda tokens, rollouts, max_tokens: float(rollouts * max_tokens),  # Dr. GRPO's
}
