"""The watchdog over a candidate's processes, with limits that do not hurt the machine."""

import subprocess
import sys

import pytest

from pytest_kernelbench.evaluation import sandbox

# Waits in so many processes below the watchdog, and exits with what the watchdog says: 9 is SIGKILL.
WAITS = """
import os, sys, time
from pathlib import Path
from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.sandbox import watchdog

folder, started, allowed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
limits = sandbox.Limits(
    folder_bytes=1 << 20, address_space_bytes=None, resident_bytes=1 << 40, processes=allowed
)
isolation = sandbox.probe_isolation(device="cpu")
sandbox.enter(isolation, folder, limits, device="cpu")
if os.fork() == 0:
    sees_it = sandbox.own_process_table(isolation)
    worker = os.fork()
    if worker == 0:
        for _ in range(started - 1):
            if os.fork() == 0:
                break
        time.sleep(3)
        os._exit(0)
    status, by_others = watchdog.watch(worker, isolation, limits, folder=folder, sees_it=sees_it)
    os._exit(1 if by_others else status)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize(("started", "ended_by"), [(5, 0), (6, 9)])
def test_a_candidate_with_more_processes_than_its_limit_is_ended(tmp_path, started, ended_by):
    if not sandbox.probe_isolation(device="cpu").processes:
        pytest.skip("this machine grants no processes namespace")
    command = [sys.executable, "-c", WAITS, str(tmp_path), str(started), "5"]
    assert subprocess.run(command, timeout=60).returncode == ended_by
