"""Waiting until somebody waits for a lock."""

import fcntl
import time

# Who comes to share, or looks whether it is waited for, has the gate for a moment.
TIMES_IN_A_ROW = 5


def until_somebody_waits_to_be_alone(device_name, folder):
    """Return once a thread or process waits for the device of this name alone, and has the gate for it."""
    deadline, taken = time.monotonic() + 20, 0
    while taken < TIMES_IN_A_ROW:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        try:
            with (folder / f"kernelbench-{device_name}-gate.lock").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = 0
        except BlockingIOError:
            taken += 1
        except FileNotFoundError:
            taken = 0  # nobody came to it yet
