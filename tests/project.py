"""A project with two small tasks and recorded answers, run by real pytest processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from warm_sessions import warm_process

# Installed, pytest has the plugin already, and refuses it under a second name.
INSTALLED = any(each.value == "pytest_kernelbench.plugin" for each in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "pytest_kernelbench.plugin")
WITHOUT_FIGURES = ("-p", "without_figures")
# At the end of a session, the plugin of Hypothesis imports all of it, 0.2 s of a core.
LIGHT = "-p no:hypothesispytest"

# For processes that tests start: the package, and these modules.
TESTS = Path(__file__).parent
PYTHONPATH = os.pathsep.join((str(TESTS.parent), str(TESTS)))

RELU = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

n = 200_000

def get_inputs():
    return [torch.rand(n)]

def get_init_inputs():
    return []
"""
SUM = RELU.replace("torch.relu(x)", "x.sum()")

RIGHT = {
    "level1/1": ("torch.clamp(x, min=0)", "torch.relu(x + 0)"),
    "level1/2": ("x.double().sum().float()",),
}
WRONG = "x + 1"

MADE_UP_EVALUATOR = """
import pytest_kernelbench.evaluation
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


class Evaluator:
    clocks, findings, was_asked = None, {}, True

    def __init__(self, **settings): ...

    def describe(self):
        return {}

    def make_ready(self, task): ...

    def prepare(self, task, sources): ...

    def release(self): ...

    def close(self): ...


pytest_kernelbench.evaluation.Evaluator = Evaluator
"""


def made_up_evaluator(evaluate: str) -> str:
    """A module that replaces the evaluator by one that runs nothing: ``evaluate`` defines a function of that name."""
    return f"{MADE_UP_EVALUATOR}\n{evaluate}\nEvaluator.evaluate = evaluate\n"


# For sessions whose subject is not the judge. A candidate is correct if its text has one of the right expressions, and
# takes as long as the reference.
JUDGED_BY_TEXT = made_up_evaluator(f"""
RIGHT = {[each for right in RIGHT.values() for each in right]}
TIMES = {{
    **{{"speedup": 1.0, "speedup_low": 0.9, "speedup_high": 1.1, "pairs": 6}},
    **{{"reference_ms": 1.0, "candidate_ms": 1.0, "candidate_times_ms": (1.0, 1.1, 0.9) * 2}},
}}


def describe(self):
    return {{"hardware": {{"name": "made up"}}}}


Evaluator.describe = describe


def evaluate(self, task, sources):
    for source in sources:
        right = any(each in source for each in RIGHT)
        outcome = Outcome.CORRECT if right else Outcome.INCORRECT
        yield Evaluation(source_sha256=sha256_of(source), outcome=outcome, **(TIMES if right else {{}}))
""")


def answer(expression: str, note: str = "") -> str:
    """A completion whose candidate returns ``expression``."""
    return (
        f"```python\nimport torch\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
        f"        return {expression}{note}\n```"
    )


class Project:
    """A folder with tasks and answers, and the plugin on the command line of a pytest process in it.

    ``figures``: whether its sessions draw the report's figures.
    """

    def __init__(self, folder: Path, *, figures: bool = False) -> None:
        self.folder = folder
        self.figures = figures
        level = folder / "problems" / "level1"
        level.mkdir(parents=True)
        (level / "1_Relu.py").write_text(RELU)
        (level / "2_Sum.py").write_text(SUM)
        self.answers = [
            {"task": task, "text": answer(each), "logprobs": [-0.1 * number, -0.2]}
            for task, right in RIGHT.items()
            for number, each in enumerate([*right, WRONG])
        ]
        self.write_answers()

    def judge_by_text(self, more: str = "") -> None:
        """Sessions of this project judge by ``JUDGED_BY_TEXT`` from now on; ``more`` follows it in ``conftest.py``."""
        (self.folder / "conftest.py").write_text(JUDGED_BY_TEXT + more)

    def write_answers(self) -> None:
        lines = [json.dumps(each) for each in self.answers]
        (self.folder / "answers.jsonl").write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str, strategy: str = "surprisal") -> list[str]:
        return [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PLUGIN),
            *(() if self.figures else WITHOUT_FIGURES),
            *([f"--strategy={strategy}"] if strategy else []),
            *("--policy=replay:answers.jsonl", "--tasks=problems/level1", "--kernelbench-sizes=full"),
            *("--kernelbench-device=cpu", "--kernelbench-protocol=fast", "--kernelbench-run=run"),
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": PYTHONPATH, "COLUMNS": "120", "PYTEST_ADDOPTS": LIGHT}

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments, **settings),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A session from its start to its end, forked from a process that has imported what it needs."""
        command = self.command(*arguments, **settings)
        return self.run_command(command)

    def run_command(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """As ``run``, with a whole command line: ``python -m pytest`` and its arguments."""
        assert command[:3] == [sys.executable, "-m", "pytest"]
        ended = warm_process().run(command[3:], self.folder, self.environment(), together=True)
        return subprocess.CompletedProcess(command, ended.returncode, ended.output)

    def rows(self, name: str, run: str = "run") -> list[dict]:
        path = self.folder / run / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def details(self) -> str:
        """What the judge says of each candidate: a verdict that was not expected is to explain itself."""
        told = ("task", "index", "outcome", "draw", "flags", "detail")
        return "\n".join(" ".join(str(row.get(name)) for name in told) for row in self.rows("evaluations"))
