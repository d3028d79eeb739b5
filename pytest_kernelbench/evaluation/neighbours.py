"""How much of the cores others use while somebody is timed: what a clock says against him then, nobody knows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pytest_kernelbench.evaluation.sandbox import TICKS_PER_SECOND

# Of /proc/stat, a core's seconds without those that it idled or waited for a disk: user, nice, system, irq, softirq,
# and what another machine on the same host stole.
BUSY_FIELDS = (1, 2, 3, 6, 7, 8)
# With two endless loops on two cores it is 0.5 to 0.6, and every second honest kernel was void.
DISTURBING_SHARE = 0.25


class Neighbours:
    """Counts from when it is made. ``own_seconds``: CPU time so far of all that is not a neighbour."""

    def __init__(self, own_seconds: Callable[[], float]) -> None:
        self._own_seconds = own_seconds
        self._cores = os.sched_getaffinity(0)
        self._started = time.perf_counter(), self._seconds()

    def share(self) -> float:
        """Of the cores that this process may use, what others used."""
        started, seconds = self._started
        return (self._seconds() - seconds) / (time.perf_counter() - started) / len(self._cores)

    def disturbance(self) -> str | None:
        """The share in one line; None where it is small."""
        share = self.share()
        return f"other processes used {share:.0%} of the cores while it was timed" if share > DISTURBING_SHARE else None

    def _seconds(self) -> float:
        return busy_seconds(Path("/proc/stat").read_text(), self._cores) - self._own_seconds()


def busy_seconds(stat: str, cores: set[int]) -> float:
    """For how long these cores have worked since the machine started, by the text of /proc/stat."""
    rows = (line.split() for line in stat.splitlines())
    names = {f"cpu{core}" for core in cores}
    return sum(int(row[field]) for row in rows if row[0] in names for field in BUSY_FIELDS) / TICKS_PER_SECOND
