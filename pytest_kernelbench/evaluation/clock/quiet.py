"""When a measurement has its device for itself. Imports no torch."""

from __future__ import annotations

from typing import Protocol


class Quiet(Protocol):
    """Between series a device may serve other trials; while turns are timed, it must not."""

    def begin(self) -> None:
        """Returns once nothing else happens on the device. The workers of the series are stopped meanwhile."""

    def is_over(self) -> None:
        """Others may use the device, and return once this process may use it beside them."""


class _Always:
    """Of a process that has the device for itself all the time."""

    def begin(self) -> None:
        pass

    def is_over(self) -> None:
        pass


ALWAYS_QUIET: Quiet = _Always()
