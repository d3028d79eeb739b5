"""Lines in place of an interval that does not hold, or beside one that needs more tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kernelbench.report.stats import NO_INTERVAL


def interval_warnings(strategies: Mapping[str, Any]) -> list[str]:
    """A line for each reason not to rely on the interval of a geometric mean, with the strategies it holds for."""
    named: dict[str, list[str]] = {}
    for name, each in strategies.items():
        if (warning := each["warnings"].get("geomean_speedup")) is not None:
            named.setdefault(warning, []).append(name)
    whose = {
        warning: "" if len(names) == len(strategies) else f" of {', '.join(names)}" for warning, names in named.items()
    }
    return [f"geomean{whose[warning]}: {warning}" for warning in named]


def caution_of(estimates: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The cautions beside intervals of these means: estimates or curves of ``report.json``; None is skipped.

    At most two sentences: of how few tasks they are, the first that are few, and that some have no interval.
    """
    warnings = [each["warning"] for each in estimates if each is not None and each.get("warning")]
    few = [each for each in warnings if not each.endswith(NO_INTERVAL)]
    carried = ["one or two tasks carry some of these means, which have no interval"]
    return [*(f"means {each}" for each in few[:1]), *(carried if len(few) < len(warnings) else [])]


def cautioned(estimates: Iterable[Mapping[str, Any] | None]) -> str:
    """``caution_of`` as sentences for the end of a caption, with a space before each; empty without a caution."""
    return "".join(f" {each[0].upper()}{each[1:]}." for each in caution_of(estimates))
