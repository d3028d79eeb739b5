"""The service and its judge, with real processes: each is replaced when it has ended."""

import os
import signal
import threading
import time

import psutil
import pytest
from made_up_tasks import C_RELU, HONEST_RELU, RELU, candidate

from pytest_kernelbench.errors import JudgeEnded
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.judges.judge_process import JudgeProcess
from pytest_kernelbench.records import Outcome

DOZING = candidate("time.sleep(60)\nreturn torch.relu(x)")
WAITING = candidate("time.sleep(2)\nreturn x")


def below(service):
    return psutil.Process(service).children(recursive=True)


def workers_of(service):
    """Supervisors, and what is below them."""
    return [each for each in below(service) if name_of(each) not in ("kb-judge", "kb-foreman")]


def name_of(process):
    """Empty where it has just ended."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def child_of(service, name, other_than=None):
    """The one child of that name besides ``other_than``. It has its name a moment after it was forked."""
    found = []

    def is_there():
        children = psutil.Process(service).children()
        found[:] = [each for each in children if name_of(each) == name and each != other_than]
        return len(found) == 1

    until(is_there)
    return found[0]


def judge_of(service):
    return child_of(service, "kb-judge")


def foreman_of(service, other_than=None):
    return child_of(service, "kb-foreman", other_than)


def until(condition, *, within_s=60):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def process(tmp_path):
    process = JudgeProcess(device="cpu", cache=tmp_path, gpu="0")
    yield process
    process.close()


def test_a_judge_that_was_killed_is_replaced_by_the_service_that_runs(process):
    hello = process.start()
    assert process.start() is None
    service = process.service
    first = judge_of(service)
    first.kill()
    until(lambda: process.is_readable(0))
    assert process.start() == hello
    assert process.service == service
    assert judge_of(service) != first


def test_a_service_that_was_killed_is_replaced_with_its_judge(process):
    process.start()
    service = process.service
    left = below(service)
    judge = judge_of(service)
    # Its end comes after the service's, and is not waited for.
    judge.suspend()
    os.kill(service, signal.SIGKILL)
    until(lambda: psutil.Process(service).status() == psutil.STATUS_ZOMBIE)
    assert process.start()["hardware"]["id"] == "cpu"
    assert process.service != service
    assert psutil.wait_procs(left, timeout=10)[1] == []


def test_a_foreman_that_was_killed_is_replaced_at_the_next_wish_and_builds_it(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        service, judge, first = evaluator.service, judge_of(evaluator.service), foreman_of(evaluator.service)
        first.kill()
        until(lambda: not first.is_running())
        evaluator.prepare(RELU, [C_RELU])
        until(lambda: list(tmp_path.glob("*.so")))
        assert (evaluator.service, judge_of(service)) == (service, judge)
        assert foreman_of(service, other_than=first)
        (evaluation,) = evaluator.evaluate(RELU, [C_RELU])
        assert evaluation.outcome is Outcome.CORRECT


def test_a_foreman_that_was_killed_while_a_candidate_is_judged_is_replaced_and_the_candidate_has_its_verdict(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        service, judge, first = evaluator.service, judge_of(evaluator.service), foreman_of(evaluator.service)
        told = []
        asking = threading.Thread(target=lambda: told.extend(evaluator.evaluate(RELU, [WAITING])))
        asking.start()
        until(lambda: len(below(service)) >= 5)
        first.kill()
        until(lambda: not first.is_running())
        evaluator.prepare(RELU, [C_RELU])
        second = foreman_of(service, other_than=first)
        asking.join(timeout=60)
        assert [each.outcome for each in told] == [Outcome.INCORRECT]
        assert (judge_of(service), foreman_of(service)) == (judge, second)


def test_a_foreman_that_reads_nothing_is_replaced(process, monkeypatch):
    monkeypatch.setattr("pytest_kernelbench.evaluation.boundary.messages.SEND_TIMEOUT_S", 0.1)
    process.start()
    first = foreman_of(process.service)
    first.suspend()
    # More than its socket holds.
    process.wish({"cache": "x" * (1 << 20)})
    assert foreman_of(process.service, other_than=first)
    until(lambda: not first.is_running())


def test_what_is_asked_of_a_judge_that_was_killed_says_so_in_one_line(process, monkeypatch):
    process.start()
    # Of a control group of this machine nothing is known; it may kill processes of other tests.
    monkeypatch.setattr("pytest_kernelbench.evaluation.judges.endings.memory_kills", lambda: None)
    judge_of(process.service).kill()
    with pytest.raises(JudgeEnded) as ended:
        process.receive()
    assert str(ended.value) == (
        "the judge on cpu ended (by SIGKILL, which the kernel sends where memory is short); "
        "look for the cause in dmesg, and run again to resume"
    )
    assert not process.started


def test_a_judge_that_the_kernel_ended_for_lack_of_memory_is_said_to_be(process, monkeypatch):
    kills = iter([3, 3, 4])
    monkeypatch.setattr("pytest_kernelbench.evaluation.judges.judge_process.memory_kills", lambda: next(kills))
    monkeypatch.setattr("pytest_kernelbench.evaluation.judges.endings.memory_kills", lambda: next(kills))
    process.start()
    judge = judge_of(process.service)
    judge.suspend()
    process.send({})
    judge.kill()
    with pytest.raises(JudgeEnded) as ended:
        process.receive()
    assert str(ended.value) == (
        "the judge on cpu ended (by SIGKILL: the kernel ended a process of this control group for lack of memory); "
        "allow more memory or run less beside it, and run again to resume"
    )


def test_a_judge_that_crashed_is_told_with_its_signal(process):
    process.start()
    judge_of(process.service).send_signal(signal.SIGSEGV)
    with pytest.raises(JudgeEnded, match=r"^the judge on cpu ended \(by SIGSEGV\b.*\); run again to resume$"):
        process.receive()


def test_a_judge_whose_service_was_killed_is_told_with_the_signal_of_that(process):
    process.start()
    os.kill(process.service, signal.SIGKILL)
    with pytest.raises(JudgeEnded, match=r"^the judge on cpu ended \(by SIGKILL"):
        process.receive()
    assert process.service is None


def test_a_judge_that_is_ended_for_its_silence_is_not_said_to_have_ended_by_that_signal(process):
    process.start()
    with pytest.raises(JudgeEnded, match=r"^the judge on cpu ended \(DeadlinePassed\); run again to resume$"):
        process.receive(0.01)


def test_a_judge_whose_start_fails_is_told_with_the_last_line_of_its_service(process, monkeypatch):
    monkeypatch.setattr(
        "pytest_kernelbench.evaluation.judges.judge_process.RUN_SERVICE", "raise ValueError('no service today')"
    )
    with pytest.raises(
        JudgeEnded,
        match=r"^the judge on cpu ended \(ConnectionEnded: ValueError: no service today\); run again to resume$",
    ):
        process.start()


def test_closing_ends_the_service_and_all_below_it_and_another_start_is_one_from_nothing(process):
    process.start()
    service = process.service
    left = [psutil.Process(service), *below(service)]
    process.close()
    assert process.service is None
    assert psutil.wait_procs(left, timeout=10)[1] == []
    assert process.start() is not None


def test_the_candidate_of_a_judge_that_was_killed_ends_and_the_next_one_is_judged_by_the_same_service(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        service = evaluator.service
        told = []

        def ask():
            try:
                told.extend(evaluator.evaluate(RELU, [DOZING]))
            except JudgeEnded as error:
                told.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        # Beside judge and foreman: a supervisor, the first process of a namespace, and the worker.
        until(lambda: len(below(service)) >= 5)
        judge = judge_of(service)
        workers = workers_of(service)
        judge.kill()
        asking.join(timeout=60)
        assert [type(each) for each in told] == [JudgeEnded]
        assert psutil.wait_procs(workers, timeout=10)[1] == []
        (evaluation,) = evaluator.evaluate(RELU, [HONEST_RELU])
        assert evaluation.outcome is Outcome.CORRECT
        assert evaluator.service == service


def test_an_iterator_left_half_way_costs_a_judge_and_no_service(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        service, judge = evaluator.service, judge_of(evaluator.service)
        answers = evaluator.evaluate(RELU, [candidate("1 / 0"), DOZING])
        next(answers)
        workers = workers_of(service)
        answers.close()
        assert psutil.wait_procs([judge, *workers], timeout=1)[1] == []
        (evaluation,) = evaluator.evaluate(RELU, [candidate("1 / 0")])
        assert evaluation.outcome is Outcome.RUNTIME_ERROR
        assert evaluator.service == service
