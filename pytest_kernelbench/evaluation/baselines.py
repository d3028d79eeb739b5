"""The baselines that a candidate is timed against: eager PyTorch (always), and stronger ones. Imports no torch.

A stronger baseline is the task's reference made faster by one line of code. The judge treats it as a candidate: it is
checked, and its builds are not timed. To add one: write the text that is appended to the reference's, and add its line
to ``BASELINES``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Task

EAGER = "eager"

# Compiled as KernelBench does it: inductor, its default mode. ``Module.compile`` leaves the names of states alone.
COMPILED = '''

class ModelNew(Model):
    """The reference under torch.compile."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.compile()
'''

# By name: the text that makes the reference a candidate.
BASELINES: Mapping[str, str] = {
    EAGER: "\n\n\nModelNew = Model\n",
    "compile": COMPILED,
}


def reference_as_candidate(task: Task, baseline: str = EAGER) -> str:
    """The task's reference, made faster as ``baseline`` says, under the candidate's name.

    With ``eager`` it is the identity control.
    """
    return f"{task.source}{BASELINES[baseline]}"


def parse_baselines(text: str, option: str) -> tuple[str, ...]:
    """``eager,compile`` in the order of ``BASELINES``; eager, by which candidates are ranked, is always included.

    Raises UsageError, which names ``option``, for an unknown name.
    """
    named = [each.strip() for each in text.split(",")]
    unknown = next((each for each in named if each not in BASELINES), None)
    if unknown is not None:
        raise UsageError(f"{option}: no baseline {unknown!r}; there are {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name == EAGER or name in named)


def stronger(baselines: Iterable[str]) -> tuple[str, ...]:
    """The baselines but eager PyTorch: a chosen candidate is timed against each of them once more."""
    return tuple(name for name in baselines if name != EAGER)
