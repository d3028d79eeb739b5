"""Processes that are forked, ended and collected, in a process of their own."""

import subprocess
import sys

HEAD = """
import os, signal, subprocess, sys, time
from pytest_kernelbench.evaluation.judges import children
from pytest_kernelbench.evaluation.judges.children import Children

family = Children()

def forked(body):
    child = family.fork()
    if child == 0:
        body()
        os._exit(0)
    return child

def there(process):
    return os.path.exists(f"/proc/{process}")

def soon(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_child_that_ends_is_collected():
    run("child = forked(lambda: None)\nsoon(lambda: not there(child))")


def test_the_end_of_a_child_that_is_remembered_is_told_once():
    run(
        "child = family.fork(remembered=True)\n"
        "if child == 0: os._exit(7)\n"
        "soon(lambda: not there(child))\n"
        "assert family.exit_code(child) == 7 and family.exit_code(child) is None\n"
        "child = family.fork(remembered=True)\n"
        "if child == 0: time.sleep(60)\n"
        "family.end([child])\n"
        "assert family.exit_code(child) == -signal.SIGTERM\n"
        "child = forked(lambda: None)\n"
        "soon(lambda: not there(child))\n"
        "assert family.exit_code(child) is None and family._remembered == {}\n"
    )


def test_children_are_ended_by_a_signal_and_others_stay():
    run(
        "one, other = forked(lambda: time.sleep(60)), forked(lambda: time.sleep(60))\n"
        "family.end([one, 1])\n"
        "assert not there(one) and there(other)\n"
    )


def test_a_child_that_is_stopped_ends_at_once():
    run(
        "child = forked(lambda: time.sleep(60))\n"
        "os.kill(child, signal.SIGSTOP)\n"
        "os.waitpid(child, os.WUNTRACED)\n"
        "started = time.monotonic()\n"
        "family.end([child])\n"
        "assert time.monotonic() - started < children.END_TIMEOUT_S / 2 and not there(child)\n"
    )


def test_a_child_that_ignores_the_signal_is_killed_when_its_time_is_over():
    run(
        "children.END_TIMEOUT_S = 0.5\n"
        "reading, writing = os.pipe()\n"
        "def deaf():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    os.write(writing, b'deaf')\n"
        "    time.sleep(60)\n"
        "child = forked(deaf)\n"
        "os.read(reading, 4)\n"
        "family.end([child])\n"
        "assert not there(child)\n"
    )


def test_while_children_are_kept_the_number_of_one_that_ended_is_not_free():
    run(
        "with family.kept():\n"
        "    child = forked(lambda: None)\n"
        "    time.sleep(0.3)\n"
        "    assert there(child)\n"
        "soon(lambda: not there(child))\n"
    )


def test_a_process_that_a_library_starts_is_left_to_the_library():
    run("assert subprocess.run([sys.executable, '-c', 'raise SystemExit(3)']).returncode == 3")
    run(
        "assert [forked(lambda: None) for _ in range(5)]\n"
        "assert subprocess.run([sys.executable, '-c', 'raise SystemExit(3)']).returncode == 3"
    )


def test_children_end_with_the_process_that_forked_them():
    run(
        "reading, writing = os.pipe()\n"
        "parent = os.fork()\n"
        "if parent == 0:\n"
        "    child = Children().fork()\n"
        "    if child == 0:\n"
        "        time.sleep(60)\n"
        "    os.write(writing, str(child).encode())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "child = int(os.read(reading, 20))\n"
        "os.waitpid(parent, 0)\n"
        "soon(lambda: not there(child) or ') Z' in open(f'/proc/{child}/stat').read())\n"
    )
