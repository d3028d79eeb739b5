"""Where the threads of a trial run on a CPU, and what its memory is made of."""

import os
import platform
import re
from pathlib import Path

import pytest
from made_up_tasks import RELU, candidate

from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.device.host import to_first_core

two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")

TELL = """
each = [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]
bound = sorted(min(cores) for cores in each if len(cores) == 1)
raise RuntimeError(f"{bound} are bound, this one to {sorted(os.sched_getaffinity(0))}")
"""


@two_cores
def test_openmp_s_threads_have_a_core_each_and_a_candidate_s_own_thread_may_use_all(evaluator):
    # Threads that it starts are as free as it is.
    body = f"torch.relu(torch.ones(1 << 22))\n{TELL}"
    (found,) = evaluator.evaluate(RELU, [candidate(body)])
    allowed = sorted(os.sched_getaffinity(0))
    assert f"{allowed[1 : cores()]} are bound, this one to {allowed}" in found.detail, found


def test_a_thread_is_moved_to_the_first_core_and_may_leave_it():
    asked = []
    to_first_core(frozenset({3, 1, 2}), bind=lambda thread, cores: asked.append((thread, set(cores))))
    assert asked == [(0, {1}), (0, {1, 2, 3})]


SLEEPS = """
def sleeps():
    status = [open(f"/proc/self/task/{thread}/status").read() for thread in os.listdir("/proc/self/task")]
    return sum(int(one.partition("\\nvoluntary_ctxt_switches:")[2].split()[0]) for one in status)

def sleeps_of_a_thousand():
    before = sleeps()
    for _ in range(1000):
        torch.relu(y)
    return sleeps() - before

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
y = torch.ones(1 << 16)
torch.relu(y)
raise RuntimeError(f"{min(sleeps_of_a_thousand() for _ in range(5))} sleeps")
"""


@two_cores
def test_openmp_s_threads_stay_awake_from_one_operator_to_the_next(evaluator):
    (found,) = evaluator.evaluate(RELU, [candidate(SLEEPS)])
    told = re.search(r"(\d+) sleeps", found.detail)
    assert told and int(told[1]) < 500, found


def gives_huge_pages():
    library, version = platform.libc_ver()
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    asks = library == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return asks and setting.exists() and "[never]" not in setting.read_text()


MALLOC = """
huge = lambda: int(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
before = huge()
data = bytearray(24 << 20)
raise RuntimeError(f"{(huge() - before) // 1024} MiB in huge pages")
"""


@pytest.mark.skipif(not gives_huge_pages(), reason="the kernel gives no huge pages, or the C library asks for none")
def test_what_a_candidate_allocates_is_in_huge_pages(evaluator):
    (found,) = evaluator.evaluate(RELU, [candidate(MALLOC, preamble="import re")])
    told = re.search(r"(\d+) MiB", found.detail)
    assert told and int(told[1]) >= 2, found


@two_cores
def test_a_thread_stands_on_the_first_core_after_that():
    allowed = frozenset(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {max(allowed)})
        to_first_core(allowed)
        assert os.sched_getaffinity(0) == allowed
    finally:
        os.sched_setaffinity(0, allowed)
