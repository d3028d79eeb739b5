"""How a process holds a device for a trial: with others while it checks, then alone while it times.

A candidate that has been checked waits for its timing, stopped, with its memory on the device. So a device has two
locks: ``_candidates`` is held by every process with a candidate on the device, stopped or not, and the other lock by
the processes that use the device at that moment. A third lock is held by the one large trial among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar

from pytest_kernelbench.evaluation.sharing import lock

# Whether other processes may use the device that this thread holds.
_beside = ContextVar("beside", default=False)


def has_company() -> bool:
    """Whether this thread holds a device beside other processes, which may have taken memory that it lacks."""
    return _beside.get()


class Hold:
    """The hold of one trial. ``is_alone``: no other process uses the device; ``may_share``: others may be let in."""

    def __init__(self, hardware_id: str, held: ExitStack, *, may_share: bool) -> None:
        self._hardware_id = hardware_id
        self._held = held
        self.is_alone = False
        self.may_share = may_share

    def be_alone(self) -> None:
        """Let others have the device, then wait for it and hold it alone."""
        if not self.is_alone:
            with self._held.pop_all() as shared:
                self._held.enter_context(lock.exclusive(self._hardware_id, let_go=shared.close))
            self.is_alone = True
            _beside.set(False)

    @property
    def is_awaited(self) -> bool:
        """Whether this process shares the device and another one waits to have it alone."""
        return not self.is_alone and lock.is_awaited(self._hardware_id)

    def let_pass(self) -> None:
        """Let the device go, and share it again once no process holds it alone or waits for that."""
        self._held.pop_all().close()
        self._held.enter_context(lock.shared(self._hardware_id))

    def be_beside_others(self) -> None:
        """Let the device go, and come back to it with others once no process holds it alone or waits for that."""
        if self.is_alone and self.may_share:
            self.let_pass()
            self.is_alone = False
            _beside.set(True)


@contextmanager
def beside_others(hardware_id: str, *, large: bool = False) -> Iterator[Hold]:
    """Hold the device with other processes that do the same, until ``be_alone``.

    ``large``: wait first until no other large trial does, because two may not fit in the device's memory.
    """
    turn = lock.alone(f"{hardware_id}-large") if large else nullcontext()
    with turn, lock.shared(_candidates(hardware_id)), ExitStack() as held:
        held.enter_context(lock.shared(hardware_id))
        _beside.set(True)
        try:
            yield Hold(hardware_id, held, may_share=True)
        finally:
            _beside.set(False)


def using(hardware_id: str) -> AbstractContextManager[None]:
    """Use the device without a candidate on it; no process is timed meanwhile."""
    return lock.shared(hardware_id)


def is_wanted_as_a_whole(hardware_id: str) -> bool:
    """Whether a process waits until no other one has a candidate on the device, most likely for its memory."""
    return lock.is_awaited(_candidates(hardware_id))


@contextmanager
def alone(hardware_id: str) -> Iterator[Hold]:
    """Hold the device while no other process has a candidate on it, not even a stopped one."""
    with lock.exclusive(_candidates(hardware_id)), ExitStack() as held:
        hold = Hold(hardware_id, held, may_share=False)
        hold.be_alone()
        yield hold


def _candidates(hardware_id: str) -> str:
    return f"{hardware_id}-candidates"
