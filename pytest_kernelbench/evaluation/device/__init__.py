"""The hardware that candidates are judged on: one protocol, with a module for a CPU and one for NVIDIA's GPUs.

A device has a name; the table in ``traits.py`` has its constants, and ``device_named`` returns its module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_kernelbench.evaluation.device.traits import traits_of

if TYPE_CHECKING:
    import torch

    from pytest_kernelbench.evaluation.device.foreign import Exported
    from pytest_kernelbench.evaluation.device.foreign import Memory as ForeignMemory
    from pytest_kernelbench.evaluation.device.shared import Memory as SharedMemory


class Clocks(Protocol):
    """The clock rates of a device while candidates were timed."""

    def read(self) -> None:
        """To be called right after a timing, before the clocks fall."""

    def summary(self) -> dict[str, Any] | None:
        """The range of the rates read; None if none was read."""


class Device(Protocol):
    """The functions of a device that the judge and a worker call; ``cpu.py`` and ``cuda.py`` have them.

    Memory is in bytes. "This process" is the caller's.
    """

    def describe(self) -> dict[str, Any]:
        """Facts for ``run.json``; ``id`` names the hardware across processes."""

    def threads(self) -> int:
        """How many CPU threads the judge and a worker compute with."""

    def gpu_file(self) -> str | None:
        """Path of the device file of the GPU that this process computes on; None on a CPU, or where not known."""

    def clocks(self) -> Clocks:
        """To be read after each timing."""

    def free_bytes(self) -> int:
        """Memory that can be taken now."""

    def held_bytes(self) -> int:
        """Memory that torch has allocated in this process, in use or not."""

    def obtainable_bytes(self) -> int:
        """Memory that this process can take now: free memory, and memory that its torch keeps unused."""

    def memory_bytes(self) -> int:
        """Total memory of the device."""

    def unused_bytes(self) -> int:
        """Memory that torch keeps in this process, and that no tensor uses."""

    def hold_for(self, sizes: Sequence[int]) -> None:
        """Have torch keep unused memory for tensors of these sizes, if it keeps less: in one allocation, if it can."""

    def bytes_of_others(self) -> int:
        """Memory in use, without the memory of torch in this process."""

    def leave_room(self, wanted_bytes: int | None = None, *, for_long: bool = False) -> None:
        """Free the memory that torch keeps for reuse: a candidate must not lack memory because its judge holds it.

        Nothing is freed if ``wanted_bytes`` are free already (None: the need is not known). ``for_long``: this process
        may have nothing to do on the device for seconds, so that less is kept for its next calls.
        """

    def architecture(self) -> str:
        """The architecture that CUDA code is compiled for, as torch writes it (``9.0``); empty on a CPU."""

    def gpu_properties(self) -> dict[str, Any] | None:
        """Properties of the current GPU, by torch's names; None on a CPU."""

    def warm_up(self) -> None:
        """Do what only this process's first work on the device needs."""

    def settle(self) -> None:
        """Wait until all work of this process on the device has ended."""

    def works(self) -> bool:
        """Whether this process can still compute on the device. After a CUDA error it cannot."""

    def wait_until_idle(self, within_s: float) -> None:
        """Return when no other process's work runs on the device. Raises DeviceBusy if that takes longer."""

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Duration of ``work``: wall time on a CPU; on a GPU by events, without the host's time to launch it."""

    def new_memory(self, size: int) -> SharedMemory:
        """``size`` bytes that the judge shares with a worker. Raises torch.OutOfMemoryError."""

    def map_memory(self, name: str, size: int, descriptors: Any) -> SharedMemory:
        """The judge's memory, mapped into a worker; ``descriptors`` yields the descriptors that came with a message."""

    def unmap_memory(self) -> None:
        """Let go of all of the judge's memory that is mapped here, once no tensor in it is left."""

    def exported(self, tensors: Sequence[torch.Tensor]) -> Exported:
        """Where this process's tensors are, for another process to read them; the clock is running meanwhile."""

    def memory_of(self, process: int) -> ForeignMemory:
        """The memory of a worker's ``process`` on this device, for the judge to read."""


def device_named(name: str) -> Device:
    """The module of a device, by the device's name. Imports torch."""
    return cast(Device, import_module(traits_of(name).module))
