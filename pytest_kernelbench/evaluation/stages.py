"""Seconds by stage of an evaluation, for ``Evaluation.seconds``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pytest_kernelbench.evaluation.handles.session import WorkerSession

# The seconds of each stage within this thread's innermost stage.
_within: ContextVar[list[float] | None] = ContextVar("within", default=None)


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add a block's wall time, without that of stages within it, to ``seconds[name]``, also when the block raises."""
    start, within = time.perf_counter(), [0.0]
    outer = _within.set(within)
    try:
        yield
    finally:
        _within.reset(outer)
        took = time.perf_counter() - start
        seconds[name] = seconds.get(name, 0.0) + took - sum(within)
        if (around := _within.get()) is not None:
            around.append(took)


@contextmanager
def building(seconds: dict[str, float], name: str, session: WorkerSession) -> Iterator[None]:
    """Move the seconds of a build within a block of stage ``name`` to the stage ``build``."""
    before = session.built_s
    try:
        yield
    finally:
        if session.built_s > before:
            seconds["build"] = seconds.get("build", 0.0) + session.built_s - before
            seconds[name] = seconds.get(name, 0.0) - (session.built_s - before)


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Seconds by stage, rounded to a tenth of a millisecond."""
    return {name: round(value, 4) for name, value in seconds.items()}
