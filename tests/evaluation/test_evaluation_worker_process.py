"""The handle on one worker: how it ends, and on which cores it runs."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess


@pytest.mark.parametrize("held", [True, False])
def test_a_worker_begins_to_end_before_it_is_waited_for(held):
    child = subprocess.Popen(["sleep", "60"])
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    os.close(writing)
    worker = WorkerProcess(ours, reading, child.pid, os.pidfd_open(child.pid) if held else None)
    worker.end()
    if held:
        assert child.wait(20) == -signal.SIGTERM
    else:
        assert child.poll() is None
    theirs.close()
    worker.kill()
    assert child.wait(20) == -signal.SIGTERM


def test_all_threads_of_a_worker_are_kept_to_the_cores_that_are_given(monkeypatch):
    code = (
        "import threading, time\n"
        "threads = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(3)]\n"
        "[each.start() for each in threads]\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    start = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])"
    ours, theirs = socket.socketpair()
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE) as supervisor:
        supervisor.stdout.readline()
        worker = WorkerProcess(ours, -1, supervisor.pid, os.pidfd_open(supervisor.pid))
        core = min(os.sched_getaffinity(0))
        worker.keep_to({core})
        (below,) = sandbox.descendants(supervisor.pid)
        threads_of_worker = os.listdir(f"/proc/{below}/task")
        assert len(threads_of_worker) == 4
        assert all(os.sched_getaffinity(int(each)) == {core} for each in threads_of_worker)
        os.kill(below, signal.SIGKILL)
    # Another process may have the number now.
    monkeypatch.setattr(sandbox, "descendants", None)
    worker.keep_to({core})
    os.close(worker.hold)
    for each in (ours, theirs):
        each.close()
