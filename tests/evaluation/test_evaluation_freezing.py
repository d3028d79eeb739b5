"""A process tree that is stopped computes nothing, whatever processes it starts."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy, ProcessTree
from pytest_kernelbench.evaluation.handles.worker_requests import WorkerRequests
from pytest_kernelbench.evaluation.sandbox import descendants, spent_seconds_of

LOOP = "while True: pass"
# Starts children that end at once, and reaps them.
CHILDREN = "import os\nwhile True:\n    child = os.fork()\n    if child == 0: os._exit(0)\n    os.waitpid(child, 0)"
# The loop is in a child whose parent has ended.
ORPHAN = f"import os, time\nif os.fork() == 0:\n    {LOOP}\ntime.sleep(60)"


@contextmanager
def supervisor(body):
    """A process that adopts orphans, with one child that runs ``body``; yields its number."""
    code = (
        "import subprocess, sys\n"
        "from pytest_kernelbench.evaluation import sandbox\n"
        "sandbox.adopt_orphans()\n"
        f"child = subprocess.Popen([sys.executable, '-c', {body!r}])\n"
        "print(flush=True)\ninput()\nsandbox.end_descendants()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid
        process.communicate(b"\n", timeout=20)


def spent(process):
    return sum(map(spent_seconds_of, (process, *descendants(process))))


@pytest.mark.parametrize("body", [LOOP, CHILDREN, ORPHAN], ids=["loop", "children", "orphan"])
def test_what_is_stopped_uses_no_time_and_goes_on_afterwards(body):
    with supervisor(body) as process:
        tree = ProcessTree(process)
        time.sleep(0.3)
        for _ in range(2):
            tree.stop_all()
            before = spent(process)
            time.sleep(0.2)
            # Children that have ended are counted in steps of 10 ms.
            assert spent(process) - before < 0.02
            tree.go_on()
            before = spent(process)
            deadline = time.monotonic() + 10
            while spent(process) - before < 0.02 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert spent(process) - before >= 0.02
        tree.close()


def test_a_stopped_tree_is_ended_by_its_supervisor():
    with supervisor(LOOP) as process:
        tree = ProcessTree(process)
        tree.stop_all()
        below = descendants(process)
    tree.close()
    assert below
    assert not any(os.path.exists(f"/proc/{each}") for each in below)


def test_a_worker_whose_work_does_not_end_is_stopped_all_the_same():
    did = []

    def busy(within_s):
        raise DeviceBusy(f"the GPU was at work for {within_s:.0f} s")

    worker = SimpleNamespace(
        room=SimpleNamespace(for_worker=lambda: None),
        send=lambda request: did.append("asked"),
        thaw=lambda: did.append("goes on"),
        answer=lambda *args, **kinds: "answer",
        _tree=SimpleNamespace(stop=lambda: did.append("stopped")),
        _device=SimpleNamespace(wait_until_idle=busy),
        freeze=lambda: did.append("frozen"),
    )
    with pytest.raises(DeviceBusy):
        WorkerRequests.timed_and_frozen(worker, {"ask": "calls", "slots": []})
    assert did == ["asked", "goes on", "stopped", "frozen"]
