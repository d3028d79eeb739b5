"""How the judging of one candidate ends early: the outcome, and one line for people."""

from __future__ import annotations

import traceback

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.inline.complaints import MAX_LOG, errors_first, first_error
from pytest_kernelbench.records import Outcome


class CandidateFailed(Exception):
    """The candidate failed: its trial ends, and ``outcome`` is its verdict."""

    def __init__(self, outcome: Outcome, detail: str, flags: tuple[str, ...] = (), *, quoted: bool = False) -> None:
        super().__init__(detail)
        self.outcome = outcome
        # Whether the detail holds words that the candidate chose.
        self.quoted = quoted
        # The candidate may have written the detail: it becomes one printable line. A build also keeps a log, errors
        # first.
        on_build = outcome is Outcome.BUILD_ERROR
        line = (first_error(detail) if on_build else None) or _shortened(" ".join(detail.split()))
        self.detail = "".join(c if c.isprintable() else "?" for c in line)
        self.log = messages.printable(errors_first(detail), MAX_LOG) if on_build else None
        self.flags = flags
        # The kind of inputs on which it failed, where it was one.
        self.draw: str | None = None

    @classmethod
    def incorrect(cls, detail: str, draw: str) -> CandidateFailed:
        """A wrong answer to inputs of the kind ``draw``; ``detail`` says how it is wrong."""
        failure = cls(Outcome.INCORRECT, detail)
        failure.draw = draw
        return failure


class WrongValues(CandidateFailed):
    """An answer of the right structure, types and shapes has wrong values."""


def forget_frames(failure: BaseException) -> None:
    """Drop what the frames of a failure hold, such as the tensors of a call, before the failure itself is handled."""
    earlier: BaseException | None = failure
    while earlier is not None:
        traceback.clear_frames(earlier.__traceback__)
        earlier = earlier.__context__


def _shortened(line: str, ends: int = 250) -> str:
    """Both ends of a long line, ``ends`` characters each: the cause comes first, messages of libraries come last."""
    return line if len(line) <= 2 * ends else f"{line[:ends]} ... {line[-ends:]}"
