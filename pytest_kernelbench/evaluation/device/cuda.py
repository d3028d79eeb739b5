"""One NVIDIA GPU and its clock rates: see ``Device``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import torch

from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.device.cuda_memory import CudaMemory, CudaProcessMemory, exported
from pytest_kernelbench.host.gpus import device_file

# Share of a device's memory that torch may keep unused in the judge: giving it back takes 29 ms, and 0.3 s beside nine
# other judges (H200).
SPARED = 0.02
# ``SPARED`` of a judge that waits for builds or requests: eight of them would keep a sixth of the memory.
SPARED_FOR_LONG = 0.002
# torch rounds sizes up to whole blocks, and gives tensors up to 1 MiB allocations of 2 MiB, whatever else it keeps.
BLOCK_BYTES, SMALL_BYTES = 512, 1 << 20
# NVML's bits for conditions that slow the GPU down, which a timing should not have.
HOLDS_BACK = {
    "software power cap": 0x4,
    "hardware slowdown": 0x8,
    "software thermal slowdown": 0x20,
    "hardware thermal slowdown": 0x40,
    "hardware power brake": 0x80,
}
QUERY = "driver_version,clocks.sm,clocks.mem,clocks_event_reasons.active"
# A judge runs a copy of the reference on the CPU on a few rows (``few_rows``). With a thread for each core, eight
# judges on 16 cores took 60 to 100 ms for such a call.
MOST_THREADS = 4

Found = TypeVar("Found")

__all__ = ["exported"]  # a part of ``Device``


def threads() -> int:
    """At most four: judge and workers compute little on the CPU, and other judges compute there at the same time."""
    return min(MOST_THREADS, cores())


def describe() -> dict[str, Any]:
    """The current GPU; ``id`` is its UUID, which no ``CUDA_VISIBLE_DEVICES`` changes."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    uuid = _uuid()
    driver, sm_mhz, memory_mhz, reasons = _state(uuid) or _asked(uuid)
    return {
        "id": uuid,
        "name": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "driver": driver,
        "clocks": {"sm_mhz": sm_mhz, "memory_mhz": memory_mhz, "event_reasons": reasons},
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


@cache
def gpu_properties() -> dict[str, Any]:
    """The properties of the current GPU in torch that are numbers or texts."""
    told = torch.cuda.get_device_properties(torch.cuda.current_device())
    values = {name: getattr(told, name) for name in dir(told) if not name.startswith("_")}
    return {name: value for name, value in values.items() if isinstance(value, int | float | str)}


@cache
def gpu_file() -> str | None:
    """Path of the current GPU's device file, None where that is not known."""
    return device_file(_uuid())


class Clocks:
    """The GPU's rates while candidates were timed: the range of its SM clock, and the reasons that lowered it.

    Read with nvidia-ml-py (the ``cuda`` extra) after each timing; without it, there are no rates.
    """

    def __init__(self) -> None:
        self._sm_mhz: list[int] = []
        self._held_back: dict[str, int] = {}

    def read(self) -> None:
        """To be called right after a timing, before the clocks fall. Where NVML fails, nothing is read."""
        reading = _asked_of_nvml(_uuid(), _clock_and_reasons)
        if reading is None:
            return
        sm_mhz, active = reading
        self._sm_mhz.append(sm_mhz)
        for name, bit in HOLDS_BACK.items():
            if active & bit:
                self._held_back[name] = self._held_back.get(name, 0) + 1

    def summary(self) -> dict[str, Any] | None:
        """``held_back`` counts readings by reason; None where none was made."""
        if not self._sm_mhz:
            return None
        return {
            "readings": len(self._sm_mhz),
            "sm_mhz_min": min(self._sm_mhz),
            "sm_mhz_max": max(self._sm_mhz),
            "held_back": dict(self._held_back),
        }


def clocks() -> Clocks:
    """To be read after each timing."""
    return Clocks()


def free_bytes() -> int:
    """Memory that can be taken now."""
    return torch.cuda.mem_get_info()[0]


def held_bytes() -> int:
    """Memory that torch has allocated in this process, in use or not."""
    return torch.cuda.memory_reserved()


def obtainable_bytes() -> int:
    """Memory that this process can take now: free memory, and memory that its torch keeps unused."""
    return free_bytes() + unused_bytes()


def unused_bytes() -> int:
    """Memory that torch keeps in this process, and that no tensor uses."""
    return held_bytes() - torch.cuda.memory_allocated()


def hold_for(sizes: Sequence[int]) -> None:
    """Have torch keep unused memory for tensors of these sizes, if it keeps less.

    Large ones get one allocation, if there is one; to small ones torch gives allocations of 2 MB, for several each.
    """
    wanted = sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes if size > SMALL_BYTES)
    with suppress(torch.OutOfMemoryError):
        if unused_bytes() < wanted:
            _bytes(wanted)
        small = [_bytes(size) for size in sizes if size <= SMALL_BYTES]
        del small


def _bytes(count: int) -> torch.Tensor:
    return torch.empty(count, dtype=torch.uint8, device="cuda")


