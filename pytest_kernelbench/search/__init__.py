"""Strategies that choose the next prompt, or stop, by the verdicts so far. One file each.

A search draws its K candidates in turns of ``width``. Candidate ``i`` belongs to turn ``i // width``; what its prompt
shows is a function of the recorded verdicts of the turns before, so that a run that was killed goes on at the turn
where it was, and any candidate is an ordinary one to selectors, reports and pins. A strategy that stops by itself
(``search.stopping``) draws in turns too, and looks at the verdicts after each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_kernelbench.prompting.feedback import history_of
from pytest_kernelbench.records import Judged
from pytest_kernelbench.registries import SEARCHES
from pytest_kernelbench.search.base import Search, turns
from pytest_kernelbench.strategy import SearchSettings, Strategy

__all__ = ["SEARCHES", "Search", "advice_for", "search_for", "turns", "turns_of"]


def search_for(settings: SearchSettings) -> Search:
    """The search that a strategy's ``[search]`` describes."""
    return SEARCHES[settings.method](settings)


def turns_of(strategy: Strategy) -> list[Sequence[int]]:
    """Indices of the candidates that are asked for together, before any of them is judged, turn by turn."""
    if strategy.search:
        return list(turns(strategy.indices, strategy.search.width))
    return list(turns(strategy.indices, strategy.stopping.every)) if strategy.stopping else [strategy.indices]


def advice_for(indices: Sequence[int], strategy: Strategy, known: Mapping[int, Judged]) -> dict[int, str]:
    """The end of the prompt of each of ``indices``, from the verdicts of earlier turns; empty without a search."""
    if strategy.search is None:
        return {}
    shown = search_for(strategy.search).shown(indices, known)
    return {index: history_of(shown[index], characters=strategy.search.characters) for index in indices}
