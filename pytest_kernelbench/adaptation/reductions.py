"""Divisors of a loss, which is a sum over a step's tokens: (tokens, rollouts trained on, max_tokens) to a number."""

from __future__ import annotations


def one(tokens: int, rollouts: int, max_tokens: int) -> float:
    """Nothing: the sum stays a sum, as Tinker's losses have it (arXiv 2602.07670)."""
    return 1.0


def number_of_tokens(tokens: int, rollouts: int, max_tokens: int) -> float:
    """The tokens that are trained on: every token weighs the same. Source: DAPO, arXiv 2503.14476."""
    return float(tokens)


def most_tokens(tokens: int, rollouts: int, max_tokens: int) -> float:
    """The tokens that the rollouts could have had: the length of an answer does not weigh.

    Source: Dr. GRPO, arXiv 2503.20783.
    """
    return float(rollouts * max_tokens)
