"""Checks of a request to an evaluator, and the verdicts that need no judge."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Evaluation, Outcome, Task, sha256_of

# The longest published kernel has 26,818 (CUDA-L1, H100). In JSON a character takes up to six bytes, and a frame holds
# 16 MB.
MAX_SOURCE_CHARACTERS = 1 << 20


def check_request(task: Task, sources: Sequence[str | None]) -> None:
    """Raise UsageError if ``task`` is no Task, or if ``sources`` is one text instead of a list of texts."""
    if not isinstance(task, Task):
        raise UsageError(f"evaluate: task is {task!r}; give a Task, such as load_tasks('level1/12')[0]")
    if isinstance(sources, str):
        raise UsageError("evaluate: sources is one text; give a list of texts, such as [source]")
    for number, source in enumerate(sources):
        if source is not None and not isinstance(source, str):
            raise UsageError(f"evaluate: sources[{number}] is of type {type(source).__name__}; give a text or None")


def too_large(source: str) -> Evaluation:
    """The verdict on a source of more than ``MAX_SOURCE_CHARACTERS``."""
    detail = f"its source has {len(source)} characters, and at most {MAX_SOURCE_CHARACTERS} are judged"
    return Evaluation(source_sha256=sha256_of(source), outcome=Outcome.BUILD_ERROR, detail=detail)


def without_source() -> Evaluation:
    """The verdict on an answer that holds no program."""
    return Evaluation(source_sha256=None, outcome=Outcome.NO_SOURCE, detail="the answer holds no ModelNew")


def named_devices(devices: object, example: str) -> list[str]:
    """The names of a pool's ``devices``, a text or a list of texts.

    Raises UsageError for anything else, and where none is named; ``example`` is a list that could be given.
    """
    listed = [devices] if isinstance(devices, str) else devices
    remedy = f'give "auto", or a list such as {example}'
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"devices: {devices!r} is no list of texts; {remedy}")
    if not listed:
        raise UsageError(f"devices: none is named; {remedy}")
    return list(listed)
