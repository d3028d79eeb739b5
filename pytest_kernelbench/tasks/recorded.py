"""The selectors of a recorded run: they are read as seen from the folder in which its session was called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.tasks.files import absolute
from pytest_kernelbench.tasks.selectors import apart, names_a_file


def called_from(here: Path, run: Path) -> str:
    """How ``run.json`` names the folder ``here``, from which the run in the folder ``run`` was called.

    Where the run lies below it, seen from the run, so that both may be moved together; else the absolute path.
    """
    here, run = absolute(here), absolute(run)
    return os.path.relpath(here, run) if run.is_relative_to(here) else str(here)


def recorded_selectors(run: Mapping[str, Any], folder: Path, selectors: Iterable[str] | None = None) -> list[str]:
    """``selectors`` of the run in ``folder`` (default: the selectors that found its tasks), with absolute paths.

    ``run``: its ``run.json``. As they are, where that names no folder, or one that is not on this machine.
    """
    named = apart((run.get("selectors") or []) if selectors is None else selectors)
    there = run.get("called_from")
    place = None if there is None else absolute(folder / there)
    if place is None or not place.is_dir():
        return named
    return [os.path.normpath(place / os.path.expanduser(each)) if names_a_file(each) else each for each in named]


def joined_selectors(folder: Path, recorded: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """The selectors of a recorded run and of a session that resumes it, as seen from the folder of the first."""
    if not (recorded.get("selectors") or run.get("selectors")):
        return []
    # Without a selector all tasks were packaged, and are found by their ids.
    known = apart(recorded.get("selectors") or recorded["tasks"])
    added = apart(run.get("selectors") or run["tasks"])
    if recorded.get("called_from") != run.get("called_from"):
        # The first session's own are kept as they are: they hold where both folders are moved together.
        already = recorded_selectors(recorded, folder, known)
        added = [each for each in recorded_selectors(run, folder, added) if each not in already]
    return list(dict.fromkeys([*known, *added]))
