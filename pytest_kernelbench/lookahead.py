"""Samples answers and builds sources of the next items in a thread, while one item is judged.

It does so only if the judged item loses nothing: answers come from a policy that is loaded already and needs no device.
They are recorded at once, so the later item finds them. An error is ignored here, since the later item meets it again
and reports it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress

from pytest_kernelbench.errors import KernelBenchError
from pytest_kernelbench.policies import Policy
from pytest_kernelbench.records import Task, sha256_of
from pytest_kernelbench.rollouts import extract, sample
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.workbench import Workbench

Item = tuple[Task, Strategy]

# Distinct sources that are built and not yet judged: more than any host builds while one is.
MOST_SOURCES = 256
# The first item loads the policy; after it there is nothing to wait for but other processes.
LOOK_AGAIN_S = 0.5


class Lookahead:
    """Draws and builds for the items that come next; ``close`` ends it between two answers."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._upcoming: Sequence[Item] = ()
        # By task and strategy, how many sources it has.
        self._done: dict[tuple[str, str], int] = {}
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self, upcoming: Sequence[Item]) -> None:
        """These are the items after the one that begins now, in their order."""
        self._upcoming = upcoming
        self._changed.set()
        if self._thread is None and upcoming and not self._closed.is_set():
            # A daemon: an answer that a server owes must not hold up the end of the session.
            self._thread = threading.Thread(target=self._go_on, name="lookahead", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Begin nothing more; waits for an answer that is on its way, but not for long."""
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _go_on(self) -> None:
        settled = True
        while not self._closed.is_set():
            self._changed.wait(timeout=None if settled else LOOK_AGAIN_S)
            self._changed.clear()
            with suppress(_Stopped):
                settled = self._catch_up(self._upcoming)

    def _catch_up(self, upcoming: Sequence[Item]) -> bool:
        """Whether there is nothing to come back for before other items come next."""
        ahead, settled = 0, True
        for task, strategy in upcoming:
            if self._changed.is_set() or ahead >= MOST_SOURCES:
                break
            name = task.id, strategy.name
            if name not in self._done:
                count = self._prepare(task, strategy)
                if count is None:
                    settled = False
                    continue
                self._done[name] = count
            ahead += self._done[name]
        return settled

    def _prepare(self, task: Task, strategy: Strategy) -> int | None:
        """Returns how many sources there are; None if not known yet."""
        reads = (strategy.adaptation, strategy.version, strategy.search, strategy.stopping)
        if any(each is not None for each in reads):
            return 0  # its draws depend on earlier verdicts
        bench = self._bench
        policy = bench.loaded_policy(strategy)
        try:
            recorded = len(bench.ledger.completions(task.id, strategy))
            if recorded < len(strategy.indices):
                if policy is None:
                    return None
                if getattr(policy, "needs_a_device", True):
                    return 0
            # Another process, or the item that runs, may have the task.
            with bench.ledger.owner_if_free(task.id) as free:
                if not free:
                    return None
                beside = _Beside(bench, self._closed)
                completions = sample(task, strategy, beside, strategy.indices, {}, policy)
                known = bench.ledger.evaluations(task.id, strategy)
            found = (extract(completion, task, strategy).source for completion in completions)
            sources = [each for each in dict.fromkeys(found) if each is not None and sha256_of(each) not in known]
            if sources and not bench.prepare(task, strategy, sources):
                return None
        except KernelBenchError:
            return 0
        return len(sources)


class _Stopped(Exception):
    """The session ends."""


class _Beside:
    """The workbench as ``sample`` sees it in this thread: nothing is shown, and an answer is where it may stop."""

    def __init__(self, bench: Workbench, closed: threading.Event) -> None:
        self.ledger, self.seed = bench.ledger, bench.seed
        self._bench, self._closed = bench, closed

    def policy_for(self, strategy: Strategy) -> Policy:
        raise AssertionError(f"{strategy.name}: a policy is loaded by the item that needs it first")

    def spending(self, stage: str) -> AbstractContextManager[None]:
        return self._bench.spending(stage)

    def say(self, line: str) -> None:
        """Called once an answer is recorded: the place to stop."""
        if self._closed.is_set():
            raise _Stopped
