"""CPU time of other programs on the same cores is counted, without that of this run's own processes."""

import os
import subprocess
import sys
import time

import pytest
from made_up_tasks import RELU, candidate

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.clock.neighbours import (
    OF_FULL_PRIORITY,
    Neighbours,
    NeighboursOfSeries,
    OwnOfFullPriority,
    busy_seconds,
    seconds_of_service,
)
from pytest_kernelbench.evaluation.sandbox import spent_seconds_of
from pytest_kernelbench.records import Outcome

STAT = """\
cpu  300 0 300 9000 0 0 0 0 0 0
cpu0 100 10 100 4000 50 1 2 3 0 0
cpu1 200 0 200 5000 0 0 0 0 0 0
cpu10 7 0 0 0 0 0 0 0 0 0
intr 5 0
"""
BURN = "import time\nuntil = time.process_time() + {seconds}\nwhile time.process_time() < until: pass\n"


def loop():
    return subprocess.Popen([sys.executable, "-c", BURN.format(seconds=60)])


def test_a_core_works_when_it_neither_idles_nor_waits():
    ticks = os.sysconf("SC_CLK_TCK")
    assert busy_seconds(STAT, {0}) == 216 / ticks
    assert busy_seconds(STAT, {0, 1}) == 616 / ticks
    assert busy_seconds(STAT, {10, 11}) == 7 / ticks


def test_time_of_children_that_ended_counts_as_their_parent_s():
    burn = BURN.format(seconds=0.3)
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        assert spent_seconds_of(parent.pid) >= 0.25
        parent.communicate(b"\n")
    assert spent_seconds_of(parent.pid) == 0


def test_neighbours_are_all_that_is_not_ours():
    others = [loop() for _ in os.sched_getaffinity(0)]
    try:
        everybody = Neighbours(time.process_time)
        nobody = Neighbours(lambda: time.process_time() + sum(spent_seconds_of(each.pid) for each in others))
        started = time.perf_counter()
        time.sleep(1.5)
        spent = sum(spent_seconds_of(each.pid) for each in others) / (time.perf_counter() - started) / len(others)
        assert everybody.share() - nobody.share() == pytest.approx(spent, abs=0.1)
    finally:
        for each in others:
            each.kill()
            each.wait()


def test_a_program_that_uses_all_that_is_used_has_no_neighbours():
    cores = len(os.sched_getaffinity(0))
    alone = Neighbours(lambda: cores * time.perf_counter())
    # The kernel counts in steps of 10 ms: in less time than this, one step of one core is much.
    time.sleep(0.5)
    assert alone.share() < 0.05


def test_between_series_nobody_is_counted():
    told = iter([(1.0, 2.0), (0.0, 6.0)])
    made = []

    class Told:
        def __init__(self):
            made.append(self)

        def used_and_had(self):
            return next(told)

    of_series = NeighboursOfSeries(Told)
    of_series.begin()
    assert of_series.share() == 0.5
    of_series.begin()
    assert of_series.share() == 0.125
    assert len(made) == 2


def test_workers_and_compilers_that_the_service_started_are_its_own(monkeypatch):
    # In a judge, the parent is the service.
    monkeypatch.setattr(os, "getppid", os.getpid)
    before = seconds_of_service()
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.2)])
    assert seconds_of_service() - before >= 0.2
    with loop() as still_running:
        time.sleep(0.3)
        between = seconds_of_service()
        still_running.kill()
    assert between - before >= 0.25


def test_beside_a_gpu_what_has_low_priority_is_neither_ours_nor_a_neighbour_s(monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)
    account, ticks = OwnOfFullPriority(), os.sysconf("SC_CLK_TCK")
    code = f"import os\nos.nice(5)\n{BURN.format(seconds=60)}"
    with subprocess.Popen([sys.executable, "-c", code]) as build, loop() as own:
        deadline = time.monotonic() + 30
        while min(spent_seconds_of(build.pid), spent_seconds_of(own.pid)) < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        spent = account()
        assert spent_seconds_of(own.pid) - 0.1 <= spent <= time.process_time() + spent_seconds_of(own.pid)
        build.kill()
        own.kill()
    assert busy_seconds(STAT, {0}, OF_FULL_PRIORITY) == 206 / ticks


def test_the_time_of_a_candidate_s_process_stays_in_the_account_when_it_is_ended(tmp_path):
    # Its claim to be fast would be laid to neighbours that are not there.
    burns = candidate("return torch.relu(x)", preamble=BURN.format(seconds=1.0))
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        evaluator.start()
        service = evaluator.service
        before = spent_seconds_of(service)
        (found,) = evaluator.evaluate(RELU, [burns])
        assert found.outcome is Outcome.CORRECT, found
        # The judge has asked for its end, which takes a moment.
        deadline = time.monotonic() + 10
        while spent_seconds_of(service) - before < 1.0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert spent_seconds_of(service) - before >= 1.0
