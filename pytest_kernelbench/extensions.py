"""What others add without changing this package: policies, selectors, metrics, rewards, prompts and analyses.

A ``conftest.py`` or a plugin adds them by hooks (``plugin/hookspecs.py``), an installed package by entry points, of
which the group is ``pytest_kernelbench.policies`` and so on. A row is put into the table of this package that has the
built-in ones, for one session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from importlib import import_module, metadata
from typing import Any, NamedTuple

from pytest_kernelbench.errors import UsageError


class Kind(NamedTuple):
    """Where the rows of a kind lie, as ``module:table`` below this package, and what an added row must be.

    ``row`` makes the table's row of a name and what was given for it, or returns None where that is not ``wanted``.
    """

    table: str
    wanted: str
    row: Callable[[str, Any], Any]


def _policy(name: str, given: Any) -> Any:
    from pytest_kernelbench.policies import PolicyRow

    if not callable(getattr(given, "load", None)):
        return None
    return PolicyRow(module="", loader=given, form=getattr(given, "form", name))


def _selector(name: str, given: Any) -> Any:
    from pytest_kernelbench.selection import Ranking

    return given if isinstance(given, Ranking) else None


def _prompt(name: str, given: Any) -> Any:
    from pytest_kernelbench.prompting.question import SOURCE

    return given if isinstance(given, str) and SOURCE in given else None


def _function(name: str, given: Any) -> Any:
    return given if callable(given) else None


KINDS: Mapping[str, Kind] = {
    "policies": Kind("policies:POLICIES", "a class with load(spec, device=...)", _policy),
    "selectors": Kind("registries:RANKINGS", "a Ranking", _selector),
    "metrics": Kind("report.metrics:METRICS", "a function of StrategyResults", _function),
    "rewards": Kind("registries:REWARDS", "a function of evaluations and settings", _function),
    "prompts": Kind("prompting.question:STYLES", "a text with {{source}} where the reference goes", _prompt),
    "analyses": Kind("report.analyses:ANALYSES", "a function of a Study", _function),
}


class Added(NamedTuple):
    """One row that somebody adds; ``place`` says where, in an error."""

    kind: str
    name: str
    given: Any
    place: str


def entry_points() -> Iterable[Added]:
    """What installed packages add."""
    for kind in KINDS:
        for each in metadata.entry_points(group=f"pytest_kernelbench.{kind}"):
            place = f"{each.dist.name if each.dist else each.value} ({each.group})"
            yield Added(kind, each.name, each.load(), place)


class Extensions:
    """The rows that were added to the tables of this package, until ``remove``."""

    def __init__(self) -> None:
        self._added: list[tuple[MutableMapping[str, Any], str]] = []

    def add(self, rows: Iterable[Added]) -> None:
        """Put ``rows`` into their tables. Raises UsageError for a name that is taken and for what is no such row."""
        for each in rows:
            kind = KINDS[each.kind]
            module, _, attribute = kind.table.partition(":")
            table = getattr(import_module(f"pytest_kernelbench.{module}"), attribute)
            if each.name in table:
                raise UsageError(f'{each.place}: {each.kind} has "{each.name}" already; choose another name')
            row = kind.row(each.name, each.given)
            if row is None:
                raise UsageError(f'{each.place}: {each.kind} "{each.name}" must be {kind.wanted}, not {each.given!r}')
            table[each.name] = row
            self._added.append((table, each.name))

    def remove(self) -> None:
        """Take the rows out again; may be called twice."""
        while self._added:
            table, name = self._added.pop()
            del table[name]
