"""The control: the reference on trial against itself, in a worker that no candidate was ever in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from pytest_kernelbench.evaluation.dock import CandidateFailed, Dock
from pytest_kernelbench.evaluation.timekeeping import Block


@dataclass(frozen=True, slots=True)
class Control:
    """What one call of the reference takes when nobody interferes, and what the harness does around a call.

    ``least_ms`` among calls like itself; ``most_ms`` beside a neighbour that leaves it nothing in a CPU's caches, up to
    twice as long.
    """

    least_ms: float
    most_ms: float
    around_call_ms: float
    around_pair_ms: float
    busy_ms: float | None

    @classmethod
    def measured(
        cls,
        warm: Sequence[Block],
        cold: Sequence[Block],
        wall_ms: float,
        busy_ms: float | None,
        *,
        in_favour: bool = False,
    ) -> Control:
        """From blocks of pairs, the wall time of a call and its surroundings, and the profiler's record of a call.

        ``in_favour``: with each doubt in favour of who is held against it. Its calls count for as short as the shortest
        was, and what surrounds its pairs for as much as it ever was.
        """
        call_ms = (min if in_favour else median)(calls_ms(warm))
        return cls(
            least_ms=call_ms,
            most_ms=max(median(calls_ms(blocks)) for blocks in (warm, cold) if blocks),
            around_call_ms=max(0.0, wall_ms - call_ms),
            around_pair_ms=(max if in_favour else median)([each.around_pair_ms for each in warm]),
            busy_ms=busy_ms,
        )


def calls_ms(control: Sequence[Block]) -> list[float]:
    """Of both in each pair: they are the same."""
    return [ms for each in control for ms in each.ms["reference_ms"] + each.ms["candidate_ms"]]


class ControlFailed(Exception):
    """The reference failed its own trial."""


@contextmanager
def of_control() -> Iterator[None]:
    """What goes wrong in here is told apart from what the candidate does wrong."""
    try:
        yield
    except CandidateFailed as failure:
        raise ControlFailed(str(failure)) from failure


@contextmanager
def turn_of_control(dock: Dock) -> Iterator[None]:
    """In here the control is asked, while the candidate of ``dock`` has nothing to do and leaves it the device."""
    dock.give_room()
    with dock.idle(), of_control():
        yield
