"""The pool of judges: order, deadlines, back-pressure, and what is left when it closes."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from made_up_tasks import HONEST_RELU, MATMUL, RELU, candidate

from pytest_kernelbench import EvaluatorPool
from pytest_kernelbench.errors import HarnessError, JudgeEnded, TooLate, UsageError
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.device import names
from pytest_kernelbench.evaluation.judges import requests as requests_module
from pytest_kernelbench.evaluation.judges.evaluator import Evaluator
from pytest_kernelbench.records import Outcome

WRONG = candidate("return x")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    with EvaluatorPool(devices=["cpu", "cpu"], protocol="fast", cache=tmp_path_factory.mktemp("builds")) as pool:
        yield pool


def test_two_judges_give_the_verdicts_of_one_in_order(pool):
    sources = [WRONG, None, HONEST_RELU, WRONG]
    outcomes = [evaluation.outcome for evaluation in pool.evaluate(RELU, sources)]
    assert outcomes == [Outcome.INCORRECT, Outcome.NO_SOURCE, Outcome.CORRECT, Outcome.INCORRECT]
    by_index = dict(pool.as_completed(RELU, sources))
    assert [by_index[index].outcome for index in range(4)] == outcomes
    assert len(pool) == 2


def test_an_event_loop_gets_verdicts_too(pool):
    async def ask():
        return {index: each.outcome async for index, each in pool.evaluate_async(RELU, [WRONG, HONEST_RELU])}

    assert asyncio.run(ask()) == {0: Outcome.INCORRECT, 1: Outcome.CORRECT}


def test_a_judge_that_is_killed_is_replaced_and_its_candidate_tried_again(pool):
    dozing = candidate("time.sleep(1)\nreturn x")
    future = pool.submit(RELU, dozing)
    deadline = time.monotonic() + 30
    while not future.done() and time.monotonic() < deadline:
        processes = [judge.service for judge in pool._judges if judge._lock.locked() and judge.service]
        if processes:
            time.sleep(0.5)
            os.kill(processes[0], signal.SIGKILL)
            break
    assert future.result(timeout=60).outcome is Outcome.INCORRECT


def test_a_judge_stays_with_its_task(pool_of):
    pool, kind = pool_of()
    first = pool.submit(RELU, "wait")
    while not kind.asked:
        time.sleep(0.01)
    others = [pool.submit(task, source) for task, source in ((MATMUL, "a"), (RELU, "b"), (MATMUL, "c"))]
    kind.wait.set()
    for future in (first, *others):
        future.result(10)
    assert [name for name, _ in kind.asked] == ["1_relu", "1_relu", "3_matmul"]


def test_a_deadline_passes_while_a_request_waits_and_while_it_is_judged(pool_of):
    pool, _ = pool_of()
    begun = pool.submit(RELU, "wait", within_s=0.2)
    waiting = pool.submit(RELU, "a", within_s=0.2)
    for future in (begun, waiting):
        with pytest.raises(TooLate, match=r"made_up/1_relu: no verdict within 0\.2 s; allow more or ask for less"):
            future.result(10)


def test_one_thread_watches_all_deadlines(pool_of):
    pool, kind = pool_of(most_waiting=1000)
    before = set(threading.enumerate())
    waiting = [
        pool.submit(RELU, "wait", within_s=10),
        *(pool.submit(RELU, str(each), within_s=10) for each in range(200)),
    ]
    first = pool.submit(RELU, "late", within_s=0.1)
    assert len(set(threading.enumerate()) - before) == 1
    with pytest.raises(TooLate, match=r"no verdict within 0\.1 s"):
        first.result(10)
    kind.wait.set()
    assert {each.result(10).outcome for each in waiting} == {Outcome.INCORRECT}


def test_submit_waits_for_room(pool_of):
    pool, kind = pool_of(most_waiting=1)
    pool.submit(RELU, "wait")
    while not kind.asked:
        time.sleep(0.01)
    pool.submit(RELU, "a")
    message = (
        "1 requests wait already and none was taken within 0 s; ask for less at once or give the pool more devices"
    )
    with pytest.raises(TooLate, match=message):
        pool.submit(RELU, "b", within_s=0.1)


@pytest.mark.parametrize("method", ["evaluate", "as_completed"])
def test_what_is_ready_is_told_while_later_sources_wait_for_room(pool_of, method):
    pool, kind = pool_of(most_waiting=1)
    answers = getattr(pool, method)(RELU, ["a", "wait", "b", "c", "d", "e"])
    next(answers)
    assert not kind.wait.is_set()
    kind.wait.set()
    assert len(list(answers)) == 5


def test_whoever_stops_early_has_nothing_more_judged(pool_of):
    pool, kind = pool_of(most_waiting=1)
    answers = pool.as_completed(RELU, ["a", "wait", "b", "c", "d", "e"])
    next(answers)
    answers.close()
    kind.wait.set()
    pool.submit(RELU, "z").result(10)
    assert sum(len(sources) for _, sources in kind.asked) <= 4


def test_what_was_not_judged_when_the_pool_closes_says_so(pool_of):
    pool, kind = pool_of()
    pool.submit(RELU, "wait")
    while not kind.asked:
        time.sleep(0.01)
    left = pool.submit(RELU, "a")
    pool.close()
    with pytest.raises(HarnessError, match="made_up/1_relu: the pool was closed before this candidate was judged"):
        left.result(10)
    with pytest.raises(UsageError, match=r"made_up/1_relu: the pool is closed; submit before close\(\)"):
        pool.submit(RELU, "a")


def test_what_is_being_judged_when_the_pool_closes_says_so(pool_of):
    pool, kind = pool_of()
    begun = pool.submit(RELU, "wait and die")
    while not kind.asked:
        time.sleep(0.01)
    pool.close()
    with pytest.raises(JudgeEnded, match=r"the judge on cpu ended \(made up\)"):
        begun.result(10)


def test_nobody_is_judged_for_a_caller_that_left(pool_of):
    pool, kind = pool_of(most_waiting=1)

    async def ask():
        answers = pool.evaluate_async(RELU, ["a", "wait", "b", "c", "d"])
        async for _ in answers:
            break
        await answers.aclose()
        await asyncio.sleep(0.1)  # in which the loop closes the generator within
        # A thread that waits for room would keep the loop open until the judge gives up, after 10 s.
        kind.wait.set()

    asyncio.run(asyncio.wait_for(ask(), 10))
    assert pool.submit(RELU, "z").result(10).outcome is Outcome.INCORRECT
    judged = [source for _, sources in kind.asked for source in sources]
    assert "z" in judged and len(judged) <= 4


def test_a_deadline_counts_from_the_call_also_for_what_waits_for_room(pool_of):
    pool, _ = pool_of(most_waiting=1)
    pool.submit(RELU, "wait")
    started = time.monotonic()
    answers = pool.as_completed(RELU, list("abcdef"), within_s=0.2)
    with pytest.raises(TooLate, match=r"made_up/1_relu: no verdict within 0\.2 s; allow more or ask for less"):
        list(answers)
    assert time.monotonic() - started < 5


def test_a_deadline_beyond_every_clock_is_none(pool_of):
    pool, kind = pool_of()
    begun = pool.submit(RELU, "wait", within_s=1e300)
    late = pool.submit(RELU, "a", within_s=0.1)
    with pytest.raises(TooLate):
        late.result(10)
    kind.wait.set()
    assert begun.result(10).outcome is Outcome.INCORRECT


def test_verdicts_are_not_held_until_their_deadlines(pool_of, monkeypatch):
    monkeypatch.setattr(requests_module, "LEAST_TO_TIDY", 10)
    pool, _ = pool_of()
    for _ in range(100):
        pool.submit(RELU, "a", within_s=1e6).result(10)
    assert len(pool._deadlines._heap) < 20


@pytest.mark.parametrize(
    "asked", [lambda *a: list(EvaluatorPool.evaluate(None, *a)), lambda *a: list(Evaluator.evaluate(None, *a))]
)
def test_what_is_no_request_is_refused_in_one_line(asked):
    for task, sources, message in (
        ("level1/12", ["x"], r"evaluate: task is 'level1/12'; give a Task, such as load_tasks\('level1/12'\)\[0\]"),
        (RELU, "x", r"evaluate: sources is one text; give a list of texts, such as \[source\]"),
        (RELU, ["x", 3], r"evaluate: sources\[1\] is of type int; give a text or None"),
    ):
        with pytest.raises(UsageError, match=message):
            asked(task, sources)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["cuda:3"], "devices: cuda:3 is not there; visible are cpu and 0 GPUs, cuda:0 the first"),
        ([], 'devices: none is named; give "auto", or a list such as ["cuda:0", "cuda:1"]'),
        ("gpu", "devices=gpu: no such device; there are auto, cpu, cuda"),
        (["cpu", "tpu"], "devices=tpu: no such device; there are auto, cpu, cuda"),
        (3, 'devices: 3 is no list of texts; give "auto", or a list such as ["cuda:0", "cuda:1"]'),
        (["cpu", 0], 'devices: [\'cpu\', 0] is no list of texts; give "auto", or a list such as ["cuda:0", "cuda:1"]'),
    ],
)
def test_devices_that_are_not_there_are_named(monkeypatch, devices, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError) as refused:
        EvaluatorPool(devices=devices)
    assert str(refused.value) == message


@pytest.mark.parametrize("most_waiting", [0, -1])
def test_a_queue_without_room_is_refused(most_waiting):
    with pytest.raises(UsageError) as refused:
        EvaluatorPool(devices="cpu", most_waiting=most_waiting)
    said = "no request could wait; give 1 or more, or None for 32 a judge"
    assert str(refused.value) == f"most_waiting={most_waiting}: {said}"


def test_a_pool_on_a_gpu_that_torch_cannot_use_names_its_own_argument(monkeypatch):
    monkeypatch.setattr(names, "Path", lambda path: Path("/nowhere"))
    with pytest.raises(UsageError) as refused:
        EvaluatorPool(devices="cuda")
    assert str(refused.value) == (
        "devices=cuda: no CUDA device that torch can use here; install a CUDA build of torch and a driver, or use "
        "devices=cpu"
    )


def test_comparisons_are_asked_for_one_at_a_time_and_again_where_a_judge_died(pool_of):
    pool, kind = pool_of()
    compared = []

    def compare(self, task, source, baseline_source, gate):
        compared.append((source, baseline_source, gate))
        if source == "die once" and len(compared) == 1:
            raise JudgeEnded("the judge on cpu ended (made up); run again to resume")
        return Comparison(verdict="slower", slowdown=float(len(compared)))

    kind.compared = compare
    first = pool.submit(RELU, "wait")
    while not kind.asked:
        time.sleep(0.01)
    asked = [
        pool.submit_comparison(RELU, "die once", "old", Gate(max_slowdown=1.05)),
        pool.submit(RELU, "a"),
        pool.submit_comparison(RELU, "c", "old", Gate(max_slowdown=1.01, sizes=3, seconds=4.0)),
    ]
    kind.wait.set()
    first.result(10)
    assert [each.result(10) for each in asked[::2]] == [Comparison(verdict="slower", slowdown=n) for n in (2.0, 3.0)]
    assert asked[1].result(10).outcome is Outcome.INCORRECT
    assert compared[1:] == [
        ("die once", "old", Gate(max_slowdown=1.05)),
        ("c", "old", Gate(max_slowdown=1.01, sizes=3, seconds=4.0)),
    ]
    assert ("1_relu", ("a",)) in kind.asked
