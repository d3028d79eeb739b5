"""The kinds of values of an answer's fields; each kind's error names the expected value. See ``answers``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pytest_kernelbench.evaluation.boundary import messages


class Kind(Protocol):
    """A kind of value. ``read`` returns ``value`` as the field's type; raises a ValueError that names the kind."""

    def read(self, value: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from ``least`` to ``most``."""

    least: int
    most: int

    def read(self, value: Any) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"expected an integer from {self.least} to {self.most}")
        return value


@dataclass(frozen=True, slots=True)
class Wholes:
    """A list of at most ``many`` integers from ``least`` to ``most``.

    Hundreds are read by the judge's clock, in 0.02 ms; as ``Many(Whole(...))`` they would take a millisecond.
    """

    least: int
    most: int
    many: int

    def read(self, value: Any) -> tuple[int, ...]:
        found = _listed(value, self.many)
        if not {int}.issuperset(map(type, found)) or (
            found and not self.least <= min(found) <= max(found) <= self.most
        ):
            raise ValueError(f"expected integers from {self.least} to {self.most}")
        return tuple(found)


def _listed(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"expected a list of at most {most}")
    return value


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from ``least`` to below ``below``."""

    least: float
    below: float

    def read(self, value: Any) -> float:
        # Compared before it is converted: an integer of 400 digits has no float.
        if type(value) not in (int, float) or not self.least <= value < self.below:
            raise ValueError(f"expected a number from {self.least:g} to {self.below:g}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text; only the last ``limit`` characters are kept."""

    limit: int

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("expected text")
        return messages.printable(value, self.limit)


@dataclass(frozen=True, slots=True)
class Name:
    """Printable text of at most ``limit`` characters; longer text is an error."""

    limit: int

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self.limit:
            raise ValueError(f"expected text of at most {self.limit} characters")
        return messages.printable(value, self.limit)


@dataclass(frozen=True, slots=True)
class Many:
    """A list of at most ``most`` values of one kind."""

    kind: Kind
    most: int

    def read(self, value: Any) -> tuple[Any, ...]:
        return tuple(self.kind.read(each) for each in _listed(value, self.most))


@dataclass(frozen=True, slots=True)
class Optional:
    """A value of one kind, or null."""

    kind: Kind

    def read(self, value: Any) -> Any:
        return None if value is None else self.kind.read(value)


@dataclass(frozen=True, slots=True)
class YesOrNo:
    """True or false."""

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError("expected true or false")
        return value


@dataclass(frozen=True, slots=True)
class Request:
    """Sources and flags of an extension, as ``worker.extensions.request_of`` makes them for one of ``functions``.

    Other arguments are left for torch to refuse, in the builder's process, which they cannot harm.
    """

    functions: tuple[str, ...]

    def read(self, value: Any) -> dict[str, Any]:
        if not (
            isinstance(value, dict)
            and value.keys() == {"function", "arguments", "files"}
            and value["function"] in self.functions
            and all(isinstance(value[name], dict) for name in ("arguments", "files"))
            and isinstance(value["arguments"].get("name"), str)
            and all(isinstance(text, str) for text in value["files"].values())
        ):
            raise ValueError("expected sources and flags of an extension")
        return value


@dataclass(frozen=True, slots=True)
class Exactly:
    """One value only, of the same type."""

    value: bool

    def read(self, value: Any) -> bool:
        if value is not self.value:
            raise ValueError(f"expected {self.value}")
        return self.value
