"""Which devices there are, by torch's names. Imports no torch: the plugin asks, and so does the sandbox."""

from __future__ import annotations

from pathlib import Path

from pytest_kernelbench.errors import UsageError

# By torch's name: whether it is a GPU.
GPUS = {"cpu": False, "cuda": True}


def is_gpu(name: str) -> bool:
    """Whether a device is a GPU, by torch's name (``cuda`` or ``cuda:1``)."""
    return GPUS.get(name.partition(":")[0], False)


def resolve_device(wanted: str) -> str:
    """``cpu`` or ``cuda``. Raises UsageError when CUDA was asked for and is not there."""
    if wanted in GPUS and not is_gpu(wanted):
        return wanted
    if wanted not in GPUS and wanted != "auto":
        raise UsageError(f"--kernelbench-device={wanted}: no such device; there are auto, {', '.join(GPUS)}")
    # Asking the driver's own files costs nothing; asking torch costs seconds.
    available = any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))
    if available:
        import torch

        available = torch.cuda.is_available()
    if is_gpu(wanted) and not available:
        raise UsageError(
            "--kernelbench-device=cuda: no CUDA device that torch can use here; "
            "install a CUDA build of torch and a driver, or use --kernelbench-device=cpu"
        )
    return "cuda" if available else "cpu"
