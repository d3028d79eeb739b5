"""Which share of the cores other programs use while a candidate is timed.

Where the device is a GPU, processes of low priority do not count, of this session and of others alike: builds run
beside a timing there, and the operating system runs the judge and its workers before a process of low priority. Where
the device is the CPU, nothing is built during a timing, and a candidate needs the cores itself, so all processes count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.sandbox import TICKS_PER_SECOND, cpu_seconds_of, descendants, spent_seconds_of

# Of /proc/stat, a core's seconds without those that it idled or waited for a disk: user, nice, system, irq, softirq,
# and what another machine on the same host stole.
USER, NICE, SYSTEM, IRQ, SOFTIRQ, STOLEN = 1, 2, 3, 6, 7, 8
ALL_PROGRAMS = (USER, NICE, SYSTEM, IRQ, SOFTIRQ, STOLEN)
OF_FULL_PRIORITY = (USER, SYSTEM, IRQ, SOFTIRQ, STOLEN)


class Neighbours:
    """Counts the CPU time of other programs on this process's cores, from when the object is made.

    ``own_seconds``: CPU seconds so far of the judge and all processes that belong to it. ``fields``: the fields of
    /proc/stat that count.
    """

    def __init__(self, own_seconds: Callable[[], float], fields: Sequence[int] = ALL_PROGRAMS) -> None:
        self._own_seconds = own_seconds
        self._fields = fields
        self._cores = os.sched_getaffinity(0)
        self._started = time.perf_counter(), self._seconds()

    @classmethod
    def of_judge(cls, device: str) -> Neighbours:
        """The neighbours of a judge of ``device``; to be called in the judge's process, whose parent is its service."""
        return cls(OwnOfFullPriority(), OF_FULL_PRIORITY) if is_gpu(device) else cls(seconds_of_service)

    def share(self) -> float:
        """The share of this process's cores that other processes used."""
        used_s, had_s = self.used_and_had()
        return used_s / had_s

    def used_and_had(self) -> tuple[float, float]:
        """CPU seconds that other processes used on this process's cores, and the seconds that the cores had in all."""
        started, seconds = self._started
        return self._seconds() - seconds, (time.perf_counter() - started) * len(self._cores)

    def _seconds(self) -> float:
        return busy_seconds(Path("/proc/stat").read_text(), self._cores, self._fields) - self._own_seconds()


class NeighboursOfSeries:
    """The neighbours during several series: a series begins at ``begin``, and ends when ``share`` is asked for."""

    def __init__(self, new: Callable[[], Neighbours]) -> None:
        self._new = new
        self._used_s = self._had_s = 0.0

    def begin(self) -> None:
        """A series begins."""
        self._now = self._new()

    def share(self) -> float:
        """The share of this process's cores that other processes used during all series so far."""
        used_s, had_s = self._now.used_and_had()
        self._used_s += used_s
        self._had_s += had_s
        return self._used_s / self._had_s


def seconds_of_service() -> float:
    """CPU seconds so far of the service, the judge's parent, and of all that it started: judge, workers, compilers."""
    service = os.getppid()
    return sum(map(spent_seconds_of, (service, *descendants(service))))


class OwnOfFullPriority:
    """CPU seconds of the service and its processes of normal priority (all but builds), from when the object is made.

    The CPU time of a worker is lost when the worker ends: of children that have ended, the operating system keeps one
    sum, and does not tell which of them had a low priority.
    """

    def __init__(self) -> None:
        self._service = os.getppid()
        self._at_first = self._by_process()

    def __call__(self) -> float:
        return sum(spent - self._at_first.get(process, 0.0) for process, spent in self._by_process().items())

    def _by_process(self) -> dict[int, float]:
        own = (self._service, *descendants(self._service))
        return {each: cpu_seconds_of(each) for each in own if _nice_of(each) <= 0}


def _nice_of(process: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpriority(os.PRIO_PROCESS, process)
    return 0


def busy_seconds(stat: str, cores: set[int], fields: Sequence[int] = ALL_PROGRAMS) -> float:
    """Seconds for which these cores have worked since the machine started, from the text of /proc/stat."""
    rows = (line.split() for line in stat.splitlines())
    names = {f"cpu{core}" for core in cores}
    return sum(int(row[field]) for row in rows if row[0] in names for field in fields) / TICKS_PER_SECOND
