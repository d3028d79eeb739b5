"""Surprisal-guided selection: the correct candidate that the policy expected least.

Source: arXiv 2602.07670, section 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.selection.base import Ranking, Sees, Visible


def least_expected_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """Lowest log-probability first."""
    return [each.index for each in sorted(correct, key=lambda each: (each.logprob, each.index))]


SURPRISAL = Ranking(order=least_expected_first, sees=Sees.LOGPROBS)
