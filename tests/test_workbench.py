"""What a policy and an evaluator share: the memory of one device."""

from types import SimpleNamespace

from pytest_kernelbench import workbench
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
