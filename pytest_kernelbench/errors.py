"""The exceptions of this package, as a tree; every message names place, problem and remedy in one line.

KernelBenchError
├── UsageError            a request of the user that cannot be met
│   ├── StrategyError     a strategy file or an override of it
│   ├── TaskError         a task selector or a task file
│   └── PolicyError       a policy's name or files, or log-probabilities that it lacks
└── HarnessError          this software or the machine failed; never a verdict on a candidate
    ├── CandidateFault    it failed on some candidates; the others have their evaluations
    ├── JudgeEnded        the judge's process died; another judge can be used
    └── TooLate           no verdict before the deadline that the caller set
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from traceback import format_exception
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_kernelbench.records import Evaluation


class KernelBenchError(Exception):
    """Base of everything this package raises on purpose."""


class UsageError(KernelBenchError):
    """The command line, a file that it names, or this machine does not allow the request."""


class StrategyError(UsageError):
    """A strategy file that is missing, does not parse, or holds an unknown or ill-typed key."""


class TaskError(UsageError):
    """A task selector that matches nothing, or a file that is no KernelBench task."""


class PolicyError(UsageError):
    """A policy that is unknown, cannot be loaded, or cannot give what the strategy needs."""


class HarnessError(KernelBenchError):
    """The evaluator, its processes or the device failed: the candidate is not to blame and can be tried again."""

    def __init__(self, message: str, *, traceback: str = "") -> None:
        super().__init__(message)
        # Of the process that met it, where it was not foreseen.
        self.traceback = traceback


class CandidateFault(HarnessError):
    """The harness failed on some candidates. ``faults``: the failures by hash of the source.

    ``evaluations``: those of the other candidates that were not yielded yet.
    """

    def __init__(self, faults: Mapping[str | None, HarnessError], evaluations: Sequence[Evaluation]) -> None:
        first = next(iter(faults.values()))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{first}{more}", traceback=first.traceback)
        self.faults = dict(faults)
        self.evaluations = tuple(evaluations)

    def __reduce__(self) -> tuple[type[CandidateFault], tuple[object, ...]]:
        # By default an error is made again from its message alone; on a Ray cluster errors cross processes.
        return type(self), (self.faults, self.evaluations)


class JudgeEnded(HarnessError):
    """The judge's process ended while it was asked: the next request starts another one."""


def unforeseen(place: str, error: BaseException, traceback: str | None = None) -> HarnessError:
    """An error that nobody foresaw, as one line with its place; ``traceback``: where it is not the error's own."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    told = "".join(format_exception(error)) if traceback is None else traceback
    return HarnessError(f"{place}: the harness failed ({said[:300]}); please report this", traceback=told)


class TooLate(HarnessError):
    """A request had no verdict when its deadline passed."""


def suggestion(word: str, known: Iterable[str], shown: str = '"{}"', *, cutoff: float = 0.6, then: str = "") -> str:
    """``did you mean "temperature"?`` for the message of an error, or an empty text if no known word is similar.

    ``shown``: the form in which the word is written. ``cutoff``: the least similarity, as in ``difflib``. ``then``:
    text that follows a suggestion.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {shown.format(near[0])}?{then}" if near else ""
