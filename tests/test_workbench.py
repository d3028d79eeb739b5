"""What a policy and an evaluator share: the memory of one device, and time in which both may compute."""

import threading
from types import SimpleNamespace

import pytest

from pytest_kernelbench import workbench
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling, SelectionSettings, Strategy
from pytest_kernelbench.workbench import Workbench

STRATEGY = Strategy(name="one", sampling=Sampling(k=1), selection=SelectionSettings())


def test_the_judge_gives_the_device_s_memory_back_before_a_policy_computes(monkeypatch):
    became = []
    ledger = SimpleNamespace(spend=lambda stage, seconds: None, note=lambda **facts: None)
    bench = Workbench(ledger, policy="made-up", device="cuda", seed=0)
    bench._evaluators["full"] = SimpleNamespace(release=lambda: became.append("released"))
    policy = SimpleNamespace(version="1", label=None)
    monkeypatch.setattr(workbench, "load_policy", lambda spec, device: became.append("loaded") or policy)
    assert bench.policy_for(STRATEGY) is policy
    assert became == ["released", "loaded"]


def test_weights_leave_before_judging_and_are_back_before_the_policy_computes(monkeypatch):
    became = []
    ledger = SimpleNamespace(
        spend=lambda stage, seconds: None, note=lambda **facts: None, describe=lambda machine: None
    )
    bench = Workbench(ledger, policy="made-up", device="cuda", seed=0)
    policy = SimpleNamespace(version="1", label=None)
    monkeypatch.setattr(workbench, "load_policy", lambda spec, device: policy)
    evaluator = SimpleNamespace(release=lambda: became.append("judge's memory back"))
    bench._evaluators[STRATEGY.evaluation_sha256] = evaluator
    bench._shared = SimpleNamespace(
        before_judging=lambda policy, device: became.append(f"aside from {device}"),
        before_sampling=lambda policy: became.append("weights back"),
    )
    assert bench.policy_for(STRATEGY) is policy
    assert bench.evaluator_for(STRATEGY) is evaluator
    assert became == ["judge's memory back", "weights back", "aside from cuda:0"]


def test_a_policy_with_gpus_of_its_own_is_loaded_there_and_never_put_aside(monkeypatch):
    loaded_on = []
    ledger = SimpleNamespace(spend=lambda stage, seconds: None, note=lambda **facts: None)
    bench = Workbench(ledger, policy="made-up", device="cuda", policy_device="cuda:1,2", seed=0)
    policy = SimpleNamespace(version="1", label=None)
    monkeypatch.setattr(workbench, "load_policy", lambda spec, device: loaded_on.append(device) or policy)
    bench._evaluators[STRATEGY.evaluation_sha256] = SimpleNamespace(release=lambda: None)
    bench.policy_for(STRATEGY)
    bench.evaluator_for(STRATEGY)
    assert loaded_on == ["cuda:1,2"] and bench._shared is None


TASK = Task(id="level1/1_One", source="class Model: ...\n")


class Judge:
    """An evaluator whose ``make_ready`` lasts until ``done`` is set, or until it is closed."""

    def __init__(self, *, fails=False):
        self.began, self.done, self.asked, self.released = threading.Event(), threading.Event(), [], 0
        self.clocks, self.fails = None, fails

    def make_ready(self, task):
        self.asked.append(task.id)
        self.began.set()
        assert self.done.wait(60)
        if self.fails:
            raise HarnessError("the judge on cpu ended")

    def release(self):
        self.released += 1

    def close(self):
        self.fails = True
        self.done.set()


def bench_with(judge, device="cpu", policy="made-up", **settings):
    bench = Workbench(SimpleNamespace(), policy=policy, device=device, seed=0, **settings)
    bench._evaluators[STRATEGY.evaluation_sha256] = judge
    return bench


@pytest.mark.parametrize("fails", [False, True])
def test_the_judge_of_a_cpu_gets_ready_while_answers_are_sampled(fails):
    judge = Judge(fails=fails)
    with bench_with(judge).judge_gets_ready(TASK, STRATEGY):
        assert judge.began.wait(60)
        assert not judge.done.is_set()
        judge.done.set()
    assert judge.asked == [TASK.id]
    assert not any(thread.name == "making the judge ready" for thread in threading.enumerate())


def test_a_judge_that_is_not_ready_when_all_is_sampled_is_waited_for(monkeypatch):
    monkeypatch.setattr(workbench, "SAY_EVERY_S", 0.01)
    judge = Judge()
    told = []

    def waiting():
        told.append(judge.done.is_set())
        if len(told) == 3:
            judge.done.set()

    with bench_with(judge, waiting=waiting).judge_gets_ready(TASK, STRATEGY):
        pass
    assert told[:3] == [False, False, False] and judge.done.is_set()


@pytest.mark.parametrize(
    "settings", [{"device": "cuda"}, {"judges": "http://127.0.0.1:1"}, {"policy": "replay:answers.jsonl"}]
)
def test_a_judge_on_a_gpu_or_elsewhere_or_of_recorded_answers_does_not_get_ready_ahead(settings):
    judge = Judge()
    with bench_with(judge, **settings).judge_gets_ready(TASK, STRATEGY):
        pass
    assert judge.asked == []


def test_a_judge_that_gets_ready_for_an_item_that_failed_is_ended():
    judge = Judge()
    bench = bench_with(judge)
    with pytest.raises(KeyboardInterrupt), bench.judge_gets_ready(TASK, STRATEGY):
        assert judge.began.wait(60)
        raise KeyboardInterrupt
    assert not judge.done.is_set()
    bench.release()
    assert judge.done.is_set() and judge.released == 1
    bench.release()
    assert judge.released == 2


@pytest.mark.parametrize("was_asked", [False, True])
def test_sources_for_later_are_named_once_the_judge_was_asked_for_something(was_asked):
    named = []
    bench = Workbench(SimpleNamespace(), policy="made-up", device="cuda", seed=0)
    bench._evaluators[STRATEGY.evaluation_sha256] = SimpleNamespace(
        was_asked=was_asked, prepare=lambda task, sources: named.extend(sources)
    )
    assert bench.prepare(TASK, STRATEGY, ["a source"]) is was_asked
    assert named == ["a source"] * was_asked
