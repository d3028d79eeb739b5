"""The judges of this process and the reward for a verdict, for all environments."""

from __future__ import annotations

import threading

from pytest_kernelbench.evaluation import EvaluatorPool
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Evaluation, Task

FOR_CORRECTNESS = 0.3
_pools: dict[tuple[str, str], EvaluatorPool] = {}
_opening = threading.Lock()


def pool_on(devices: str, protocol: str) -> EvaluatorPool:
    """This process's pool of judges with these settings; opened on the first call and then shared.

    It is shared because a trainer makes many environments in one process, and each judge needs a device. ``devices``:
    "auto", or devices separated by commas (``cuda:1,cuda:2``). Raises UsageError.
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
    """The evaluation of the module in ``answer``. Raises HarnessError: then there is no verdict to train on."""
    source = extract_source(answer, answer="module", task=task)
    verdicts = [each async for _, each in pool_on(devices, protocol).evaluate_async(task, [source])]
    return verdicts[0]


def reward_of(evaluation: Evaluation) -> float:
    """The reward: 0 if incorrect; else 0.3 plus the part over 1 of the lower end of the counted speed-up's interval."""
    if not evaluation.correct:
        return 0.0
    return FOR_CORRECTNESS + max(0.0, (evaluation.counted_low or 1.0) - 1.0)