def memory_bytes() -> int:
    """Total memory of the GPU."""
    # From torch, because asking the driver for free memory makes other processes wait.
    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory


def bytes_of_others() -> int:
    """Memory in use that is not torch's in this process."""
    return memory_bytes() - free_bytes() - held_bytes()


def leave_room(wanted_bytes: int | None = None, *, for_long: bool = False) -> None:
    """Free the memory that torch keeps unused, unless it is little or ``wanted_bytes`` are free."""
    unused, spared = unused_bytes(), SPARED_FOR_LONG if for_long else SPARED
    if unused > spared * memory_bytes() and (wanted_bytes is None or free_bytes() < wanted_bytes):
        torch.cuda.empty_cache()


def architecture() -> str:
    """The architecture that CUDA code is compiled for, as torch writes it (``9.0``)."""
    return "{}.{}".format(*torch.cuda.get_device_capability())


def warm_up() -> None:
    """Make a context, load the first kernels, and import what operators on shapes alone need (800 modules, 1 s).

    Eight judges that start at once take 3 s for their contexts (H200).
    """
    square = torch.rand(16, 16, device="cuda")
    torch.mm(square, square)
    torch.empty(1, device="meta").add(1)
    settle()


def settle() -> None:
    """Wait until all work of this process on the GPU has ended."""
    torch.cuda.synchronize()


def works() -> bool:
    """Whether this process can still compute on the GPU: after an error of CUDA it never can again."""
    try:
        settle()
    except RuntimeError:
        return False
    return True


def milliseconds(work: Callable[[], object]) -> float:
    """Duration of ``work`` by events, without the host's time to launch it."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def new_memory(size: int) -> CudaMemory:
    """``size`` zeroed bytes of device memory. Raises torch.OutOfMemoryError."""
    return CudaMemory.create(size)


def map_memory(name: str, size: int, descriptors: Iterator[int]) -> CudaMemory:
    """The other side of ``new_memory``; a handle is a name, so no descriptor is needed."""
    return CudaMemory.opened(name, size)


def unmap_memory() -> None:
    """Close the handles of all memory that was opened."""
    CudaMemory.close_opened()


def memory_of(process: int) -> CudaProcessMemory:
    """Device memory is opened by the handles that a worker sends; ``process`` is not used."""
    return CudaProcessMemory()


# Contexts of one GPU take turns of about a millisecond: while another one computes, a short kernel waits for its turn,
# and takes more than so many times as long.
IDLE_WITHIN = 3.0
PROBES_IN_A_ROW = 2


class _Probe:
    """A short kernel of this process, and how long it takes on an idle device."""

    def __init__(self) -> None:
        self._target = torch.zeros(1 << 10, device="cuda")
        self.least_s = min(self.seconds() for _ in range(20))

    def seconds(self) -> float:
        started = time.perf_counter()
        self._target.add_(1)
        torch.cuda.synchronize()
        return time.perf_counter() - started


@cache
def _probe() -> _Probe:
    return _Probe()


def wait_until_idle(within_s: float) -> None:
    """Return when short kernels take no longer than on an idle device. Raises DeviceBusy if that takes longer."""
    probe, quick = _probe(), 0
    started = time.perf_counter()
    while quick < PROBES_IN_A_ROW:
        seconds = probe.seconds()
        quick = quick + 1 if seconds < IDLE_WITHIN * probe.least_s else 0
        probe.least_s = min(probe.least_s, seconds)
        if time.perf_counter() - started > within_s:
            raise DeviceBusy(f"the GPU was at work for {within_s:.0f} s while no process might compute")


@cache
def _nvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _uuid() -> str:
    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"


def _state(uuid: str) -> list[str | None] | None:
    """Driver, SM and memory clock in MHz, and what lowers the clocks, as nvidia-smi writes them; None without NVML."""

    def ask(nvml: Any, device: Any) -> list[str | None]:
        sm_mhz, active = _clock_and_reasons(nvml, device)
        memory_mhz = nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_MEM)
        return [nvml.nvmlSystemGetDriverVersion(), str(sm_mhz), str(memory_mhz), f"0x{active:016x}"]

    return _asked_of_nvml(uuid, ask)


def _clock_and_reasons(nvml: Any, device: Any) -> tuple[int, int]:
    """The SM clock in MHz, and the bits of what lowers the clocks."""
    sm_mhz = nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM)
    return sm_mhz, nvml.nvmlDeviceGetCurrentClocksEventReasons(device)


def _asked_of_nvml(uuid: str, ask: Callable[[Any, Any], Found]) -> Found | None:
    """What ``ask`` returns for the library and the GPU; None without NVML, or where it fails."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        return ask(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
    except (nvml.NVMLError, AttributeError):  # an older library has no such function
        return None


def _asked(uuid: str) -> list[str | None]:
    """As ``_state``, from nvidia-smi, which takes seconds beside the starts of other judges (H200)."""
    unknown: list[str | None] = [None] * len(QUERY.split(","))
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--id={uuid}", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return unknown
    return [part.strip() for part in done.stdout.split(",")] if done.returncode == 0 else unknown
