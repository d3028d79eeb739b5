"""Marks the times in which a measurement needs its device for itself. Imports no torch."""

from __future__ import annotations

from typing import Protocol


class Quiet(Protocol):
    """Told when a measurement times, and when other trials may use the device."""

    def begin(self) -> None:
        """Returns once nothing else happens on the device. The workers of the series are stopped meanwhile."""

    def is_over(self) -> None:
        """Let others use the device; returns once this process may use it beside them."""


class _Always:
    """For a process that has the device for itself all the time."""

    def begin(self) -> None:
        pass

    def is_over(self) -> None:
        pass


ALWAYS_QUIET: Quiet = _Always()
