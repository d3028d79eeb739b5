"""How a trial gets its device: with other trials while it checks, alone while it times.

A trial that may have failed because of the other trials is repeated from the start: where memory was missing, first
in the place of the one large trial, and then, as for any other reason, alone. While it shares the device, it lets
trials pass that wait to be alone (``giving_way``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed, forget_frames
from pytest_kernelbench.evaluation.handles.device_room import leave_room_if_short
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.evaluation.setting import Setting, is_large
from pytest_kernelbench.evaluation.sharing import holds
from pytest_kernelbench.evaluation.sharing.giving_way import giving_way
from pytest_kernelbench.evaluation.sharing.holds import Hold
from pytest_kernelbench.evaluation.shortage import is_for_memory, may_be_for_company
from pytest_kernelbench.evaluation.stages import stage

Found = TypeVar("Found")

# Of a worker that was stopped in a call, so that this trial could pass, kernels may run for longer than for any other
# reason; the limit of a call is 10 s.
LEFT_WORK_S = 12.0


def in_turn(setting: Setting, ask: Callable[[Hold], Found], seconds: dict[str, float] | None = None) -> Found:
    """What ``ask`` returns: called with a hold beside other trials if the setting allows that, else alone.

    Where ``ask`` fails beside others, and may have failed because of them, it is called again, at last with the device
    alone. ``seconds["wait"]`` grows by the time spent waiting for the device. Raises the exceptions of ``ask``.
    """
    seconds = {} if seconds is None else seconds
    if setting.beside_others:
        return _in_company(ask, setting.sessions, setting.hardware_id, seconds, large=is_large(setting.bench))
    with _held(holds.alone(setting.hardware_id), seconds) as hold:
        return ask(hold)


def untimed(ask: Callable[[], Found], sessions: Sessions, hardware_id: str) -> Found:
    """What ``ask`` returns, in which nothing is timed; afterwards much of the memory that it needed on the way is free.

    On a GPU it runs beside others, and once more if it may have failed for their company.
    """

    def ask_and_leave_room(_: Hold | None = None) -> Found:
        found = ask()
        device_named(sessions.device).leave_room()
        return found

    if traits_of(sessions.device).trials_beside_others:
        return _in_company(ask_and_leave_room, sessions, hardware_id, {}, large=False)
    with holds.alone(hardware_id):
        return ask_and_leave_room()


def leave_room_for_long(device: str, hardware_id: str) -> None:
    """Free memory before this process waits, for builds or for a request; no process is timed meanwhile."""
    if traits_of(device).trials_beside_others:
        with holds.using(hardware_id):
            device_named(device).leave_room(for_long=True)


def _in_company(
    ask: Callable[[Hold], Found], sessions: Sessions, hardware_id: str, seconds: dict[str, float], *, large: bool
) -> Found:
    """What ``ask`` returns, called beside others; see ``in_turn``. ``large``: no other large trial is there then."""
    if holds.is_wanted_as_a_whole(hardware_id):
        # What this process keeps may be what the other trial lacks, which comes first.
        leave_room_for_long(sessions.device, hardware_id)
    for as_the_large_one in (True,) if large else (False, True):
        hold = None
        try:
            with (
                _held(holds.beside_others(hardware_id, large=as_the_large_one), seconds) as hold,
                giving_way(sessions.way_for_others(hold, seconds)),
                _room_left_after_failure(sessions.device),
            ):
                return ask(hold)
        except (CandidateFailed, HarnessError, RuntimeError) as failure:
            if not may_be_for_company(failure, timed=hold is not None and hold.is_alone):
                raise
            if not is_for_memory(failure):
                break
    with _held(holds.alone(hardware_id), seconds) as hold, _room_left_after_failure(sessions.device):
        return ask(hold)


@contextmanager
def _room_left_after_failure(device: str) -> Iterator[None]:
    """Where the block fails, free the memory that the failure holds, while no other process is timed.

    Otherwise the tensors of the failed calls would stay until the exception is forgotten, and then with torch: the
    judges that waited to be alone held 25 GB each, so that the one that was alone found no memory (H200).
    """
    try:
        yield
    except Exception as failure:
        forget_frames(failure)
        device_named(device).leave_room(for_long=True)
        raise


@contextmanager
def _held(hold: AbstractContextManager[Hold], seconds: dict[str, float]) -> Iterator[Hold]:
    with ExitStack() as stack:
        with stage(seconds, "wait"):
            held = stack.enter_context(hold)
        yield held


class QuietOfTrial:
    """The ``clock.quiet.Quiet`` of a trial: between its timings, and after the last, others may check and be timed.

    It stays alone if its slots are too large to be kept meanwhile, or if its hold may not be shared.
    ``seconds["wait"]`` grows by the time spent waiting for the device.
    """

    def __init__(self, setting: Setting, hold: Hold, seconds: dict[str, float]) -> None:
        self._setting = setting
        self._hold = hold
        self._seconds = seconds

    @property
    def may_end(self) -> bool:
        """Whether others may use the device between two series."""
        return self._hold.may_share and self._setting.keeps_block

    def begin(self) -> None:
        """Wait until the trial has the device alone. Raises HarnessError if the device is not idle then."""
        with stage(self._seconds, "wait"):
            be_alone(self._setting, self._hold)

    def is_over(self) -> None:
        """Let other trials use the device, if ``may_end``."""
        if self.may_end:
            with stage(self._seconds, "wait"):
                device_named(self._setting.bench.device).settle()
                self._hold.be_beside_others()

    def is_over_for(self, session: WorkerSession) -> None:
        """As ``is_over``; meanwhile the worker ``session`` is stopped."""
        if self.may_end:
            with session.stopped():
                self.is_over()


def wait_to_be_alone(setting: Setting, session: WorkerSession, hold: Hold) -> None:
    """Wait until the trial has the device alone. Meanwhile the candidate is stopped.

    Raises HarnessError if the device is still at work then, because a stopped candidate, this one or another, has left
    work there: the trial is repeated while no other candidate is on the device.
    """
    if not hold.is_alone:
        with session.stopped():
            be_alone(setting, hold)


def be_alone(setting: Setting, hold: Hold) -> None:
    """As ``wait_to_be_alone``, for a caller that has no candidate to stop, or has stopped it."""
    setting.sessions.wait_for_ends()
    if hold.is_alone:
        return
    leave_room_if_short(device_named(setting.bench.device))
    hold.be_alone()
    try:
        device_named(setting.bench.device).wait_until_idle(LEFT_WORK_S)
    except DeviceBusy as busy:
        raise HarnessError(f"{setting.bench.task_id}: {busy}; end what else runs on it and run again") from None
