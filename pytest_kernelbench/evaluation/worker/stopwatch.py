"""Times single calls in the process that makes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, NamedTuple

import torch

from pytest_kernelbench.evaluation.device.cuda_memory import release_persisting_l2
from pytest_kernelbench.evaluation.device.host import to_first_core
from pytest_kernelbench.evaluation.device.names import is_gpu

# So late may the device be after its last event without hiding work: after a long kernel the host is slow to notice, by
# up to 1.1 % of 8 ms (H200).
WAIT_NOISE_MS = 0.008
WAIT_NOISE_SHARE = 0.015


class Lap(NamedTuple):
    """One timed call."""

    ms: float
    output: Any


class Profile(NamedTuple):
    """Profile of one call: the sorted names of its operators and kernels.

    ``busy_ms``: milliseconds in which at least one kernel ran; None: none was recorded.
    """

    busy_ms: float | None
    operators: list[str]
    kernels: list[str]


class Stopwatch:
    """Milliseconds of one call: wall time on a CPU; on a GPU the time between two events, and any work after them.

    Work that a candidate hides from the events (on another stream, by a thread of the host) keeps the device busy after
    the last event; that time is added.
    """

    def __init__(self, device: str) -> None:
        self._cuda = is_gpu(device)
        self._profile = torch.autograd.profiler.profile
        self._device_type = torch.autograd.DeviceType.CUDA
        # Looked up now, before a candidate could replace them.
        self._clock = perf_counter_ns
        self._to_first_core = partial(to_first_core, frozenset(os.sched_getaffinity(0)))
        if self._cuda:
            self._synchronize = torch.cuda.synchronize
            self._event = torch.cuda.Event
            # 128 MB, over twice the L2 of an H100 or H200: data that one side left there must not help the other.
            self._flush = torch.empty(1 << 27, dtype=torch.uint8, device="cuda")
            self._release_l2 = release_persisting_l2
            self._peak_bytes = torch.cuda.max_memory_reserved
            self._empty_cache = torch.cuda.empty_cache

    def stand_ready(self) -> None:
        """To be called before calls: on a CPU, leave the cores of OpenMP's other threads to them."""
        if not self._cuda:
            self._to_first_core()

    def time(self, module: torch.nn.Module, inputs: Sequence[Any]) -> Lap:
        """Time one call; on a GPU, with nothing of the inputs in the L2 cache."""
        if not self._cuda:
            self.stand_ready()
            start = self._clock()
            output = module(*inputs)
            return Lap((self._clock() - start) / 1e6, output)
        begin, end = self._event(enable_timing=True), self._event(enable_timing=True)
        # Lines that a kernel asked to persist survive any flush.
        self._release_l2()
        self._flush.zero_()
        self._synchronize()
        begin.record()
        output = module(*inputs)
        waited_ms = self._wait_after(end)
        # How long synchronising an idle device takes depends on the memory that the process has opened on it.
        late_ms = waited_ms - self._wait_after(self._event())
        ms = begin.elapsed_time(end)
        if late_ms <= WAIT_NOISE_MS + WAIT_NOISE_SHARE * ms:
            late_ms = 0.0
        return Lap(ms + late_ms, output)

    def _wait_after(self, end: Any) -> float:
        """Record ``end`` and wait for it; returns the milliseconds that the whole device takes from then on."""
        end.record()
        end.synchronize()
        ended = self._clock()
        self._synchronize()
        return (self._clock() - ended) / 1e6

    def profile(self, module: torch.nn.Module, inputs: Sequence[Any]) -> tuple[Profile, Any]:
        """Torch's profile of one call: operators, and on a GPU kernels on any stream (by CUPTI).

        Returns the call's output too.
        """
        device = {"use_device": "cuda"} if self._cuda else {}
        self.settle()
        with self._profile(use_cpu=True, use_kineto=True, **device) as profile:
            output = module(*inputs)
            self.settle()
        events = list(profile.kineto_results.events())
        on_device = [event for event in events if event.device_type() == self._device_type]
        spans_ns = sorted((event.start_ns(), event.start_ns() + event.duration_ns()) for event in on_device)
        busy_ns, until = 0, 0
        for start, end in spans_ns:
            busy_ns += max(0, end - max(start, until))
            until = max(until, end)
        profiled = Profile(
            busy_ms=busy_ns / 1e6 if busy_ns else None,
            operators=sorted({event.name().replace("::", ".") for event in events if "aten::" in event.name()}),
            kernels=sorted({event.name() for event in on_device}),
        )
        return profiled, output

    def settle(self) -> None:
        """Wait until all work on the device has ended."""
        if self._cuda:
            self._synchronize()

    def peak_bytes(self) -> int:
        """Peak device memory of torch."""
        return self._peak_bytes() if self._cuda else 0

    def leave_room(self) -> None:
        """Free the device memory that torch keeps for reuse."""
        if self._cuda:
            self._empty_cache()
