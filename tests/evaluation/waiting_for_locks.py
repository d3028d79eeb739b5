"""Waiting until somebody waits for a lock."""

import fcntl
import time


def until_somebody_waits_to_be_alone(device_name, folder):
    """Return once a thread or process waits for the device of this name alone, and has the gate for it."""
    deadline = time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline
        try:
            with (folder / f"kernelbench-{device_name}-gate.lock").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except FileNotFoundError:
            pass  # nobody came to it yet
        time.sleep(0.01)
