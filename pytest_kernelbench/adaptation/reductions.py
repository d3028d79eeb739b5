"""Divisors of a loss, which is a sum over a step's tokens: (tokens, rollouts trained on, max_tokens) to a number."""

from __future__ import annotations


def one(tokens: int, rollouts: int, max_tokens: int) -> float:
    """1: the loss stays a sum, as in Tinker (arXiv 2602.07670)."""
    return 1.0


def number_of_tokens(tokens: int, rollouts: int, max_tokens: int) -> float:
    """The number of tokens that are trained on: every token has the same weight. Source: DAPO, arXiv 2503.14476."""
    return float(tokens)


def most_tokens(tokens: int, rollouts: int, max_tokens: int) -> float:
    """The most tokens that the rollouts could have had: a token's weight does not depend on its answer's length.

    Source: Dr. GRPO, arXiv 2503.20783.
    """
    return float(rollouts * max_tokens)
