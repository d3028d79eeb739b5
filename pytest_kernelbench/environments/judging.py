"""What the adapters share: this process's judges, and the reward for a verdict."""

from __future__ import annotations

import threading

from pytest_kernelbench.evaluation import EvaluatorPool
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Evaluation, Task

FOR_CORRECTNESS = 0.3
_pools: dict[tuple[str, str], EvaluatorPool] = {}
_opening = threading.Lock()


def pool_on(devices: str, protocol: str) -> EvaluatorPool:
    """The process's pool with these settings, opened when it is first asked for.

    ``devices``: "auto", or kinds and numbers with commas between them (``cuda:1,cuda:2``). Environments of a trainer
    are many objects in one process, and each judge needs a device. Raises UsageError.
    """
    with _opening:
        if (devices, protocol) not in _pools:
            named = devices if devices == "auto" else devices.split(",")
            _pools[devices, protocol] = EvaluatorPool(devices=named, protocol=protocol)
        return _pools[devices, protocol]


def close_pools() -> None:
    """End all judges of this process; they also end when the process does."""
    with _opening:
        while _pools:
            _pools.popitem()[1].close()


async def judge(task: Task, answer: str, *, devices: str, protocol: str) -> Evaluation:
    """The verdict on the module in ``answer``. Raises HarnessError, which is no verdict: do not train on it."""
    source = extract_source(answer, answer="module", task=task)
    verdicts = [each async for _, each in pool_on(devices, protocol).evaluate_async(task, [source])]
    return verdicts[0]


def reward_of(evaluation: Evaluation) -> float:
    """0 unless correct, then 0.3 and what the speed-up is over 1 by the lower end of the judge's interval."""
    if not evaluation.correct:
        return 0.0
    return FOR_CORRECTNESS + max(0.0, (evaluation.counted_low or 1.0) - 1.0)
