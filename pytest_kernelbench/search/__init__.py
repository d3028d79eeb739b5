"""Strategies that look at verdicts and ask again: which earlier answers the next prompt shows. One file each.

A search draws its K candidates in turns of ``width``. Candidate ``i`` belongs to turn ``i // width``; what its prompt
shows is a function of the recorded verdicts of the turns before, so that a run that was killed goes on at the turn
where it was, and any candidate is an ordinary one to selectors, reports and pins.
"""

from pytest_kernelbench.search.base import Search, turns
from pytest_kernelbench.search.evolve import Evolve
from pytest_kernelbench.search.refine import Refine

__all__ = ["SEARCHES", "Search", "search_for", "turns"]

SEARCHES: dict[str, type[Search]] = {"evolve": Evolve, "refine": Refine}


def search_for(settings: object) -> Search:
    """The search that a strategy's ``[search]`` describes."""
    return SEARCHES[settings.method](settings)  # type: ignore[attr-defined]
