"""One lock for each device, across processes."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from waiting_for_locks import until_somebody_waits_to_be_alone

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.sharing import lock

HOLDER = """
import sys, time
from pathlib import Path
from pytest_kernelbench.evaluation.sharing.lock import exclusive

folder = Path(sys.argv[1])
for _ in range(8):
    with exclusive("made-up", folder):
        (folder / "inside").mkdir()  # fails where somebody else is inside
        time.sleep(0.005)
        (folder / "inside").rmdir()
"""


def start(code, folder):
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)


def test_two_processes_never_hold_the_lock_together(tmp_path):
    holders = [start(HOLDER, tmp_path) for _ in range(3)]
    try:
        assert [holder.wait(timeout=30) for holder in holders] == [0, 0, 0]
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


@pytest.mark.parametrize(("held", "awaited"), [([False], False), ([True, False], False), ([True, True], True)])
def test_a_process_that_asks_who_waits_is_not_taken_for_one_that_waits(monkeypatch, tmp_path, held, awaited):
    monkeypatch.setattr(lock, "_is_held", lambda name, folder: held.pop(0))
    assert lock.is_awaited("made-up", tmp_path) is awaited
    assert held == []


ANOTHER_USER = """
import os, sys
from pathlib import Path
from pytest_kernelbench.evaluation.sharing.lock import exclusive

if os.geteuid() == 0:
    os.setuid(65534)
with exclusive("made-up", Path(sys.argv[1])):
    pass
"""


def test_users_of_one_machine_share_the_lock():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        with lock.exclusive("made-up", folder):
            pass
        (folder / "kernelbench-made-up.lock").chmod(0o444)
        other = start(ANOTHER_USER, folder)
        other.communicate(timeout=30)
        assert other.returncode == 0


def test_the_device_s_lock_lies_in_one_place_whatever_tmpdir_is(tmp_path, monkeypatch):
    here = lock.folder_for_all()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert lock.folder_for_all() == here == Path("/tmp")


def test_a_lock_that_cannot_be_opened_is_named_with_the_remedy(tmp_path):
    place = tmp_path / "kernelbench-cpu-gate.lock"
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HarnessError) as caught, lock.exclusive("cpu", tmp_path):
        pass
    assert str(caught.value) == (
        f"{place}: cannot be opened (Too many levels of symbolic links); "
        "let every user who times here write to its folder"
    )


def test_the_kernel_lets_go_when_the_holder_is_killed(tmp_path):
    waiting = (
        HOLDER.replace("range(8)", "range(1)")
        .replace("0.005", "60")
        .replace("(folder", "print(1, flush=True); (folder", 1)
    )
    holder = start(waiting, tmp_path)
    try:
        assert holder.stdout.readline() == "1\n"
        holder.kill()
        holder.wait(timeout=10)
        started = time.monotonic()
        with lock.exclusive("made-up", tmp_path):
            assert time.monotonic() - started < 5
    finally:
        holder.kill()
        holder.communicate()


def test_devices_do_not_wait_for_each_other(tmp_path):
    with lock.exclusive("cpu", tmp_path), lock.exclusive("GPU-0", tmp_path):
        held = sorted(path.name for path in tmp_path.iterdir() if "gate" not in path.name)
        assert held == ["kernelbench-GPU-0.lock", "kernelbench-cpu.lock"]


def started(body):
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def test_who_shares_is_not_beside_who_is_alone(tmp_path):
    order = []

    def alone():
        with lock.exclusive("cpu", tmp_path):
            order.append("alone")

    with lock.shared("cpu", tmp_path), lock.shared("cpu", tmp_path):
        waiting = started(alone)
        time.sleep(0.1)
        order.append("shared")
    waiting.join(10)
    assert order == ["shared", "alone"]


def test_who_waits_to_be_alone_is_not_passed_by_those_that_share(tmp_path):
    order = []

    def alone():
        with lock.exclusive("cpu", tmp_path):
            order.append("alone")

    def share():
        with lock.shared("cpu", tmp_path):
            order.append("shared")

    with lock.shared("cpu", tmp_path):
        threads = [started(alone)]
        until_somebody_waits_to_be_alone("cpu", tmp_path)
        threads.append(started(share))
        time.sleep(0.2)  # for what must not come
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["alone", "shared"]


def test_there_are_no_more_jobs_than_were_asked_for(tmp_path):
    running, most = [], []

    def work():
        with lock.job(2, tmp_path):
            running.append(1)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()

    threads = [started(work) for _ in range(8)]
    for thread in threads:
        thread.join(20)
    assert len(most) == 8
    assert max(most) == 2


def test_a_build_that_a_trial_waits_for_comes_before_one_for_later(tmp_path):
    order = []

    def work(name, for_later):
        with lock.job(1, tmp_path, for_later=for_later):
            order.append(name)

    with lock.job(1, tmp_path):
        threads = []
        for name, for_later in (("first for later", True), ("second for later", True), ("now", False)):
            threads.append(started(partial(work, name, for_later)))
            time.sleep(0.1)
        assert order == []
    for thread in threads:
        thread.join(20)
    assert order == ["now", "first for later", "second for later"]


def test_the_lock_is_free_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock.exclusive("cpu", tmp_path):
            1 / 0  # noqa: B018
    assert not [fd for fd in os.listdir("/proc/self/fd") if _target(fd).startswith(str(tmp_path))]


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
