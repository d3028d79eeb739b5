"""Facts about one NVIDIA GPU."""

from __future__ import annotations

import subprocess
from typing import Any

import torch

QUERY = "driver_version,clocks.sm,clocks.mem,clocks_event_reasons.active"


def describe() -> dict[str, Any]:
    """The current GPU; ``id`` is its UUID, which no ``CUDA_VISIBLE_DEVICES`` changes."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    uuid = f"GPU-{properties.uuid}"
    driver, sm_mhz, memory_mhz, reasons = _query(uuid, QUERY)
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


def _query(uuid: str, names: str) -> list[str | None]:
    unknown: list[str | None] = [None] * len(names.split(","))
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--id={uuid}", f"--query-gpu={names}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return unknown
    return [part.strip() for part in done.stdout.split(",")] if done.returncode == 0 else unknown
