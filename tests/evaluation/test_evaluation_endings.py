"""How a process ended, in words for its owner."""

import signal

import pytest

from pytest_kernelbench.evaluation.judges import endings
from pytest_kernelbench.evaluation.judges.endings import how_it_ended

AGAIN = "run again to resume"
SHORT = ("by SIGKILL, which the kernel sends where memory is short", f"look for the cause in dmesg, and {AGAIN}")
KERNEL = "by SIGKILL: the kernel ended {} of this control group for lack of memory"
MORE = f"allow more memory or run less beside it, and {AGAIN}"


@pytest.mark.parametrize(
    ("exit_code", "before", "now", "said"),
    [
        (None, 0, 1, ("it went away", AGAIN)),
        (0, 0, 1, ("it went away", AGAIN)),
        (1, 0, 1, ("it went away", AGAIN)),
        (-signal.SIGSEGV, 0, 1, ("by SIGSEGV", AGAIN)),
        (-signal.SIGTERM, None, None, ("by SIGTERM", AGAIN)),
        (-40, None, None, ("by signal 40", AGAIN)),
        (-signal.SIGKILL, None, None, SHORT),
        (-signal.SIGKILL, 3, 3, SHORT),
        (-signal.SIGKILL, None, 3, SHORT),
        (-signal.SIGKILL, 3, None, SHORT),
        (-signal.SIGKILL, 3, 4, (KERNEL.format("a process"), MORE)),
        (-signal.SIGKILL, 0, 2, (KERNEL.format("2 processes"), MORE)),
    ],
)
def test_an_end_is_told_with_its_signal_and_lack_of_memory_as_a_fact_only_where_the_kernel_says_so(
    monkeypatch, exit_code, before, now, said
):
    monkeypatch.setattr(endings, "memory_kills", lambda: now)
    assert how_it_ended(exit_code, otherwise="it went away", kills_before=before) == said
