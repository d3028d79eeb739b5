"""The facts of a run, as ``run.json`` holds them from the start: options, versions, machine, git state."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.plugin.run_options import RunOptions
from pytest_kernelbench.records import Task
from pytest_kernelbench.records.run_json import SCHEMA
from pytest_kernelbench.tasks.recorded import called_from
from pytest_kernelbench.workbench import margin_of

REPORTED_VERSIONS = ("pytest-kernelbench", "pytest", "torch", "triton", "transformers", "peft", "numpy")


def settings_of(options: RunOptions) -> dict[str, Any]:
    """The settings that must be the same when a run is resumed, as far as they are known before the device is."""
    chosen = {"device_kind": options.device, "sizes": options.sizes}
    return {
        "policy": options.policy,
        "seed": options.seed,
        "baseline": ",".join(options.baselines),
        # Of several strategies that name a primary comparison the first counts. A resumed run must name the same.
        **({"primary": options.primary} if options.primary_by == "--kernelbench-primary" else {}),
        **{key: value for key, value in chosen.items() if value != "auto"},
        "strategies": [each.to_json() for each in options.strategies],
    }


def run_facts(options: RunOptions, tasks: Sequence[Task], *, device: str, sizes: str, here: Path) -> dict[str, Any]:
    """The content of ``run.json`` when the first item begins. A fact that is not known yet is None."""
    strategies = options.strategies
    ids = list(dict.fromkeys(task.id for task in tasks))
    return {
        "schema": SCHEMA,
        **settings_of(options),
        "primary": options.primary,
        "primary_by": options.primary_by,
        "strategies": [{**each.to_json(), "tasks": ids} for each in strategies],
        "policy_version": None,
        "policy_label": None,
        "device_kind": device,
        "device": None,
        "sizes": sizes,
        "protocol": ", ".join(dict.fromkeys(each.evaluation.protocol for each in strategies)),
        # If strategies have different protocols, counts over the whole run use the largest margin.
        "margin": max(margin_of(each, device) for each in strategies),
        "tasks": ids,
        "task_sha256": {task.id: task.sha256 for task in tasks},
        "selectors": list(options.tasks) or own_files(tasks, here),
        "called_from": called_from(here, options.run),
        "null": options.null,
        "shard": "{}/{}".format(*options.shard),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": installed_versions(),
        "git": git_state(here),
        "machine": None,
    }


def own_files(tasks: Sequence[Task], here: Path) -> list[str]:
    """The files of the tasks that are not packaged, as seen from ``here`` where they lie below it."""
    packaged = data_folder("tasks")
    own = [task.path for task in tasks if task.path is not None and not task.path.is_relative_to(packaged)]
    return list(dict.fromkeys(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in own))


def installed_versions() -> dict[str, str]:
    """The versions of the packages that a number depends on, found without importing them."""
    versions = {}
    for name in REPORTED_VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether tracked files were changed; None outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
