"""What stands in place of an interval that does not hold, or beside one that needs more tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
