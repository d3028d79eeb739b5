"""Control groups: a frozen group uses no time, and the CPU time of every process that was ever in it is counted."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_kernelbench.evaluation.sandbox import groups as groups_module
from pytest_kernelbench.evaluation.sandbox.groups import Groups, enter, entrance_of, own_folder


@pytest.fixture
def groups():
    made = Groups.here()
    if made is None:
        pytest.skip("this system lets this user make no control group")
    yield made
    made.close()
    assert not made._folder.exists()


def loop():
    while True:
        pass


def children_that_nobody_waits_for():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if os.fork() == 0:
            sum(range(10_000))
            os._exit(0)
        time.sleep(0.001)


def a_daemon_in_a_session_of_its_own():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            loop()
        os._exit(0)
    time.sleep(60)


BODIES = [loop, children_that_nobody_waits_for, a_daemon_in_a_session_of_its_own]


@contextmanager
def running(groups, body):
    """A group with a process that runs ``body``."""
    group = groups.new()
    entrance = entrance_of(group)
    child = os.fork()
    if child == 0:
        try:
            enter(entrance)
            body()
        finally:
            os._exit(1)
    try:
        deadline = time.monotonic() + 20
        while "populated 1" not in (group.folder / "cgroup.events").read_text():
            assert time.monotonic() < deadline
        yield group
    finally:
        (group.folder / "cgroup.kill").write_text("1")
        os.waitpid(child, 0)
        os.close(entrance)
        group.remove()
        assert not group.folder.exists()


@pytest.mark.parametrize("body", BODIES)
def test_what_is_frozen_uses_no_time_and_goes_on_afterwards(groups, body):
    with running(groups, body) as group:
        until_it_has_spent(group, 0.02)
        spent = []
        for _ in range(3):
            group.stop_all()
            # A running process enters the kernel, is said to be frozen, and a moment later its last time is counted.
            time.sleep(0.02)
            before = group.spent_seconds()
            time.sleep(0.1)
            spent.append(group.spent_seconds() - before)
            group.go_on()
            until_it_has_spent(group, before + 0.01)
        # A child that is ending when its group is frozen is no longer in the group, and its last moments are counted
        # when it has ended, milliseconds of a virtual machine's host included. Work would be counted each time.
        assert sorted(spent)[1] < 0.001, spent


def until_it_has_spent(group, seconds):
    deadline = time.monotonic() + 20
    while group.spent_seconds() < seconds:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_frozen_group_whose_processes_are_killed_is_gone(groups):
    with running(groups, loop) as group:
        group.stop_all()
    group.stop()  # what is no longer there needs no stopping
    group.go_on()
    assert group.spent_seconds() == 0.0


def test_groups_are_ended_and_removed_with_what_is_in_them(groups):
    group = groups.new()
    entrance = entrance_of(group)
    child = os.fork()
    if child == 0:
        enter(entrance)
        loop()
    os.close(entrance)
    until_it_has_spent(group, 0.01)
    group.stop_all()
    groups.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not group.folder.exists()


def test_groups_of_a_process_that_ended_without_a_word_are_removed_by_the_next(groups):
    child = os.fork()
    if child == 0:
        os._exit(0 if Groups(groups._folder.parent / f"kernelbench-{os.getpid()}")._folder.mkdir() is None else 1)
    os.waitpid(child, 0)
    abandoned = groups._folder.parent / f"kernelbench-{child}"
    assert abandoned.is_dir()
    (abandoned / "0").mkdir()
    groups_module._remove_abandoned(groups._folder.parent)
    assert not abandoned.exists()
    assert groups._folder.is_dir()


def mounts_of(folder):
    return f"31 24 0:27 / /proc rw - proc proc rw\n35 24 0:30 / {folder} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("9:name=systemd:/\n0::/\n", "."),
        ("0::/user.slice/app\n", "user.slice/app"),
        ("0::/../other\n", None),  # outside of this container's view
        ("0::/gone\n", None),
        ("4:memory:/a\n", None),  # version 1 alone
    ],
)
def test_the_group_of_this_process_is_where_version_2_is_mounted(tmp_path, own, found):
    (tmp_path / "tree/user.slice/app").mkdir(parents=True)
    (tmp_path / "own").write_text(own)
    (tmp_path / "mounts").write_text(mounts_of(tmp_path / "tree"))
    expected = None if found is None else tmp_path / "tree" / found
    assert own_folder(tmp_path / "own", tmp_path / "mounts") == expected
    (tmp_path / "mounts").write_text("31 24 0:27 / /proc rw - proc proc rw\n")
    assert own_folder(tmp_path / "own", tmp_path / "mounts") is None


def test_where_a_group_is_not_frozen_there_are_none(tmp_path, monkeypatch):
    # A folder that is none of the kernel's: a process cannot enter it.
    monkeypatch.setattr(groups_module, "own_folder", lambda: tmp_path)
    assert Groups.here() is None
    assert [*tmp_path.iterdir()] == []


def test_where_no_folder_can_be_made_there_are_none(monkeypatch):
    monkeypatch.setattr(groups_module, "own_folder", lambda: Path("/proc"))
    assert Groups.here() is None


def test_a_group_opens_each_of_its_files_once_and_closes_them_when_it_is_let_go_of(groups):
    group, before = groups.new(), set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        group.stop_all()
        group.go_on()
        assert group.spent_seconds() == 0.0
    assert len(set(os.listdir("/proc/self/fd")) - before) == 3
    group.close()
    assert set(os.listdir("/proc/self/fd")) == before
    # Another session may have the same worker.
    group.stop_all()
    assert group.says("frozen 1")
    group.go_on()
    assert group.says("frozen 0")
    group.remove()
    assert set(os.listdir("/proc/self/fd")) == before
    assert not group.folder.exists()


def test_a_group_that_was_removed_has_spent_nothing_and_needs_no_stop(groups):
    group = groups.new()
    group.stop_all()
    group.folder.rmdir()
    group.stop_all()
    group.go_on()
    assert group.spent_seconds() == 0.0
    group.close()
