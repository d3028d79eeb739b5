"""Points at which a trial that shares its device lets another trial pass that waits to time. Imports no torch.

Preparing and checking take seconds, and timing waits until nothing else happens on the device. So a judge asks at each
step, and while it waits for a worker's answer, whether another judge waits to time (``give_way``). It then stops its
workers and does nothing until that one has timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The function that lets others pass, for this thread; None: it shares no device.
_way: ContextVar[Callable[[], None] | None] = ContextVar("way", default=None)


def give_way() -> None:
    """To be called where this process has nothing under way on its device, and does not time a worker."""
    way = _way.get()
    if way is not None:
        way()


@contextmanager
def giving_way(way: Callable[[], None]) -> Iterator[None]:
    """Within this context ``give_way`` calls ``way``, which returns once no process waits to have the device alone."""
    before = _way.set(way)
    try:
        yield
    finally:
        _way.reset(before)
