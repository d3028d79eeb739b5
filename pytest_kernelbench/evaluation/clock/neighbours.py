"""Which share of the cores other programs use while a candidate is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pytest_kernelbench.evaluation.sandbox import TICKS_PER_SECOND, descendants, spent_seconds_of

# Of /proc/stat, a core's seconds without those that it idled or waited for a disk: user, nice, system, irq, softirq,
# and what another machine on the same host stole.
BUSY_FIELDS = (1, 2, 3, 6, 7, 8)


class Neighbours:
    """Counts from when it is made. ``own_seconds``: CPU time so far of all that is not another program."""

    def __init__(self, own_seconds: Callable[[], float]) -> None:
        self._own_seconds = own_seconds
        self._cores = os.sched_getaffinity(0)
        self._started = time.perf_counter(), self._seconds()

    def share(self) -> float:
        """Of the cores that this process may use, what others used."""
        started, seconds = self._started
        return (self._seconds() - seconds) / (time.perf_counter() - started) / len(self._cores)

    def _seconds(self) -> float:
        return busy_seconds(Path("/proc/stat").read_text(), self._cores) - self._own_seconds()


def seconds_of_service() -> float:
    """CPU time so far of the judge, its parent (the service), and all that this has started: workers and compilers."""
    service = os.getppid()
    return sum(map(spent_seconds_of, (service, *descendants(service))))


def busy_seconds(stat: str, cores: set[int]) -> float:
    """For how long these cores have worked since the machine started, by the text of /proc/stat."""
    rows = (line.split() for line in stat.splitlines())
    names = {f"cpu{core}" for core in cores}
    return sum(int(row[field]) for row in rows if row[0] in names for field in BUSY_FIELDS) / TICKS_PER_SECOND
