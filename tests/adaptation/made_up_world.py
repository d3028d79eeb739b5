"""A world in which something can be learnt in seconds: an answer is right if its first token is even.

The policy is a random model that is sampled, scored and trained like any other; only the evaluator is made up.
"""

import contextlib
import json
from typing import ClassVar

from made_up_policies import WordPolicy
from policies.random_models import llama

from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.records import Evaluation, Outcome, Task, sha256_of
from pytest_kernelbench.strategy import Adaptation, EvaluationSettings, Sampling, Strategy
from pytest_kernelbench.workbench import Workbench

TASKS = tuple(Task(id=f"level1/{number}_Task", source=f"class Model: {number}\n") for number in range(1, 4))
MARGIN = 0.05


class FirstTokenPolicy(WordPolicy):
    """A candidate's source names the first token of the answer, and nothing else."""

    def decode(self, token_ids):
        return f"```python\nclass ModelNew: ...  # {token_ids[0] if token_ids else 1}\n```"


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class World(Workbench):
    """Even first tokens are correct, and the faster the larger the token modulo 8; token 3 is void."""

    def __init__(self, folder, *, tasks=TASKS, strategies=(), die_after=None, seed=0):
        run = {
            **{"policy": "made-up", "seed": seed, "device_kind": "cpu", "sizes": "full", "margin": MARGIN},
            **{"strategies": [each.to_json() for each in strategies]},
            **{"tasks": [task.id for task in tasks], "task_sha256": {task.id: task.sha256 for task in tasks}},
        }
        super().__init__(Ledger.open(folder, run), policy="made-up", device="cpu", seed=seed, tasks=tasks, null=False)
        self.die_after, self.ticks = die_after, 0
        self.evaluated = []
        self.lines = []
        self.say = self.lines.append
        self._policies["made-up"] = FirstTokenPolicy(llama(vocab_size=16))

    findings: ClassVar[dict] = {}

    def evaluator_for(self, strategy):
        return self

    def judge_gets_ready(self, task, strategy):
        return contextlib.nullcontext()

    def margin_of(self, strategy):
        return MARGIN

    def spending(self, stage):
        self.tick()
        return contextlib.nullcontext()

    def tick(self):
        if self.ticks == self.die_after:
            raise Killed
        self.ticks += 1

    def evaluate(self, task, sources):
        for source in sources:
            self.tick()
            self.evaluated.append((task.id, source))
            yield evaluation_of(source)


def evaluation_of(source):
    token = int(source.split("# ")[1])
    outcome = Outcome.VOID if token == 3 else Outcome.INCORRECT if token % 2 else Outcome.CORRECT
    if outcome is not Outcome.CORRECT:
        return Evaluation(source_sha256=sha256_of(source), outcome=outcome, seconds={"total": 0.5})
    speedup = 0.8 + token % 8 / 10
    return Evaluation(
        source_sha256=sha256_of(source),
        outcome=outcome,
        speedup=speedup,
        speedup_low=speedup - 0.01,
        speedup_high=speedup + 0.01,
        seconds={"total": 0.5},
    )


def strategy(name="adapting", k=8, **settings):
    settings = {"steps": 2, "learning_rate": 1e-2, "lora_rank": 4, "collapse": 0.0, **settings}
    return Strategy(
        name=name,
        sampling=Sampling(k=k, temperature=1.0, max_tokens=2),
        evaluation=EvaluationSettings(protocol="fast"),
        adaptation=Adaptation.from_json(settings),
    )


def search(name="search", k=8):
    return Strategy(
        name=name,
        sampling=Sampling(k=k, temperature=1.0, max_tokens=2),
        evaluation=EvaluationSettings(protocol="fast"),
    )


def rows(world, name):
    path = world.ledger.folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(world, *strategies, tasks=None):
    return [run_item(task, each, world).selection for each in strategies for task in (tasks or world.tasks)]


def untimed(value):
    """Of a row, what two runs of the same have in common."""
    if not isinstance(value, dict):
        return value
    return {key: untimed(each) for key, each in value.items() if key != "seconds" and not key.endswith("_seconds")}


def correct_rates(world):
    return [
        sum(task["correct"] for task in row["tasks"].values()) / sum(task["rollouts"] for task in row["tasks"].values())
        for row in rows(world, "adaptation")
    ]
