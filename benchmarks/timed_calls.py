"""How many timed calls the worker's own timing takes of the candidates of a run, with made-up noise.

    python benchmarks/timed_calls.py RUN [RUN ...]

Each candidate of the runs that has a speed-up is timed anew by the code that times candidates, on a made-up worker: its
calls take what was recorded, times log-normal noise. No kernel runs, so other programs on the machine do not matter.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from run_folders import trials

from pytest_kernelbench.evaluation.clock.timekeeping import propose
from pytest_kernelbench.evaluation.protocols import PROTOCOLS

NOISES = (0.01, 0.03, 0.1)
REPEATS = 20


class MadeUpWorker:
    """A worker whose calls take a known time: ``calls`` of them so far, of ``ms`` together."""

    def __init__(self, reference_ms: float, speedup: float, noise: float, rng: random.Random) -> None:
        self.rack = self
        self.calls, self.ms = 0, 0.0
        self._means = {"reference_ms": reference_ms, "candidate_ms": reference_ms / speedup}
        self._noise, self._rng = noise, rng

    def pairs_in_memory(self, wanted: int) -> int:
        return wanted

    def have_slots(self, count: int) -> list[int]:
        return list(range(count))

    def refresh(self, slots: Any) -> None:
        """Inputs do not matter here."""

    def warm(self, reference: Any, candidate: Any, *, times: int) -> None:
        """Nothing is cold."""

    def check_timed(self, slots: Any, drawn: Any) -> None:
        """Every answer is right."""

    def pairs(self, pairs: list[Any]) -> dict[str, list[float]]:
        told = {
            side: [mean * math.exp(self._rng.gauss(0, self._noise)) for _ in pairs]
            for side, mean in self._means.items()
        }
        self.calls += 2 * len(pairs)
        self.ms += sum(map(sum, told.values()))
        return told


def recorded(folder: Path) -> Iterator[tuple[float, float]]:
    """Reference milliseconds and speed-up of each candidate that was timed."""
    for row in trials(folder):
        if row.get("speedup"):
            yield row["reference_ms"], row["speedup"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--protocol", choices=("fast", "full"), default="full")
    options = parser.parse_args()
    protocol = PROTOCOLS[options.protocol]
    timed = [each for folder in options.folders for each in recorded(folder)]
    for noise in NOISES:
        rng = random.Random(1)
        workers = [MadeUpWorker(*each, noise, rng) for _ in range(REPEATS) for each in timed]
        for worker in workers:
            propose(worker, protocol, protocol.margin("cpu"), 0.01)  # type: ignore[arg-type]
        calls, ms = (sum(getattr(each, name) for each in workers) / len(workers) for name in ("calls", "ms"))
        print(f"noise {noise:.0%}: {len(timed)} candidates, {calls:.1f} timed calls each, {ms / 1e3:.3f} s each")


if __name__ == "__main__":
    main()
