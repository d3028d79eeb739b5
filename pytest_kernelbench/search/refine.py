"""Chains: each next prompt shows the previous answer of its chain and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_kernelbench.records import Judged

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import SearchSettings


class Refine:
    """``width`` chains side by side; candidate ``i`` is turn ``i // width`` of chain ``i % width``."""

    def __init__(self, settings: SearchSettings) -> None:
        self._width = settings.width
        self._history = settings.history

    def shown(self, indices: Sequence[int], known: Mapping[int, Judged]) -> dict[int, list[Judged]]:
        """The last ``history`` answers of the same chain."""
        return {
            index: [known[each] for each in range(index % self._width, index, self._width) if each in known][
                -self._history :
            ]
            for index in indices
        }
