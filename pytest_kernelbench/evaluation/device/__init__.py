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

    from pytest_kernelbench.evaluation.device.foreign import Memory as ForeignMemory
    from pytest_kernelbench.evaluation.device.shared import Memory as SharedMemory


class Clocks(Protocol):
    """What a device ran at while candidates were timed."""

    def read(self) -> None:
        """To be called right after a timing, before the clocks fall."""

    def summary(self) -> dict[str, Any] | None:
        """The range of what was read; None where nothing was."""


class Device(Protocol):
    """What the judge and a worker ask of the hardware under them; ``cpu.py`` and ``cuda.py`` answer it.

    Memory is in bytes. "This process" is the one that asks.
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
        """What torch holds in this process, in use or not."""

    def obtainable_bytes(self) -> int:
        """What this process can have without asking anybody: free memory, and what its torch keeps unused."""

    def memory_bytes(self) -> int:
        """All that the device has."""

    def bytes_of_others(self) -> int:
        """Memory in use that is not torch's in this process."""

    def leave_room(self, wanted_bytes: int | None = None) -> None:
        """Give back what torch keeps for later: a candidate must not lack memory because its judge holds it.

        Nothing is given back where ``wanted_bytes`` are free (None: it is not known how much is wanted).
        """

    def architecture(self) -> str:
        """What CUDA code is compiled for, as torch spells it (``9.0``); nothing on a CPU."""

    def gpu_properties(self) -> dict[str, Any] | None:
        """Of the current GPU, as torch names them; None on a CPU."""

    def settle(self) -> None:
        """Wait until the device has nothing left to do."""

    def works(self) -> bool:
        """Whether this process can still compute on the device: after an error of CUDA it never can again."""

    def wait_until_idle(self) -> None:
        """Return when nothing of another process runs there. Raises DeviceBusy where that does not come to an end."""

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Duration of ``work``: wall time on a CPU; on a GPU by events, without what the host needs to launch it."""

    def new_memory(self, size: int) -> SharedMemory:
        """So many bytes that the judge shares with a worker. Raises torch.OutOfMemoryError."""

    def map_memory(self, name: str, size: int, descriptors: Any) -> SharedMemory:
        """The judge's memory as a worker sees it; ``descriptors`` gives the next one that came with a message."""

    def exported(self, tensors: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[tuple[int, str]]]:
        """Where tensors of this process are, for another to read: an address each, and on a GPU a handle.

        With them the tensors, some of them copied where no other process could see them.
        """

    def memory_of(self, process: int) -> ForeignMemory:
        """The memory of a worker's ``process`` on this device, as the judge reads it."""


def device_named(name: str) -> Device:
    """The module of a device, by the device's name. Imports torch."""
    return cast(Device, import_module(traits_of(name).module))
