"""The result of a replay: a candidate's answers to one kind of inputs, beside the expected ones. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongElement:
    """A wrong element of output ``output``, at ``place`` (an index for each dimension).

    ``got`` is its value, ``due`` the expected one, and ``allowed`` how far from that it may be.
    """

    output: int
    place: tuple[int, ...]
    got: float
    due: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """``outcome`` and ``detail`` as in an ``Evaluation``, and for a wrong answer its first wrong elements.

    ``sizes``: the other sizes of the task ("N=257") at which it failed; empty: the task's own.
    """

    outcome: str
    detail: str = ""
    sizes: str = ""
    n_wrong: int = 0
    elements: tuple[WrongElement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Replayed:
        elements = (WrongElement(**{**each, "place": tuple(each["place"])}) for each in row["elements"])
        return cls(**{**row, "elements": tuple(elements)})
