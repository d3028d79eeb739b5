"""A workbench without a model and without a judge, for tests of the pipeline."""

import contextlib
import json
from types import SimpleNamespace

from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.records import AgainstBaseline, Completion, Evaluation, Outcome, Task, sha256_of
from pytest_kernelbench.strategy import EvaluationSettings, Sampling, SelectionSettings, Strategy

TASK = Task(id="level1/1_One", source="class Model: ...\n")
MARGIN = 0.05


def module(word):
    return f"class ModelNew: ...  # {word}\n"


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class Bench:
    """A workbench whose policy writes ``words`` and whose evaluator looks speed-ups up in ``speedups``."""

    def __init__(self, folder, words, speedups, *, again=None, null=False, die_after=None):
        self.words, self.speedups, self.again = words, speedups, again or {}
        self.sampled, self.evaluated = [], []
        self.seed, self.null, self.die_after = 0, null, die_after
        self.baselines, self.beside = (), []
        self.device_name = "a made-up device"
        run = {
            **{"policy": "fake", "seed": 0, "device_kind": "cpu", "sizes": "full"},
            **{"strategies": [], "tasks": [TASK.id], "task_sha256": {}},
        }
        self.ledger = Ledger.open(folder, run)
        self.lines = []
        self.say = self.lines.append

    def timed_against(self, *baselines):
        """This workbench, with stronger baselines."""
        self.baselines = baselines
        return self

    def policy_for(self, strategy):
        return SimpleNamespace(sample=self.sample)

    def evaluator_for(self, strategy):
        return SimpleNamespace(evaluate=self.evaluate, against=self.against, findings={})

    def judge_gets_ready(self, task, strategy):
        return contextlib.nullcontext()

    def margin_of(self, strategy):
        return MARGIN

    def spending(self, stage):
        return contextlib.nullcontext()

    def tick(self):
        if self.die_after is not None:
            if self.die_after == 0:
                raise Killed
            self.die_after -= 1

    def sample(self, task, sampling, *, seed, indices):
        for index in indices:
            self.tick()
            self.sampled.append(index)
            word = self.words[index]
            text = f"```python\n{module(word)}```" if word else ""
            yield Completion(task=task.id, index=index, text=text, policy="fake", logprobs=(-float(index),))

    def evaluate(self, task, sources):
        for source in sources:
            self.tick()
            word = source.split("# ")[1].strip() if "# " in source else "reference"
            times = self.evaluated.count(word)
            self.evaluated.append(word)
            speedup = self.again.get(word) if times and word in self.again else self.speedups.get(word)
            yield evaluation_of(source, speedup)

    def against(self, task, source, baseline):
        self.tick()
        self.beside.append((source.split("# ")[1].strip() if "# " in source else "reference", baseline))
        return AgainstBaseline(baseline=baseline, speedup=1.5, low=1.4, high=1.6, counted=True)


def evaluation_of(source, speedup):
    seconds = {"total": 0.5}
    if speedup is None:
        return Evaluation(source_sha256=sha256_of(source), outcome=Outcome.INCORRECT, seconds=seconds)
    return Evaluation(
        source_sha256=sha256_of(source),
        outcome=Outcome.CORRECT,
        speedup=speedup,
        speedup_low=speedup - 0.02,
        speedup_high=speedup + 0.02,
        seconds=seconds,
    )


def strategy(name="fastest", by="fastest", k=5, protocol="fast", **changes):
    return Strategy(
        name=name,
        sampling=Sampling(k=k),
        evaluation=EvaluationSettings(protocol=protocol),
        selection=SelectionSettings(by=by, **changes),
    )


WORDS = ["good", "wrong", "good", None, "best"]
SPEEDUPS = {"good": 1.2, "best": 2.0, "reference": 1.0}


def rows(bench, name):
    path = bench.ledger.folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def untimed(value):
    """Of a row, what two runs of the same have in common."""
    if not isinstance(value, dict):
        return value
    return {key: untimed(each) for key, each in value.items() if key != "seconds" and not key.endswith("_seconds")}
