"""Which of judge and worker gives device memory back, and when: both compute on one device."""

from __future__ import annotations

from collections.abc import Callable

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device import device_named

# A library may need more for a timed call than for the first ones.
SPARE_MEMORY = 1.25


class DeviceRoom:
    """Memory of the device that the judge and one worker share."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._device = device_named(bench.device)
        # What the worker's torch had at most, beside the slots; not known before its first call.
        self._peak_bytes: int | None = None
        # Whether the worker gave its memory back since it was warm: its next call allocates anew.
        self.worker_is_cold = False
        # What torch held here when the worker was known to have room; None where it must be looked at anew.
        self._left_room_at: int | None = None

    def look_anew(self) -> None:
        """Memory was mapped: what was known of the room is no longer so."""
        self._left_room_at = None

    def worker_had(self, peak_bytes: int) -> None:
        """What the worker says that its torch had at most; a worker that says too little fails for lack of memory."""
        if self._peak_bytes is None or peak_bytes > self._peak_bytes:
            self._peak_bytes, self._left_room_at = peak_bytes, None

    def for_judge(self, ask_worker: Callable[[], None]) -> None:
        """Have the worker give back what its torch keeps, where the judge would lack it to compute an answer."""
        if self._device.obtainable_bytes() < self._bench.bytes_to_answer:
            ask_worker()
            self.worker_is_cold, self._left_room_at = True, None

    def for_worker(self) -> None:
        """Give back what this process keeps where the worker would lack it; looked at only when it holds more."""
        held_bytes = self._device.held_bytes()
        if self._left_room_at is None or held_bytes > self._left_room_at:
            self._device.leave_room(self._missing_bytes)
            self._left_room_at = self._device.held_bytes()

    @property
    def _missing_bytes(self) -> int | None:
        """What the worker may still take; None where nobody knows."""
        if self._peak_bytes is None:
            return None
        return round((SPARE_MEMORY if self.worker_is_cold else SPARE_MEMORY - 1) * self._peak_bytes)
