"""Facts about the machine that a kernel is for, as a prompt may state them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON", "sve": "SVE", "amx_tile": "AMX"}


@lru_cache(maxsize=2)
def device_facts(target: str) -> str:
    """One line a fact, for "cpu" or "cuda"; about a GPU only facts that hold for the one that PyTorch uses here."""
    return "\n".join(f"- {fact}" for fact in (_gpu() if target == "cuda" else _cpu()))


def _gpu() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return ["an NVIDIA GPU, which is not in this machine"]
    return facts_of_gpu(torch.cuda.get_device_properties(torch.cuda.current_device()))


def facts_of_gpu(properties: Any) -> list[str]:
    """Facts from ``torch.cuda.get_device_properties``, as far as this PyTorch knows them."""

    def known(name: str) -> Any:
        return getattr(properties, name, None)

    facts = [
        f"{properties.name}, compute capability {properties.major}.{properties.minor}",
        f"{properties.multi_processor_count} multiprocessors, {properties.total_memory / 2**30:.0f} GiB of memory",
    ]
    if cache := known("L2_cache_size"):
        facts.append(f"{cache / 2**20:.0f} MiB of L2 cache")
    if shared := known("shared_memory_per_block_optin") or known("shared_memory_per_block"):
        facts.append(f"{shared // 1024} KiB of shared memory a block at most")
    if (clock := known("memory_clock_rate")) and (width := known("memory_bus_width")):
        # kHz and bits; two transfers a clock.
        facts.append(f"memory of {2 * clock * 1e3 * width / 8 / 1e12:.1f} TB/s at best")
    return facts


def _cpu() -> list[str]:
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:
        described = ""
    return facts_of_cpu(described, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def facts_of_cpu(described: str, cores: int | None) -> list[str]:
    """Facts from ``/proc/cpuinfo``, and the number of cores that may be used."""
    rows: Mapping[str, str] = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in described.splitlines())
    }
    flags = (rows.get("flags") or rows.get("Features") or "").split()
    vectors = [name for flag, name in VECTORS.items() if flag in flags]
    facts = [rows.get("model name") or platform.machine(), f"{cores or 1} cores that may be used"]
    return facts + ([f"vectors: {', '.join(vectors)}"] if vectors else [])
