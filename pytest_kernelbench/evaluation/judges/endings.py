"""How a process of the harness ended, in words."""

from __future__ import annotations

import signal

from pytest_kernelbench.evaluation.sandbox.cgroup import memory_kills

AGAIN = "run again to resume"


def how_it_ended(exit_code: int | None, *, otherwise: str, kills_before: int | None) -> tuple[str, str]:
    """How a process ended, as words to put into brackets, and the remedy.

    ``exit_code``: as ``subprocess`` has it, negative for a signal; None if it is not known. ``otherwise``: the words if
    no signal ended it. ``kills_before``: what ``memory_kills`` returned while the process still ran.
    """
    if exit_code is None or exit_code >= 0:
        return otherwise, AGAIN
    by = f"by {signal_name(-exit_code)}"
    if exit_code != -signal.SIGKILL:
        return by, AGAIN
    kills = memory_kills()
    if kills is not None and kills_before is not None and kills > kills_before:
        whom = "a process" if kills - kills_before == 1 else f"{kills - kills_before} processes"
        told = f"{by}: the kernel ended {whom} of this control group for lack of memory"
        return told, f"allow more memory or run less beside it, and {AGAIN}"
    return f"{by}, which the kernel sends where memory is short", f"look for the cause in dmesg, and {AGAIN}"


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 40`` for a real-time signal, which has a number only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
