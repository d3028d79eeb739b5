"""KernelBench tasks as an OpenEnv environment, served to any OpenEnv client. Needs the extra ``openenv``.

An episode is one task. A step is one answer of the model; the observation has the verdict on it.
"""

from __future__ import annotations

import random
import uuid
from functools import partial
from typing import Any

from pytest_kernelbench.environments.extras import without
from pytest_kernelbench.environments.judging import judge, pool_on, reward_of
from pytest_kernelbench.prompting.feedback import feedback_on
from pytest_kernelbench.prompting.prompts import build_messages
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks

try:
    from fastapi import FastAPI
    from openenv.core.env_server import Action, Environment, Observation, State, create_app
    from pydantic import Field
except ModuleNotFoundError as error:
    raise without("openenv", error) from None


class KernelAction(Action):
    """A model's answer."""

    answer: str = Field(description="Text with the module ModelNew in a ```python block")


class KernelObservation(Observation):
    """``messages`` at the begin of an episode; ``outcome``, ``feedback`` and ``speedup`` of an answer after it."""

    task: str
    messages: list[dict[str, str]] = Field(default_factory=list)
    outcome: str | None = None
    feedback: str | None = None
    speedup: float | None = None


class KernelEnvironment(Environment[KernelAction, KernelObservation, State]):
    """``tasks``, ``sizes`` and ``protocol`` as the command line's; ``turns``: answers in an episode.

    The reward of a step is the increase over the best earlier answer, by ``judging.reward_of``. The rewards of an
    episode therefore add up to the reward of its best answer.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: str, *, sizes: str, devices: str, protocol: str, turns: int) -> None:
        super().__init__()
        self._tasks = load_tasks(tasks, sizes=sizes)
        self._judging = {"devices": devices, "protocol": protocol}
        self._turns = turns
        self._state = State()
        self._task: Task = self._tasks[0]
        self._best = 0.0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **chosen: Any) -> KernelObservation:
        """Begin an episode with the task of id ``task`` or of number ``index``, else with one drawn by ``seed``."""
        by_id = {task.id: task for task in self._tasks}
        if "task" in chosen:
            self._task = by_id[chosen["task"]]
        else:
            self._task = self._tasks[chosen.get("index", random.Random(seed).randrange(len(self._tasks)))]
        self._state, self._best = State(episode_id=episode_id or str(uuid.uuid4())), 0.0
        messages = build_messages(self._task, "module", pool_on(**self._judging).device)
        return KernelObservation(task=self._task.id, messages=messages)

    async def step_async(self, action: KernelAction, timeout_s: float | None = None, **more: Any) -> KernelObservation:
        """Judge an answer. Raises HarnessError: then there is no verdict, and the episode is unchanged."""
        evaluation = await judge(self._task, action.answer, **self._judging)
        self._state.step_count += 1
        gained = max(0.0, reward_of(evaluation) - self._best)
        self._best += gained
        return KernelObservation(
            task=self._task.id,
            outcome=evaluation.outcome.value,
            feedback=feedback_on(evaluation),
            speedup=evaluation.counted_speedup,
            reward=gained,
            done=self._state.step_count >= self._turns,
        )

    def step(self, action: KernelAction, timeout_s: float | None = None, **more: Any) -> KernelObservation:
        """Raises NotImplementedError: OpenEnv's servers call ``step_async``, which judges many answers at once."""
        raise NotImplementedError("use step_async")

    @property
    def state(self) -> State:
        return self._state


def kernel_app(
    tasks: str = "level1:train", *, sizes: str = "full", devices: str = "auto", protocol: str = "fast", turns: int = 1
) -> FastAPI:
    """An ASGI application that serves the environment to many sessions at once."""
    settings = {"sizes": sizes, "devices": devices, "protocol": protocol, "turns": turns}
    made = partial(KernelEnvironment, tasks, **settings)
    return create_app(made, KernelAction, KernelObservation, env_name="kernelbench", max_concurrent_envs=256)
