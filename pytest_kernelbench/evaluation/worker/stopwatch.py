"""Durations of single calls, taken where the call is made."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What an empty kernel's launch, two events and the synchronisation take on the host.
LAUNCH_AND_WAIT_MS = 0.1


class Stopwatch:
    """Milliseconds of one call: wall time on a CPU; on a GPU device events, or wall time where it says more.

    Work that a candidate hides from the events (another stream, a host thread) still takes wall time up to the
    synchronisation of the whole device that follows.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        # Taken now, before a candidate could put others in their place.
        self._clock = perf_counter_ns
        if self._cuda:
            self._synchronize = torch.cuda.synchronize
            self._event = torch.cuda.Event
            self._profile = torch.autograd.profiler.profile
            self._device_type = torch.autograd.DeviceType.CUDA
            # Twice the L2 of an H100 or H200 (50 MB): what one side left there must not help the other.
            self._flush = torch.empty(1 << 27, dtype=torch.uint8, device="cuda")

    def time(self, module: torch.nn.Module, inputs: Sequence[Any]) -> tuple[float, Any]:
        """Duration in milliseconds, and the output."""
        if not self._cuda:
            start = self._clock()
            output = module(*inputs)
            return (self._clock() - start) / 1e6, output
        begin, end = self._event(enable_timing=True), self._event(enable_timing=True)
        self._flush.zero_()
        self._synchronize()
        start = self._clock()
        begin.record()
        output = module(*inputs)
        end.record()
        self._synchronize()
        wall_ms = (self._clock() - start) / 1e6
        return max(begin.elapsed_time(end), wall_ms - LAUNCH_AND_WAIT_MS), output

    def busy_ms(self, module: torch.nn.Module, inputs: Sequence[Any]) -> float | None:
        """Milliseconds in which at least one kernel or copy of a call ran, on any stream, by CUPTI's record.

        None on a CPU, and where CUPTI records nothing.
        """
        if not self._cuda:
            return None
        self._synchronize()
        with self._profile(use_device="cuda", use_cpu=False, use_kineto=True) as profile:
            module(*inputs)
            self._synchronize()
        spans_ns = sorted(
            (event.start_ns(), event.start_ns() + event.duration_ns())
            for event in profile.kineto_results.events()
            if event.device_type() == self._device_type
        )
        busy_ns, until = 0, 0
        for start, end in spans_ns:
            busy_ns += max(0, end - max(start, until))
            until = max(until, end)
        return busy_ns / 1e6 if busy_ns else None

    def chill(self) -> None:
        """Leave nothing of use in a CPU's caches; a GPU's are flushed before every call."""
        if not self._cuda:
            torch.ones(1 << 26, dtype=torch.uint8).add_(1)

    def settle(self) -> None:
        """Wait until the device has nothing left to do."""
        if self._cuda:
            self._synchronize()


def operators_called(module: torch.nn.Module, inputs: Sequence[Any]) -> list[str]:
    """Names of the ATen operators that one call dispatches, sorted (``aten.mm``)."""
    seen: set[str] = set()

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.add(str(function).rpartition(".")[0])
            return function(*args, **(kwargs or {}))

    with Recorder():
        module(*inputs)
    return sorted(seen)
