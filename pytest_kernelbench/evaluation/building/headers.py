"""Precompiled headers in the build cache: which of them a build may use, and when one is worth making.

Making one takes as long as a few builds save by it. So the first source that could use a header leaves a mark in the
cache, and the second one has the header made, in parallel. All later builds with the same flags use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation.building.cache import touch
from pytest_kernelbench.evaluation.worker import precompiled

Flags = tuple[str, ...]


def fitting(request: Mapping[str, Any], key: str, cache: Path, begin: Callable[[Flags], None]) -> Path | None:
    """The header for a request with this ``key``; None if there is none yet. ``begin(flags)`` starts making one."""
    flags = precompiled.flags_of(request)
    if flags is None:
        return None
    header, complaint = places_of(flags, cache)
    if header.exists():
        touch(header)
        return header
    mark = header.with_suffix(".asked")
    if not mark.exists():
        mark.write_text(key)
    elif mark.read_text() != key and not complaint.exists():
        begin(flags)
    return None


def places_of(flags: Flags, cache: Path) -> tuple[Path, Path]:
    """The files of the cache for these flags: the header, and the compiler's messages if it could make none."""
    header = cache / precompiled.name_of(flags)
    return header, header.with_suffix(".txt")
