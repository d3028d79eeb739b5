"""Self-certainty: the correct candidate during which the policy was surest of every next token.

Source: Kang, Zhao and Song, "Scalable Best-of-N Selection for Large Language Models via Self-Certainty", arXiv
2502.18581. Unlike a log-probability it is a property of the whole distributions and not of the tokens drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.selection.base import Ranking, Sees, Visible


def most_certain_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """Highest mean divergence of the next token's distribution from the uniform one first."""
    by_certainty = sorted(correct, key=lambda each: (each.self_certainty, -each.index), reverse=True)
    return [each.index for each in by_certainty]


SELF_CERTAINTY = Ranking(order=most_certain_first, sees=Sees.SELF_CERTAINTY)
