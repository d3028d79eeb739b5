"""The made-up device with little memory: a task of 2.4 MB is a large one there."""

from typing import Any

import made_up_device
from made_up_device import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(made_up_device, name)


def memory_bytes() -> int:
    return 30 << 20
