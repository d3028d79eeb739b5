"""Candidates for the benchmarks: a task's reference, and texts of the tiny policy's corpus with their labels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.records import Task
from pytest_kernelbench.tiny_policy.corpus import all_templates
from pytest_kernelbench.tiny_policy.corpus.base import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """``name`` is ``reference`` or the template's id; ``correct`` is the corpus's label."""

    name: str
    language: str
    correct: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The most candidates of each kind.

    ``torch``: correct ones, of PyTorch operators. ``kernels``: correct ones in one of ``languages``. ``wrong``: of
    PyTorch operators or in one of ``languages``.
    """

    torch: int
    kernels: int
    wrong: int
    languages: Sequence[str]


def candidates_for(task: Task, mix: Mix, *, device: str, seed: int) -> list[Labelled]:
    """The reference, then candidates as ``mix`` says, drawn without regard to how fast they are.

    The same seed gives the same candidates.
    """
    number = int(task.short_id.rpartition("/")[2])
    drawn = random.Random(f"{seed} {number}")
    here = [each for each in all_templates() if each.task == number and each.target == device]

    def draw(count: int, correct: bool, among: Sequence[str]) -> list[Template]:
        fitting = [each for each in here if each.correct is correct and each.language in among]
        return drawn.sample(fitting, min(count, len(fitting)))

    chosen = [
        *draw(mix.torch, True, ["torch"]),
        *draw(mix.kernels, True, mix.languages),
        *draw(mix.wrong, False, ["torch", *mix.languages]),
    ]
    return [
        Labelled(name="reference", language="torch", correct=True, source=reference_as_candidate(task)),
        *(
            Labelled(name=each.id, language=each.language, correct=each.correct, source=drawn.choice(each.sources))
            for each in chosen
        ),
    ]
