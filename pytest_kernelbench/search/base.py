"""The interface of a search: from the verdicts so far to the earlier answers that each next prompt shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_kernelbench.records import Judged

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import SearchSettings


class Search(Protocol):
    """``shown`` depends on ``known`` alone: the same verdicts give the same prompts, after a crash too."""

    def __init__(self, settings: SearchSettings) -> None: ...

    def shown(self, indices: Sequence[int], known: Mapping[int, Judged]) -> dict[int, list[Judged]]:
        """The earlier answers that the prompt of each of ``indices`` shows, the newest last; empty: none.

        ``known`` holds every candidate of the turns before, by index.
        """
        ...


def turns(indices: Sequence[int], width: int) -> Iterator[Sequence[int]]:
    """Indices of each turn, in order; the last turn may be shorter."""
    for begin in range(0, len(indices), width):
        yield indices[begin : begin + width]
