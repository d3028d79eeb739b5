"""Decides when the judge or a worker frees device memory for the other: both compute on one device."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device import Device, device_named

# The worker's next call may need so many times its peak: a library may need more for a timed call than before.
SPARE_MEMORY = 1.25
# A GPU's driver takes 14 ms to say what is free where eight judges ask it (H200).
BETWEEN_LOOKS_S = 0.5
# After this process has freed gigabytes, calls of other processes are slower for a while: they differed by 6 % of 3 ms,
# and 50 ms later by 0.6 % (H200).
AFTER_FREEING_S = 0.05
# With so large a share of a device's memory free, a trial that is timed finds enough, and the others keep theirs: to
# give memory back takes 0.3 s beside nine other judges (H200).
ENOUGH_FREE = 0.25


def is_short_of_memory(device: Device) -> bool:
    """Whether a trial that is timed next may find too little memory on the device."""
    return device.free_bytes() < ENOUGH_FREE * device.memory_bytes()


def leave_room_if_short(device: Device) -> None:
    """Free much unused memory of this process if the device is short of memory."""
    device.leave_room(round(ENOUGH_FREE * device.memory_bytes()))


class DeviceRoom:
    """Memory of the device that the judge and one worker share."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._device = device_named(bench.device)
        # Peak memory of the worker's torch, without the slots; not known before its first call.
        self._peak_bytes: int | None = None
        # Outputs that the worker keeps from one turn to the next, and by how much its next turn keeps more.
        self._kept_bytes = self._more_to_keep = 0
        # Whether the worker gave its memory back since it was warm: its next call allocates anew.
        self.worker_is_cold = False
        # Bytes that the judge's torch held when the worker was known to have room; None: to be looked at anew.
        self._left_room_at: int | None = None
        # Until then (``time.monotonic``) the judge is known to have room.
        self._has_room_until = 0.0

    def look_anew(self) -> None:
        """To be called when memory was mapped: what was known of free memory no longer holds."""
        self._left_room_at, self._has_room_until = None, 0.0

    def worker_had(self, peak_bytes: int) -> None:
        """Note the peak memory that the worker reports; a worker that reports too little fails for lack of memory."""
        if self._peak_bytes is None or peak_bytes > self._peak_bytes:
            self._peak_bytes, self._left_room_at = peak_bytes, None

    def worker_keeps(self, output_bytes: int) -> None:
        """Note that the worker's next calls keep outputs of so many bytes until the calls after them."""
        self._more_to_keep = max(0, output_bytes - self._kept_bytes)
        if self._more_to_keep:
            self._kept_bytes, self._left_room_at = output_bytes, None

    def for_judge(self, ask_worker: Callable[[], None]) -> None:
        """If the judge lacks memory to compute an answer, have the worker free its unused memory (``ask_worker``)."""
        needed = self._bench.bytes_to_answer
        if time.monotonic() < self._has_room_until or self._device.unused_bytes() > needed:
            return
        if self._device.obtainable_bytes() < needed:
            ask_worker()
            self.worker_is_cold, self._left_room_at = True, None
        else:
            self._has_room_until = time.monotonic() + BETWEEN_LOOKS_S

    def for_worker(self) -> None:
        """Free unused memory of this process if the worker may lack it; looked at only when this process holds more."""
        held_bytes = self._device.held_bytes()
        if self._left_room_at is None or held_bytes > self._left_room_at:
            self._device.leave_room(self._missing_bytes)
            self._left_room_at = self._device.held_bytes()
            if self._left_room_at < held_bytes:
                time.sleep(AFTER_FREEING_S)

    @property
    def _missing_bytes(self) -> int:
        """Memory that the worker may still take: if its peak is not known, half of the device's."""
        if self._peak_bytes is None:
            return self._device.memory_bytes() // 2
        spare = SPARE_MEMORY if self.worker_is_cold else SPARE_MEMORY - 1
        return round(spare * (self._peak_bytes + self._kept_bytes)) + self._more_to_keep
