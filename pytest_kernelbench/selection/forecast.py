"""The policy's own forecast: the correct candidate that it names when it is asked which of them is the fastest."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.selection.base import Ranking, Sees, Visible
from pytest_kernelbench.selection.surprisal import least_expected_first


def named_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """The one that was named, if one was, then the others by surprisal."""
    named = [each.index for each in correct if each.named]
    return named + [index for index in least_expected_first(correct, seed) if index not in named]


FORECAST = Ranking(order=named_first, sees=Sees.FORECAST)
