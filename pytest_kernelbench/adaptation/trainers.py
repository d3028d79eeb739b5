"""The trainer of a policy: the line of ``TRAINERS`` that the policy's ``trained_by`` names."""

from __future__ import annotations

from typing import Any

from pytest_kernelbench.adaptation.trainer import Trainer
from pytest_kernelbench.policies import Policy
from pytest_kernelbench.registries import TRAINERS
from pytest_kernelbench.strategy import Adaptation


def trainer_of(policy: Policy, settings: Adaptation, *, temperature: float, max_tokens: int, seed: int) -> Trainer:
    """The trainer for ``policy``, which ``require_trainable`` has let through. Raises PolicyError or UsageError.

    ``temperature`` and ``max_tokens`` are the sampler's.
    """
    make = TRAINERS[policy.trained_by]  # type: ignore[attr-defined]
    return make(policy, settings=settings, temperature=temperature, max_tokens=max_tokens, seed=seed)


def said_of(described: Any) -> str:
    """``Trainer.described`` as one line for the terminal."""
    if "said" in described:
        return str(described["said"])
    from pytest_kernelbench.adaptation import lora

    return lora.said_of(described)
