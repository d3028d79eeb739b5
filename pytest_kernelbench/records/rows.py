"""Shared by all records: the hash of a text, and conversion of a dataclass to and from a JSON object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

Record = TypeVar("Record")


def sha256_of(text: str) -> str:
    """Hexadecimal SHA-256 of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fields_of(cls: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a JSON object that are fields of the dataclass ``cls``, lists as tuples. Other keys are dropped."""
    names: Mapping[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    values = {name: row[name] for name in names if name in row}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
