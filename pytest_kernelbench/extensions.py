"""Extensions by other projects: policies, selectors, metrics, rewards, prompts, analyses and devices.

A ``conftest.py`` or a plugin adds them by hooks (``plugin/hookspecs.py``), an installed package by entry points of the
groups ``pytest_kernelbench.policies`` and so on. An extension is added to the table of built-in objects of its kind,
for one session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from importlib import import_module, metadata
from typing import Any, NamedTuple

from pytest_kernelbench.errors import UsageError


class Kind(NamedTuple):
    """One kind of extension. ``table``: the table that it is added to, as ``module:name`` below this package.

    ``row(name, given)``: makes the table's row from an extension; returns None if ``given`` has the wrong type.
    ``wanted``: the right type in words, for the error.
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


def _device(name: str, given: Any) -> Any:
    from pytest_kernelbench.evaluation.device.traits import DeviceTraits

    return given if isinstance(given, DeviceTraits) else None


def _function(name: str, given: Any) -> Any:
    return given if callable(given) else None


KINDS: Mapping[str, Kind] = {
    "policies": Kind("policies:POLICIES", "a class with load(spec, device=...)", _policy),
    "selectors": Kind("registries:RANKINGS", "a Ranking", _selector),
    "metrics": Kind("report.metrics:METRICS", "a function of StrategyResults", _function),
    "rewards": Kind("registries:REWARDS", "a function of evaluations and settings", _function),
    "prompts": Kind("prompting.question:STYLES", "a text with {{source}} where the reference goes", _prompt),
    "analyses": Kind("report.analyses:ANALYSES", "a function of a Study", _function),
    "devices": Kind("evaluation.device.traits:DEVICES", "a DeviceTraits", _device),
}


class Added(NamedTuple):
    """One extension. ``place``: the file or package that adds it, for errors."""

    kind: str
    name: str
    given: Any
    place: str


def entry_points() -> Iterable[Added]:
    """The extensions of all installed packages."""
    # Read once: each call goes through the files of all installed packages.
    found = metadata.entry_points()
    for kind in KINDS:
        for each in found.select(group=f"pytest_kernelbench.{kind}"):
            place = f"{each.dist.name if each.dist else each.value} ({each.group})"
            yield Added(kind, each.name, each.load(), place)


class Extensions:
    """Adds extensions to the tables of this package, and removes them again."""

    def __init__(self) -> None:
        self._added: list[tuple[MutableMapping[str, Any], str]] = []

    def add(self, rows: Iterable[Added]) -> None:
        """Add ``rows`` to their tables. Raises UsageError for a name that exists and for an object of a wrong type."""
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
        """Remove all rows that were added. May be called twice."""
        while self._added:
            table, name = self._added.pop()
            del table[name]
