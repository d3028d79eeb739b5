"""The filter of system calls that keeps a worker on the cores that it is given."""

import os
import platform

import pytest

from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.sandbox import seccomp


def in_child(body):
    """What ``body`` tells in a child without privileges, which begins once this process has been told its number."""
    reading, writing = os.pipe()
    waiting, going = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sandbox.give_up_privileges()
            held = seccomp.keep_cores()
            os.read(waiting, 1)
            os.write(writing, f"{held} {body()}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    return child, reading, going


def told(child, reading, going):
    os.write(going, b"x")
    answer = os.read(reading, 1 << 12).decode()
    os.waitpid(child, 0)
    for each in (reading, going):
        os.close(each)
    return answer


@pytest.fixture(autouse=True)
def kernel_takes_filters():
    if not seccomp.keeps_cores_here():
        pytest.skip("this kernel takes no filter of system calls, and run.json says so (isolation: cores)")


def test_a_process_does_not_choose_its_cores_and_is_told_that_it_did():
    def choose():
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        return os.sched_getaffinity(0) == before

    assert told(*in_child(choose)) == "True True"


def test_a_program_that_it_starts_does_not_choose_either():
    code = (
        "import os; b = os.sched_getaffinity(0); os.sched_setaffinity(0, {min(b)}); print(b == os.sched_getaffinity(0))"
    )
    assert told(*in_child(lambda: os.popen(f'python3 -c "{code}"').read().strip())) == "True True"


def test_another_process_chooses_its_cores():
    child, reading, going = in_child(lambda: sorted(os.sched_getaffinity(0)))
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(child, {core})
    assert told(child, reading, going) == f"True [{core}]"


def test_a_processor_whose_numbers_are_not_known_has_no_filter(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not seccomp.keep_cores()
