"""Rows of ``baselines.jsonl`` for a made-up run: every choice beside torch.compile of the reference."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_kernelbench.records import AgainstBaseline
from pytest_kernelbench.report.records import RunRecords

FAILS = AgainstBaseline(
    baseline="compile",
    failed="baseline",
    uncounted_because="there is no baseline compile: the reference under it is no correct candidate (runtime_error: x)",
)


def beside(speedup: float, *, counted: bool) -> AgainstBaseline:
    because = "" if counted else "by the judge's clock it is as fast"
    return AgainstBaseline(
        baseline="compile",
        speedup=speedup,
        low=speedup * 0.98,
        high=speedup * 1.02,
        counted=counted,
        uncounted_because=because,
    )


def add_baselines(folder: Path, found: dict[str, AgainstBaseline], strategy: str) -> Path:
    """Beside the choices of ``strategy``, by task. ``run.json`` then names the baseline."""
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "baseline": "eager,compile"}))
    records = RunRecords.load(folder)
    chooser = next(each for each in records.strategies if each.name == strategy)
    chosen = {task.task: task.chosen for task in records.results(chooser).tasks if task.chosen is not None}
    rows = [
        {
            "task": task,
            "null": False,
            "source_sha256": chosen[task].source_sha256,
            "evaluation_sha256": chooser.evaluation_sha256,
        }
        | each.to_json()
        for task, each in found.items()
    ]
    (folder / "baselines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
