"""Random selection: the control that every score must beat."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.selection.base import Ranking, Sees, Visible


def in_random_order(correct: Sequence[Visible], seed: int) -> list[int]:
    """A random order that depends on the seed, the task and each candidate's index, and on nothing else.

    A candidate's place is a hash, so it does not change when another candidate turns out correct, and it is
    independent of other random draws with the same seed.
    """
    return sorted(
        (each.index for each in correct),
        key=lambda index: sha256_of(f"uniform\0{seed}\0{correct[0].task}\0{index}"),
    )


RANDOM = Ranking(order=in_random_order, sees=Sees.VERDICTS)
