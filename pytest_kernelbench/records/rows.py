"""Shared by all records: the hash of a text, and conversion of a dataclass to and from JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar

Record = TypeVar("Record")
# The JSON types of a field, by the outer part of its annotation. Fields with other annotations are not checked.
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "tuple": ((list, tuple), "a list"),
    "Mapping": ((Mapping,), "an object"),
}


def sha256_of(text: str) -> str:
    """Hexadecimal SHA-256 of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def json_text(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON of RFC 8259, which has neither infinity nor NaN.

    Raises ValueError for a value that JSON lacks; of a number it names the place: ``seconds.build is inf; ...``.
    """
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        refuse_what_is_not_finite(value)
        raise
    except TypeError as error:
        raise ValueError(str(error)) from error


def refuse_what_is_not_finite(value: Any) -> None:
    """Raises ValueError, which names the place, for an infinite number or NaN at any depth of a JSON value."""
    for place, number in _not_finite(value, ""):
        raise ValueError(f"{place} is {number}; a number that is not finite must be None") from None


def _not_finite(value: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not isfinite(value):
        yield place or "it", value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _not_finite(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _not_finite(each, f"{place}[{number}]")


def fields_of(cls: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a JSON object that are fields of the dataclass ``cls``, lists as tuples. Other keys are dropped.

    Raises ValueError, which names them, if ``row`` lacks fields that have no default, and for a value whose type is not
    the field's.
    """
    names: Mapping[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    missing = [name for name in _needed(cls) if name not in row]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    values = {name: row[name] for name in names if name in row}
    for name, value in values.items():
        refuse_another_type(name, value, str(names[name].type))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def refuse_another_type(name: str, value: Any, annotation: str) -> None:
    """Raises ValueError (``speedup is "x", not a number``) for a JSON value that is not of the annotated type.

    ``annotation``: as in the source, such as ``tuple[float, ...] | None``. Of a list, the elements are checked too.
    """
    outer, element, optional = _parts(annotation)
    if outer is None or (optional and value is None):
        return
    types, said = _TYPES[outer]
    if not _is(type(value), types):
        raise ValueError(f"{name} is {json.dumps(value, default=str)[:60]}, not {said}")
    if outer == "tuple" and element is not None:
        types, said = _TYPES[element]
        if not all(_is(each, types) for each in set(map(type, value))):
            raise ValueError(f"{name} is {json.dumps(value, default=str)[:60]}, of which each must be {said}")


def _is(kind: type, types: tuple[type, ...]) -> bool:
    # In Python, true and false are whole numbers.
    return issubclass(kind, types) and (kind is not bool or bool in types)


@lru_cache
def _parts(annotation: str) -> tuple[str | None, str | None, bool]:
    """Keys of ``_TYPES`` for an annotation and for its elements, None where there is none; whether None is allowed."""
    outer, _, inner = annotation.removesuffix(" | None").partition("[")
    element = inner.partition(",")[0].removesuffix("]")
    known = [each if each in _TYPES else None for each in (outer, element)]
    return known[0], known[1], annotation.endswith(" | None")


@lru_cache
def _needed(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls) if each.default is each.default_factory is MISSING)
