"""KernelBench tasks as a taskset for ``verifiers`` (prime-rl, ``vf-eval``). Needs the extra ``verifiers``.

``verifiers`` finds a taskset by the name of a module at the top level that exports it, so a project has one of two
lines (docs/environments.md):

    from pytest_kernelbench.environments.verifiers import KernelTaskset
    __all__ = ["KernelTaskset"]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_kernelbench.environments.extras import without
from pytest_kernelbench.environments.judging import judge, reward_of
from pytest_kernelbench.evaluation import resolve_device
from pytest_kernelbench.prompting.prompts import build_messages
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.tasks import load_tasks

try:
    import verifiers.v1 as vf
except ModuleNotFoundError as error:
    raise without("verifiers", error) from None

# The key of a trace's state that holds the evaluation for reward and metrics.
EVALUATION = "kernelbench"


class KernelData(vf.TaskData):
    """A task as text, so that a trace can be scored on a machine that does not have the task's file."""

    source: str
    sizes: dict[str, Any]


class KernelTaskConfig(vf.TaskConfig):
    """The settings with which answers are judged."""

    devices: str = "auto"
    """Judges, one for each: "auto" (all visible GPUs, or the CPU), or "cuda:1,cuda:2"."""
    protocol: str = "fast"
    """How carefully: "fast" or "full"."""


class KernelTasksetConfig(vf.TasksetConfig):
    """The tasks of the taskset, and their prompt."""

    tasks: str = "level1:train"
    """As for the option ``--tasks``."""
    sizes: str = "full"
    """"full", or "small" for a CPU."""
    task: KernelTaskConfig = KernelTaskConfig()


class KernelTask(vf.Task[KernelData, vf.State, KernelTaskConfig]):
    """One KernelBench task. The module in the model's last answer is judged against its reference."""

    @property
    def key(self) -> str:
        """The task's id, which stays the same when its prompt changes."""
        return str(self.data.id)

    @vf.metric
    async def verdict(self, trace: vf.Trace) -> dict[str, float]:
        """``correct`` (0 or 1) and ``speedup``, the one that counts; 0 where there is none."""
        evaluation = await self._evaluation(trace)
        return {"correct": float(evaluation.correct), "speedup": evaluation.counted_speedup or 0.0}

    @vf.reward
    async def kernel(self, trace: vf.Trace) -> float:
        """The reward of ``judging.reward_of``. A fault of the harness is an error on the trace, not a reward."""
        return reward_of(await self._evaluation(trace))

    async def _evaluation(self, trace: vf.Trace) -> Evaluation:
        # Metrics are computed before rewards. Both use one evaluation, which is kept for a trace that is scored again.
        if EVALUATION not in trace.info:
            task = Task(id=str(self.data.id), source=self.data.source, sizes=self.data.sizes)
            how = {"devices": self.config.devices, "protocol": self.config.protocol}
            trace.info[EVALUATION] = (await judge(task, trace.last_reply, **how)).to_json()
        return Evaluation.from_json(trace.info[EVALUATION])


class KernelTaskset(vf.Taskset[KernelTask, KernelTasksetConfig]):
    """The tasks that the configuration names, each with its prompt."""

    def load(self) -> Iterator[KernelTask]:
        kind = self.config.task.devices.partition(":")[0].partition(",")[0]
        target = resolve_device(kind, "devices")
        for task in load_tasks(self.config.tasks, sizes=self.config.sizes):
            *system, user = (message["content"] for message in build_messages(task, "module", target))
            data = KernelData(
                id=task.id,
                name=task.name,
                system_prompt=system[0] if system else None,
                prompt=user,
                source=task.source,
                sizes=dict(task.sizes),
            )
            yield KernelTask(data, self.config.task)
