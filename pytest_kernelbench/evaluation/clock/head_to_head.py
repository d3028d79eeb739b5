"""Is a kernel slower than the one it is to replace? Both alternate in one process. Standard library only.

The two do the same work on the same device at the same moment, so the answer does not depend on the machine, its
clocks or its neighbours. A kernel is called slower when two processes say so, and in the second the two change
places: what favours a side (the order in which they were loaded, where their memory lies) cannot decide.

In each process pairs are looked at after 24, 48, 96, 192 and 384, with the order-statistic interval of the median
log-ratio at 99 %. Between two kernels that take the same time a pair falls to either side like a coin, because the
order within it is drawn, so one process is mistaken in at most 2.5 % of runs and both in 0.06 %.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from pytest_kernelbench.evaluation.clock.timing import median_interval

LOOKS = (24, 48, 96, 192, 384)
CONFIDENCE = 0.99
# Looked at before the next look is due when that much time has passed in a process.
SECONDS = 30.0

Block = dict[str, list[float]]
Rounds = Callable[[str, str], Generator[Block, None, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A kernel against its baseline. ``slowdown`` is the median over pairs of current / baseline time.

    ``low`` and ``high`` bound its 99 % interval. Where the two could not be compared ``detail`` says why, and the
    numbers are None.
    """

    slower: bool = False
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    baseline_ms: float | None = None
    current_ms: float | None = None
    pairs: int = 0
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Comparison:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})


def compare(rounds: Rounds, baseline: str, current: str, max_slowdown: float) -> Comparison:
    """``slower``: by more than ``max_slowdown`` (1.05: 5 %), in two processes.

    ``rounds(first, second)`` gives blocks of pairs of two sources in a new process, the first as ``reference_ms``.
    """
    times: dict[str, list[float]] = {"baseline": [], "current": []}
    for sides in (("baseline", "current"), ("current", "baseline")):
        sources = {"baseline": baseline, "current": current}
        with closing(rounds(sources[sides[0]], sources[sides[1]])) as blocks:
            slower = _one_round(blocks, sides, max_slowdown, times)
        if not slower:
            break
    logs = _logs(times["baseline"], times["current"])
    interval = median_interval(logs, CONFIDENCE)
    return Comparison(
        slower=slower,
        slowdown=math.exp(median(logs)),
        low=math.exp(interval[0]) if interval else None,
        high=math.exp(interval[1]) if interval else None,
        baseline_ms=median(times["baseline"]),
        current_ms=median(times["current"]),
        pairs=len(logs),
    )


def verdict(log_slowdowns: Sequence[float], max_slowdown: float, *, last: bool) -> bool | None:
    """Whether the kernel is slower by more than ``max_slowdown``; None: more pairs are needed.

    At the ``last`` look, which the close calls come to, it is slower if the interval excludes 1 and the estimate
    exceeds ``max_slowdown``.
    """
    interval, limit = median_interval(log_slowdowns, CONFIDENCE), math.log(max_slowdown)
    if interval is None:
        return False if last else None
    low, high = interval
    if low > limit:
        return True
    if high < limit:
        return False
    return (low > 0 and median(log_slowdowns) > limit) if last else None


def _one_round(
    blocks: Iterator[Block], sides: tuple[str, str], max_slowdown: float, times: dict[str, list[float]]
) -> bool:
    started = time.monotonic()
    looks = iter(LOOKS)
    due = next(looks)
    ours: dict[str, list[float]] = {"baseline": [], "current": []}
    for block in blocks:
        for side, ms in zip(sides, (block["reference_ms"], block["candidate_ms"]), strict=True):
            ours[side] += ms
            times[side] += ms
        overdue = time.monotonic() - started > SECONDS
        if len(ours["current"]) >= due or overdue:
            following = next(looks, None)
            last = overdue or following is None
            said = verdict(_logs(ours["baseline"], ours["current"]), max_slowdown, last=last)
            if said is not None:
                return said
            due = following or due
    raise AssertionError("blocks of pairs never end")


def _logs(baseline_ms: Sequence[float], current_ms: Sequence[float]) -> list[float]:
    return [math.log(c / b) for b, c in zip(baseline_ms, current_ms, strict=True)]
