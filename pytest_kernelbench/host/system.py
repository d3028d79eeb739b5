"""The operating system: what judging a candidate needs, and what works without it."""

from __future__ import annotations

import sys

from pytest_kernelbench.errors import UsageError

ELSEWHERE = (
    "judging needs Linux (namespaces, /proc), and this is {}; have a Linux host judge with --kernelbench-judges=URL, "
    "or run there; report, compare, export and plan work here"
)


def require_linux() -> None:
    """Raise UsageError unless a candidate can be judged on this operating system."""
    if sys.platform != "linux":
        raise UsageError(ELSEWHERE.format(sys.platform))
