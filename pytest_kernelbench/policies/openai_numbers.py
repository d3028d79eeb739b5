"""What a number in a server's answer may be.

Everything else that JSON can spell in its place is "not measured", which is None: ``true``, ``"0.1"``, a list, NaN,
``1e999``, or an integer of hundreds of digits, of which ``float()`` raises OverflowError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)

# OpenAI and vLLM write -9999 for a log-probability that JSON cannot hold.
NO_LOGPROB = -9999.0
LEAST_LOGPROB = -9998.0
# Rounding may lift the log-probability of a certain token above 0, by less than this.
ROUNDED_UP = 1e-3
# More than any server counts, and than any vocabulary holds.
MOST_COUNTED = 2**31 - 1


def whole_number(value: object) -> int | None:
    """A count, an index, a token's id or a byte, also if it is written as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_COUNTED else None


def logarithm(value: object) -> float | None:
    """The logarithm of a probability, however small that is: at most 0, and at least ``NO_LOGPROB``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value < ROUNDED_UP:
        return None
    return float(min(max(value, NO_LOGPROB), 0.0))


def logprob(value: object) -> float | None:
    """A log-probability that the server knows."""
    read = logarithm(value)
    return read if read is not None and read > LEAST_LOGPROB else None


def all_of(values: object, read: Callable[[object], Number | None]) -> tuple[Number, ...] | None:
    """``values`` as ``read`` reads each; None where they are no list, or where one of them is something else."""
    if not isinstance(values, list):
        return None
    known = [each for value in values if (each := read(value)) is not None]
    return tuple(known) if len(known) == len(values) else None
