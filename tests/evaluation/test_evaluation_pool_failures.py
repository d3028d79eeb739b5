"""A pool whose judges die, fail or do not start: candidates that are tried again, and errors for the others."""

import pickle
import threading
import time

import pytest
from made_up_tasks import RELU

from pytest_kernelbench.errors import CandidateFault, HarnessError, JudgeEnded
from pytest_kernelbench.evaluation.judges import judging
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


def test_a_candidate_whose_judge_dies_twice_is_a_harness_error_and_its_neighbours_are_judged(pool_of):
    pool, kind = pool_of()
    kind.asked.clear()
    futures = [pool.submit(RELU, source) for source in ("wait", "a", "die", "b")]
    kind.wait.set()
    assert [future.result(10).outcome for future in (futures[0], futures[1], futures[3])] == [Outcome.INCORRECT] * 3
    with pytest.raises(JudgeEnded, match=r"the judge on cpu ended \(made up\)"):
        futures[2].result(10)
    # The second time, each is asked for alone.
    assert [sources for _, sources in kind.asked][-2:] == [("die",), ("b",)]


def test_a_judge_s_death_counts_for_the_candidate_that_was_tried_and_not_for_those_behind_it(pool_of):
    pool, kind = pool_of()
    deaths = iter(range(3))
    judging = kind.evaluate

    def evaluate(self, task, sources):
        if sources[0] != "wait" and next(deaths, None) is not None:
            raise JudgeEnded("the judge on cpu ended (made up); run again to resume")
        yield from judging(self, task, sources)

    kind.evaluate = evaluate
    begun = pool.submit(RELU, "wait")
    while not kind.asked:
        time.sleep(0.01)
    first, *others = [pool.submit(RELU, source) for source in "abc"]
    kind.wait.set()
    with pytest.raises(JudgeEnded):
        first.result(10)
    assert [future.result(10).outcome for future in (begun, *others)] == [Outcome.INCORRECT] * 3


def test_a_task_that_cannot_be_judged_is_not_tried_again(pool_of):
    pool, kind = pool_of()
    with pytest.raises(HarnessError, match="the reference does not run on cpu"):
        pool.submit(RELU, "refuse").result(10)
    assert kind.asked == [("1_relu", ("refuse",))]


def test_a_failure_that_nobody_foresaw_is_one_line_and_the_pool_goes_on(pool_of):
    pool, _ = pool_of()
    message = r"made_up/1_relu: the harness failed \(ZeroDivisionError: a bug in two lines\); please report this"
    with pytest.raises(HarnessError, match=message) as raised:
        pool.submit(RELU, "bug").result(10)
    assert "Traceback" in raised.value.traceback
    assert pool.submit(RELU, "a").result(10).outcome is Outcome.INCORRECT


def test_what_failed_on_some_candidates_is_the_same_once_it_has_crossed_processes():
    verdict = Evaluation(source_sha256=sha256_of("b"), outcome=Outcome.INCORRECT)
    fault = CandidateFault({sha256_of("a"): HarnessError("out of memory", traceback="where")}, [verdict])
    again = pickle.loads(pickle.dumps(fault))
    assert str(again) == "out of memory"
    assert again.faults[sha256_of("a")].traceback == "where"
    assert again.evaluations == (verdict,)


def starts_no_more(pool, kind, error):
    """Once both judges are up: starts of a judge raise ``error`` until the event that this returns is set."""
    while pool.ready < 2:
        time.sleep(0.01)
    may_start = threading.Event()

    def start(self):
        if not may_start.is_set():
            raise error

    kind.start = start
    return may_start


def test_a_judge_that_died_while_there_was_nothing_to_do_costs_no_request_an_attempt(pool_of):
    pool, kind = pool_of(judges=2)
    may_start = starts_no_more(pool, kind, JudgeEnded("the judge on cpu ended (made up); run again to resume"))
    waiting = pool.submit(RELU, "die once")
    while pool.ready:
        time.sleep(0.01)
    assert (pool.ready, len(pool)) == (0, 2)
    may_start.set()
    assert waiting.result(10).outcome is Outcome.INCORRECT
    while pool.ready < 2:
        time.sleep(0.01)
    assert kind.asked == [("1_relu", ("die once",))] * 2


def test_what_waits_where_no_judge_starts_is_told_so_and_judged_once_one_does(pool_of, monkeypatch):
    monkeypatch.setattr(judging, "BETWEEN_STARTS_S", 0.01)
    monkeypatch.setattr(judging, "STARTS", 3)
    pool, kind = pool_of(judges=2)
    # Of the system, and not of the harness.
    may_start = starts_no_more(pool, kind, OSError("cannot fork\nnow"))
    message = r"^made_up/1_relu: no judge starts, each was tried 3 times \(OSError: cannot fork now\)$"
    for _ in range(2):
        with pytest.raises(JudgeEnded, match=message):
            pool.submit(RELU, "a").result(10)
    may_start.set()
    while not pool.ready:
        time.sleep(0.01)
    assert pool.submit(RELU, "a").result(10).outcome is Outcome.INCORRECT


def test_one_judge_that_does_not_start_leaves_the_others_their_work(pool_of, monkeypatch):
    monkeypatch.setattr(judging, "BETWEEN_STARTS_S", 0.01)
    monkeypatch.setattr(judging, "STARTS", 1)
    pool, kind = pool_of(judges=2)
    while pool.ready < 2:
        time.sleep(0.01)
    broken = pool._judges[0]

    def start(self):
        if self is broken:
            raise JudgeEnded("the judge on cpu ended (made up); run again to resume")

    kind.start = start
    futures = [pool.submit(RELU, "wait")]
    while not kind.asked:
        time.sleep(0.01)
    # The judge that starts is busy: the other takes one of these, and gives it back.
    futures += [pool.submit(RELU, source) for source in "abcdefghi"]
    while pool.ready == 2:
        time.sleep(0.01)
    kind.wait.set()
    assert [each.result(10).outcome for each in futures] == [Outcome.INCORRECT] * 10
    assert pool.ready == 1
