"""``run.json`` of a run folder: read it, and join it with the settings of a session that resumes the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger.tables import Row
from pytest_kernelbench.records.run_json import problem_of
from pytest_kernelbench.tasks.recorded import joined_selectors

MUST_MATCH = {
    "policy": "--policy",
    "seed": "--kernelbench-seed",
    "device_kind": "--kernelbench-device",
    "sizes": "--kernelbench-sizes",
    "primary": "--kernelbench-primary",
    "baseline": "--kernelbench-baseline",
}


def read_run(folder: Path) -> Row | None:
    """``run.json`` of ``folder``, or None where there is no run. Raises UsageError."""
    try:
        run = json.loads((folder / "run.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UsageError(f"{folder / 'run.json'}: not JSON ({error}); start another run") from error
    if problem := problem_of(run):
        raise UsageError(f"{folder / 'run.json'}: {problem}; start another run with --kernelbench-run")
    return dict(run)


def check_settings(folder: Path, recorded: Row, run: Mapping[str, Any]) -> None:
    """Raise UsageError if ``run`` has other settings than the run in ``folder``. Keys that ``run`` lacks may differ."""
    remedy = "resume with the same, or start another run with --kernelbench-run"
    # A run that was begun before there was a choice.
    recorded = {"baseline": "eager", **recorded}
    differing = [key for key in MUST_MATCH if key in run and recorded.get(key) != run[key]]
    if "policy" in differing and _same_files(folder, recorded, run):
        differing.remove("policy")
    # Of several strategies that name a primary comparison the first counts. A comparison that is first named in a
    # later session is allowed: the report notes that it was named late.
    if None in (recorded.get("primary"), run.get("primary")) or str(run.get("primary_by")).startswith("strategy"):
        differing = [key for key in differing if key != "primary"]
    if differing:
        there = " ".join(f"{MUST_MATCH[key]}={recorded.get(key)}" for key in differing)
        here = " ".join(f"{MUST_MATCH[key]}={run[key]}" for key in differing)
        raise UsageError(f"{folder}: was made with {there}, not {here}; {remedy}")
    hashes = {row["name"]: row["sha256"] for row in recorded["strategies"]}
    for row in run["strategies"]:
        if hashes.get(row["name"], row["sha256"]) != row["sha256"]:
            raise UsageError(f"{folder}: was made with other settings of strategy {row['name']}; {remedy}")


def _same_files(folder: Path, recorded: Row, run: Mapping[str, Any]) -> bool:
    """Whether two policies name the same files from two folders: ``replay:a.jsonl`` and ``replay:there/a.jsonl``.

    The recorded one is seen from the folder in which its session was called, the other one from here.
    """
    there, before, now = recorded.get("called_from"), recorded.get("policy"), run["policy"]
    return None not in (there, before) and _absolute(before, folder / there) == _absolute(now, Path.cwd())


def _absolute(policy: str, here: Path) -> str:
    """``policy`` with the paths in it absolute: of its file or folder, and of an adapter after ``+``."""
    kind, colon, rest = policy.rpartition(":")
    parts = [str((here / part).resolve()) if part and (here / part).exists() else part for part in rest.split("+")]
    return f"{kind}{colon}{'+'.join(parts)}"


def joined(folder: Path, recorded: Row, run: Mapping[str, Any]) -> Row:
    """The ``recorded`` run with the tasks and strategies of ``run`` added. Raises UsageError if settings differ."""
    check_settings(folder, recorded, run)
    strategies = {row["name"]: row for row in [*recorded["strategies"], *run["strategies"]]}
    for name, row in strategies.items():
        asked = [each.get("tasks") for each in (*recorded["strategies"], *run["strategies"]) if each["name"] == name]
        if None not in asked:
            # A strategy that is not among this run's was never asked for this run's tasks.
            strategies[name] = {**row, "tasks": list(dict.fromkeys(task for tasks in asked for task in tasks))}
    late = recorded.get("primary") is None and run.get("primary") is not None
    return {
        **recorded,
        # A primary comparison of a strategy that joins later is noted as named after the first results.
        **({"primary": run["primary"], "primary_by": f"{run['primary_by']}, after the run had begun"} if late else {}),
        "strategies": list(strategies.values()),
        "tasks": list(dict.fromkeys([*recorded["tasks"], *run["tasks"]])),
        "selectors": joined_selectors(folder, recorded, run),
        "task_sha256": sources_joined(folder, recorded, run["task_sha256"]),
    }


def sources_joined(folder: Path, recorded: Row, sources: Mapping[str, str]) -> dict[str, str]:
    """The hashes of tasks that are recorded, and ``sources``; raises UsageError where the two differ."""
    known = {**sources, **recorded.get("task_sha256", {})}
    for task, source in sources.items():
        if known[task] != source:
            raise UsageError(f"{folder}: was made with another text of {task}; start another run")
    return known
