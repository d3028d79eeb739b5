"""Oracle: look at every timing and take the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from pytest_kernelbench.selection.base import Ranking, Sees, Visible


def fastest_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """Largest speed-up first, candidates that were not timed last."""
    slowness = {each.index: inf if each.speedup is None else -each.speedup for each in correct}
    return sorted(slowness, key=lambda index: (slowness[index], index))


FASTEST = Ranking(order=fastest_first, sees=Sees.TIMINGS)
