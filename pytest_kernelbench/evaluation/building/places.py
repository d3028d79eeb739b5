"""Where a build may run: in one of the places that all processes of a host share, and only once for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pytest_kernelbench.evaluation.sharing import lock


@dataclass(slots=True)
class Spent:
    """The seconds that the builds of one candidate have taken, here or in another process, once they had a place."""

    seconds: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the seconds of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """At most ``jobs`` places for builds, shared by all processes of a host.

    ``for_later``: no trial waits for these builds, so builds that a trial waits for get their places first. ``locks``:
    the folder of the builds' locks, beside the cache that they fill. ``quiet_id``: of the device that may not be timed
    meanwhile, where compilers would be timed along with a candidate; None elsewhere.
    """

    jobs: int
    for_later: bool
    locks: Path
    quiet_id: str | None

    @contextmanager
    def one(self, spent: Spent) -> Iterator[None]:
        """Wait for a place, and hold it."""
        with lock.job(self.jobs, for_later=self.for_later), self.untimed(), spent.counting():
            yield

    @contextmanager
    def one_unless(self, known: Callable[[], bool], what: str, key: str, spent: Spent) -> Iterator[bool]:
        """Within it, this process alone makes a build, in a place; False where its result is ``known``.

        No place is taken for a known result, or while another process makes the same build. Whoever waits for a place
        holds no turn: a process that has a place may wait for it.
        """
        with spent.counting(), self.turn(what, key):
            missing = not known()
        if not missing:
            yield False
            return
        with self.one(spent), self.turn(what, key):
            yield not known()

    def untimed(self) -> AbstractContextManager[None]:
        """Nothing is timed meanwhile, where that would time the compiler too."""
        return nullcontext() if self.quiet_id is None else lock.shared(self.quiet_id)

    def turn(self, what: str, key: str) -> AbstractContextManager[None]:
        """Of processes that want the same build, one makes it and the others wait."""
        # 4096 lock files serve all keys.
        return lock.alone(f"{what}-{key[:3]}", self.locks)
