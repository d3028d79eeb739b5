"""A process that waits for a lock finds the run folder of the process that holds it: real locks, real processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from pytest_kernelbench.host.waiting import folder_of_holder

HOLD = """
import fcntl, os, sys, time

file = open(sys.argv[1], "a")
print(os.getpid(), flush=True)
fcntl.flock(file, fcntl.LOCK_EX)
print("holds", flush=True)
time.sleep(60)
"""
# Its child outlives it, and is then below no process of the tests, as if another run had started it.
APART = "import subprocess, sys; subprocess.Popen(sys.argv[1:])"


@contextmanager
def process_with(file, cwd, *, apart=False, holds=True):
    """A process that asks for the lock, once it has it; ``holds`` false: that waits for it."""
    command = [sys.executable, "-c", HOLD, str(file)]
    before = [sys.executable, "-c", APART] if apart else []
    started = subprocess.Popen([*before, *command], cwd=cwd, stdout=subprocess.PIPE, text=True)
    pid = int(started.stdout.readline())
    try:
        if holds:
            assert started.stdout.readline() == "holds\n"
        if apart:
            started.wait()
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        started.communicate()


def holder_within_ten_seconds(folder):
    deadline = time.monotonic() + 10
    while (found := folder_of_holder(folder, "kernelbench-*.lock")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_folder_of_the_process_that_holds_the_lock_is_found(tmp_path):
    other, file = tmp_path / "other", tmp_path / "kernelbench-cpu.lock"
    other.mkdir()
    with process_with(file, other, apart=True):
        assert folder_of_holder(tmp_path, "kernelbench-*.lock") is None
        with process_with(file, tmp_path, holds=False):
            assert holder_within_ten_seconds(tmp_path) == other
            assert folder_of_holder(tmp_path, "others-*.lock") is None


def test_a_lock_that_this_process_or_its_child_holds_is_not_another_run_s(tmp_path):
    file = tmp_path / "kernelbench-cpu.lock"
    with process_with(file, tmp_path), process_with(file, tmp_path, holds=False):
        time.sleep(0.3)
        assert folder_of_holder(tmp_path, "kernelbench-*.lock") is None
