"""Confidence-guided selection: the correct candidate that the policy expected most."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.selection.base import Ranking, Sees, Visible


def most_expected_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """Highest log-probability first."""
    by_logprob = sorted(correct, key=lambda each: (each.logprob, -each.index), reverse=True)
    return [each.index for each in by_logprob]


CONFIDENCE = Ranking(order=most_expected_first, sees=Sees.LOGPROBS)
