"""From a TOML table to a section's dataclass: keys must be known, values of the right type and within limits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar

from pytest_kernelbench.errors import StrategyError, suggestion

Section = TypeVar("Section")

KINDS = {"int": "a whole number", "float": "a number", "str": "a string", "bool": "true or false"}


def section_of(cls: type[Section], table: Mapping[str, Any], name: str, place: str) -> Section:
    """The section ``[name]`` as a value of the dataclass ``cls``, whose fields have the limits in their metadata.

    ``place``: the file or option that the table comes from, for errors. Raises StrategyError for an unknown key or a
    wrong value.
    """
    rows = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in rows or "set_by" in rows[key].metadata:
            raise StrategyError(f'{place}: [{name}] unknown key "{key}"{did_you_mean(key, keys_of(cls))}')
        inner = rows[key].metadata.get("section")
        if inner is None:
            values[key] = _checked(rows[key], value, f"{place}: [{name}] {key}")
        elif isinstance(value, dict):
            values[key] = section_of(inner, value, f"{name}.{key}", place)
        else:
            raise StrategyError(f"{place}: {name}.{key} must be a section; write [{name}.{key}] above its keys")
    return cls(**values)


def keys_of(cls: type[Any]) -> list[str]:
    """The keys that a file may write in the section of the dataclass ``cls``."""
    return [each.name for each in fields(cls) if "set_by" not in each.metadata]


def _checked(row: Field[Any], value: Any, place: str) -> Any:
    kind, limits = str(row.type).removesuffix(" | None"), row.metadata
    if kind == "float" and is_number(value):
        value = float(value)
    if type(value).__name__ != kind or (kind == "float" and not math.isfinite(value)):
        raise StrategyError(f"{place} must be {KINDS[kind]}, not {quoted(value)}")
    if "minimum" in limits and value < limits["minimum"]:
        raise StrategyError(f"{place} must be at least {limits['minimum']}, not {quoted(value)}")
    if "maximum" in limits and value > limits["maximum"]:
        raise StrategyError(f"{place} must be at most {limits['maximum']}, not {quoted(value)}")
    if "choices" in limits and value not in limits["choices"]:
        raise StrategyError(f"{place} must be {' or '.join(limits['choices'])}, not {quoted(value)}")
    return value


def gate_of(table: Mapping[str, Any], place: str) -> dict[str, float]:
    """``[gate]``: the least value of each metric. Raises StrategyError."""
    for metric, minimum in table.items():
        if not is_number(minimum):
            raise StrategyError(f"{place}: [gate] {metric} must be a number, not {quoted(minimum)}")
    return {metric: float(minimum) for metric, minimum in table.items()}


def did_you_mean(word: str, known: Iterable[str], shown: str = '"{}"') -> str:
    """``; did you mean "temperature"?``, or all known words if none is similar: ``; there are k, temperature``."""
    words = list(known)
    return "; " + (
        suggestion(word, words, shown) or "there are " + ", ".join(shown.format(each).strip('"') for each in words)
    )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def quoted(value: Any) -> str:
    """A value as it is shown in an error."""
    return json.dumps(value, default=str)
