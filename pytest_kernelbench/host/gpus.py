"""The GPUs that this process may divide among workers, found without torch and without a context."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path

GPU_FACT = re.compile(r"^([^:\n]+):[ \t]*(\S+)[ \t]*$", re.MULTILINE)
GPU_LINE = re.compile(r"^(?P<indent>\s*)(?:GPU|MIG) .*\(UUID: (?P<uuid>[^)]+)\)$")


def visible_gpus(environment: Mapping[str, str], listing: Callable[[], str] | None = None) -> list[str]:
    """Values for ``CUDA_VISIBLE_DEVICES``, one for each GPU; empty without a GPU.

    If the variable is set already, its entries are returned, since an index counts the GPUs of the host. As in CUDA,
    the list ends before a negative number, which hides all GPUs.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        named = [each.strip() for each in environment["CUDA_VISIBLE_DEVICES"].split(",")]
        return [each for each in takewhile(lambda each: not each.startswith("-"), named) if each]
    return uuids_in((listing or _nvidia_smi)())


def uuids_in(listing: str) -> list[str]:
    """UUIDs in the output of ``nvidia-smi -L``; for a GPU that is divided (MIG), the UUIDs of its parts."""
    found: list[str] = []
    whole: str | None = None
    for line in listing.splitlines():
        row = GPU_LINE.match(line)
        if row is None:
            continue
        if not row["indent"]:
            whole = row["uuid"]
        elif whole is not None and found[-1:] == [whole]:
            found.pop()
        found.append(row["uuid"])
    return found


def device_file(uuid: str, facts: Path = Path("/proc/driver/nvidia/gpus")) -> str | None:
    """Path of the device file of a GPU; None if the driver has none: for a part of a GPU (MIG), or in WSL."""
    for path in facts.glob("*/information"):
        of = dict(GPU_FACT.findall(path.read_text()))
        if of.get("GPU UUID") == uuid:
            return f"/dev/nvidia{of['Device Minor']}"
    return None


def _nvidia_smi() -> str:
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
