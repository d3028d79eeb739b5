"""A CPU under a name of its own, with locks of its own, on which trials check candidates beside each other."""

from typing import Any

from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.cpu import *  # noqa: F403

ID = "made-up-device"


def __getattr__(name: str) -> Any:
    return getattr(cpu, name)


def describe() -> dict[str, Any]:
    return {**cpu.describe(), "id": ID}
