"""Which tokens of an answer are its code: the rest is talk, whose log-probability says nothing about a kernel."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from pytest_kernelbench.prompting.extraction import answered_code


def code_tokens(
    text: str, token_ids: Sequence[int], decode: Callable[[Sequence[int]], str], *, answer: str
) -> tuple[int, int] | None:
    """First token of the code in ``text``, and the one after its last; None where there is none, or not verbatim.

    ``decode(token_ids[:i])`` must not shrink as ``i`` grows; it is called about 2 log2(n) times.
    """
    code = answered_code(text, answer=answer)
    start = -1 if not code else text.rfind(code)
    if code is None or start < 0:
        return None

    def characters(n: int) -> int:
        return len(decode(token_ids[:n]))

    lengths = range(len(token_ids) + 1)
    first = bisect_right(lengths, start, key=characters) - 1
    return first, bisect_left(lengths, start + len(code), key=characters)
