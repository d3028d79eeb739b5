"""Cores and memory that control groups allow this process: a container has less than the machine.

And how many processes the kernel ended because that memory was used up.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")


def cores(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Cores that the quotas of this process's groups allow; None where there is none."""
    found = []
    for folder in _folders("cpu", root, own):
        quota = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"),
            *_numbers(folder / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and min(quota) > 0:
            found.append(quota[0] / quota[1])
    return min(found, default=None)


class MemoryBytes(NamedTuple):
    """Bytes of memory that this process may use: ``whole`` in all, of which ``free`` are free now."""

    whole: int
    free: int


def memory_bytes(root: Path = ROOT, own: Path = OWN) -> MemoryBytes | None:
    """The tightest memory limit of this process's groups, and the free memory below it; None without a limit.

    Files that the kernel keeps in memory, and has not used lately, count as free.
    """
    found = []
    for folder in _folders("memory", root, own):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _numbers(folder / limit_name), _numbers(folder / used_name)
            if limit and used:
                found.append((limit[0] - used[0] + _inactive_files(folder), limit[0]))
    free, limit_bytes = min(found, default=(0, 0))
    # Without a limit, the first version of control groups says 2^63.
    return MemoryBytes(limit_bytes, max(0, free)) if found and limit_bytes < 1 << 60 else None


def memory_kills(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Processes of this process's group that the kernel has ended for lack of memory; None where it does not say."""
    for folder in _folders("memory", root, own):
        for name in ("memory.events", "memory.oom_control"):
            if (killed := dict(_named_numbers(folder / name)).get("oom_kill")) is not None:
                return killed
    return None


def machine_memory_bytes() -> MemoryBytes:
    """The machine's memory, or the control group's where that is less."""
    lines = MEMINFO.read_text().splitlines()
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[:3]}
    whole, free = kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    limited = memory_bytes()
    if limited is None:
        return MemoryBytes(whole, free)
    return MemoryBytes(min(whole, limited.whole), min(free, limited.free))


def _folders(controller: str, root: Path, own: Path) -> list[Path]:
    """The group of this process and all groups above it, in both versions of control groups."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        # Inside a container its own group is the root, whatever the host calls it.
        group = base / path.lstrip("/")
        while group != base:
            found.append(group)
            group = group.parent
        found.append(base)
    return found


def _numbers(file: Path) -> list[int]:
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):  # "max": no limit
        return []


def _inactive_files(folder: Path) -> int:
    counted = _named_numbers(folder / "memory.stat")
    return sum(number for name, number in counted if name in ("inactive_file", "total_inactive_file"))


def _named_numbers(file: Path) -> list[tuple[str, int]]:
    """The lines of a file such as ``memory.stat``: a name and a number in each. Empty if it cannot be read."""
    try:
        words = [line.split() for line in file.read_text().splitlines()]
        return [(name, int(number)) for name, number in words]
    except (OSError, ValueError):
        return []
