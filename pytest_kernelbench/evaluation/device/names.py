"""Resolves the name of a device, and finds whether it is there. Imports no torch, for the plugin and the sandbox."""

from __future__ import annotations

from pathlib import Path

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.device.traits import DEVICES


def is_gpu(name: str) -> bool:
    """Whether a device is a GPU, by its name (``cuda`` or ``cuda:1``); False for a name that is not in the table."""
    traits = DEVICES.get(name.partition(":")[0])
    return traits is not None and traits.is_gpu


def needs_no_gpu(wanted: str) -> bool:
    """Whether the named device is in the table and is no GPU. False for ``auto``, which may become one."""
    return wanted in DEVICES and not is_gpu(wanted)


def sizes_on(device: str) -> str:
    """The sizes of a task that ``auto`` stands for: ``full`` on a GPU, ``small`` elsewhere."""
    return "full" if is_gpu(device) else "small"


def check_device(wanted: str, place: str = "device") -> None:
    """Raise UsageError for a name that is neither ``auto`` nor in the table; it begins with ``place``."""
    if wanted not in DEVICES and wanted != "auto":
        raise UsageError(f"{place}={wanted}: no such device; there are auto, {', '.join(DEVICES)}")


def resolve_device(wanted: str, place: str = "device") -> str:
    """The name of a device in the table; ``auto`` becomes ``cuda`` where torch can use it, else ``cpu``.

    Raises UsageError for an unknown name, and for a GPU where CUDA cannot be used; it begins with ``place``, which is
    the argument or the option that named the device.
    """
    if needs_no_gpu(wanted):
        return wanted
    check_device(wanted, place)
    # The driver's device files are looked at first: torch takes seconds to import.
    available = any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))
    if available:
        import torch

        available = torch.cuda.is_available()
    if is_gpu(wanted) and not available:
        raise UsageError(
            f"{place}={wanted}: no CUDA device that torch can use here; "
            f"install a CUDA build of torch and a driver, or use {place}=cpu"
        )
    if wanted != "auto":
        return wanted
    return "cuda" if available else "cpu"
