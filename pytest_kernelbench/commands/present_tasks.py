"""The tasks of a recorded run, from their present files: a run folder has their hashes and not their text."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import TaskError, UsageError
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import as_option, load_tasks
from pytest_kernelbench.tasks.recorded import recorded_selectors


@dataclass(frozen=True, slots=True)
class Places:
    """Where tasks are now. ``selector``: None for their places in the run. ``small``: a file of small sizes."""

    selector: str | None = None
    small: Path | None = None

    @classmethod
    def named_by(cls, options: argparse.Namespace) -> Places:
        """The places that the options of ``add_places`` add."""
        return cls(options.tasks, options.small)


AS_RECORDED = Places()


def add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", metavar="SELECTOR", help="the tasks' place now; default: their place in the run")
    parser.add_argument("--small", type=Path, metavar="FILE", help="small sizes, as the run's --kernelbench-small")


def present_tasks(
    folder: Path, run: Mapping[str, Any], ids: Iterable[str], places: Places, selectors: Sequence[str] = ()
) -> dict[str, Task]:
    """The tasks named ``ids`` of the run in ``folder``, by id; ``run`` is its ``run.json``.

    ``selectors``: where the run found them, if not by its own selectors. Raises UsageError if a task is not there, or
    has another text or other sizes than in the run.
    """
    ids = list(ids)
    named = recorded_selectors(run, folder, selectors or None) or ids
    if places.selector is not None:
        named = [places.selector]
    try:
        found = _by_id(named, run, places)
    except TaskError as error:
        raise UsageError(f"{folder}: its tasks are not found ({error}); name their place with --tasks") from None
    for task_id in ids:
        if task_id not in found:
            raise UsageError(f"{folder}: {task_id} is not among {', '.join(named)}; name its place with --tasks")
        if (run.get("task_sha256") or {}).get(task_id) not in (None, found[task_id].sha256):
            raise UsageError(
                f"{folder}: {task_id} had another text or sizes; "
                "name the place of the recorded ones with --tasks, or a file of their sizes with --small"
            )
    return {task_id: found[task_id] for task_id in ids}


def _by_id(named: Sequence[str], run: Mapping[str, Any], places: Places) -> dict[str, Task]:
    sizes = run.get("sizes") or "full"
    return {task.id: task for task in load_tasks(named, sizes=sizes, small=places.small, named=as_option)}
