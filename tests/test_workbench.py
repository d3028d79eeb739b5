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
