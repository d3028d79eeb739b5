"""The hardware under this process: what it is called, how much is free, how to wait for it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from pytest_kernelbench.evaluation.sandbox import cgroup

# Share of a device's memory that torch may keep unused in the judge: giving it back takes 29 ms (H200).
SPARED = 0.02


def describe(device: str) -> dict[str, Any]:
    """Facts for ``run.json``; ``id`` names the hardware across processes."""
    if device == "cuda":
        from pytest_kernelbench.evaluation.device import devices_cuda

        return devices_cuda.describe()
    return {"id": "cpu", "name": _cpu_name(), "cores": cores(), "torch": torch.__version__}


def gpu_file(device: str) -> str | None:
    """Path of the device file of the GPU that this process computes on; None on a CPU, and where it is not known."""
    if device == "cuda":
        from pytest_kernelbench.evaluation.device import devices_cuda

        return devices_cuda.gpu_file()
    return None


class Clocks(Protocol):
    """What a device ran at while candidates were timed."""

    def read(self) -> None: ...
    def summary(self) -> dict[str, Any] | None: ...


class NoClocks:
    """Of a device that does not tell."""

    def read(self) -> None:
        """Nothing to read."""

    def summary(self) -> None:
        """Nothing was read."""


def clocks(device: str) -> Clocks:
    """To be read after each timing."""
    if device == "cuda":
        from pytest_kernelbench.evaluation.device import devices_cuda

        return devices_cuda.Clocks()
    return NoClocks()


def cores() -> int:
    """Whole cores that this process may use: of a container, what its quota allows."""
    allowed, quota = len(os.sched_getaffinity(0)), cgroup.cores()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def threads() -> int:
    """Threads that both sides compute with."""
    return cores()


def free_bytes(device: str) -> int:
    """Memory that can be taken now."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return cgroup.machine_memory_bytes()[1]


def held_bytes(device: str) -> int:
    """What torch holds in this process, in use or not."""
    return torch.cuda.memory_reserved() if device == "cuda" else 0


def _unused_bytes(device: str) -> int:
    return held_bytes(device) - torch.cuda.memory_allocated() if device == "cuda" else 0


def obtainable_bytes(device: str) -> int:
    """What this process can have without asking anybody: free memory, and what its torch keeps unused."""
    return free_bytes(device) + _unused_bytes(device)


def memory_bytes(device: str) -> int:
    """All that the device has."""
    if device == "cuda":
        # torch knows this; the driver, asked for what is free, makes others wait.
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return cgroup.machine_memory_bytes()[0]


def bytes_of_others(device: str) -> int:
    """Memory in use that is not torch's in this process."""
    return memory_bytes(device) - free_bytes(device) - held_bytes(device)


def leave_room(device: str, wanted_bytes: int | None = None) -> None:
    """Give back what torch keeps for later: a candidate must not lack memory because its judge holds it.

    Nothing is given back where ``wanted_bytes`` are free (None: it is not known how much is wanted).
    """
    if device == "cuda":
        unused = _unused_bytes(device)
        if unused > SPARED * memory_bytes(device) and (wanted_bytes is None or free_bytes(device) < wanted_bytes):
            torch.cuda.empty_cache()


def architecture(device: str) -> str:
    """What CUDA code is compiled for, as torch spells it (``9.0``); nothing on a CPU."""
    return "{}.{}".format(*torch.cuda.get_device_capability()) if device == "cuda" else ""


def gpu_properties(device: str) -> dict[str, Any] | None:
    """Of the current GPU, as torch names them; None on a CPU."""
    if device == "cpu":
        return None
    from pytest_kernelbench.evaluation.device import devices_cuda

    return devices_cuda.properties()


def settle(device: str) -> None:
    """Wait until the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def works(device: str) -> bool:
    """Whether this process can still compute on the device: after an error of CUDA it never can again."""
    try:
        settle(device)
    except RuntimeError:
        return False
    return True


def wait_until_idle(device: str) -> None:
    """Return when nothing of another process runs on a GPU. Raises DeviceBusy where that does not come to an end.

    On a CPU nothing runs whose process is stopped.
    """
    if device == "cuda":
        from pytest_kernelbench.evaluation.device import devices_cuda

        devices_cuda.wait_until_idle()


def milliseconds(device: str, work: Callable[[], object]) -> float:
    """Duration of ``work``: wall time on a CPU; on a GPU by events, without what the host needs to launch it."""
    if device == "cpu":
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
