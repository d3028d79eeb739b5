"""Probes: one fixed set of rollouts, those of step 0, scored under every checkpoint of a run's lineages.

Does training sharpen the policy on what it already preferred? The text stays; only the weights that judge it change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.analysis.adaptation import adaptation
from pytest_kernelbench.analysis.base import Study
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import read_run
from pytest_kernelbench.policies import load_policy, require_trainable
from pytest_kernelbench.records import AdaptationStep, Completion, Evaluation
from pytest_kernelbench.runs import RunRecords
from pytest_kernelbench.strategy import Adaptation
from pytest_kernelbench.tasks import load_tasks

FILE = "probes.jsonl"

Key = tuple[str | None, str, int]  # sampling hash, task, index


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One rollout of step 0 under the weights of ``step``: ``nll`` in nats at temperature 1, over ``n_tokens``.

    ``speedup`` is None where it is not correct. One line of ``probes.jsonl``.
    """

    lineage: str
    step: int
    task: str
    index: int
    nll: float
    n_tokens: int
    speedup: float | None


def probe_folder(folder: Path, *, device: str) -> Iterator[str]:
    """Write ``probes.jsonl`` beside the run's records; yields tables of how likelihood and speed-up go together.

    ``tail`` is the quarter of rollouts that was least likely at step 0, whatever it is now; ``within tasks`` is the
    mean over tasks, which no difference between tasks can make.
    """
    probes = list(probe_run(folder, device=device))
    (folder / FILE).write_text("".join(json.dumps(asdict(each)) + "\n" for each in probes), encoding="utf-8")
    for found in adaptation(Study.of(RunRecords.load(folder))) or ():
        yield f"{found['strategy']}: rho of NLL (nats, temperature 1) and speed-up of correct rollouts of step 0"
        yield "  step    n  mean NLL     rho        p  within tasks     tail        p"
        for row in found["probe"] or ():
            within = (row["within_task_rho"] or {}).get("value")
            yield (
                f"  {row['step']:4} {row['n']:4} {row['mean_nll']:9.3f}  {_shown(row['rho'])}  {_shown(row['p'])}"
                f"       {_shown(within)}  {_shown(row['tail_rho'])}  {_shown(row['tail_p'])}"
            )
    yield f"wrote {FILE} in {folder}"


def probe_run(folder: Path, *, device: str) -> Iterator[Probe]:
    """Every rollout of step 0 under every step's weights. Raises UsageError where the run has no adaptation."""
    from pytest_kernelbench.adaptation.learner import Learner

    settings = read_run(folder)
    steps = [AdaptationStep.from_json(row) for row in _rows(folder / "adaptation.jsonl")]
    if settings is None or not steps:
        raise UsageError(f"{folder}: holds no adaptation; run a strategy such as batch-ttt first")
    by_hash = {row["adaptation_sha256"]: row for row in settings["strategies"] if row.get("adaptation")}
    policy = require_trainable(load_policy(settings["policy"], device=device), "probe")
    drawn, speedups = _drawn(folder), _speedups(folder)
    for first in (step for step in steps if step.step == 0):
        strategy = by_hash[first.adaptation_sha256]
        tasks = {task.id: task for task in load_tasks(list(first.group), sizes=settings["sizes"])}
        sampling, indices = strategy["sampling"], range(first.first_index, first.first_index + first.rollouts)
        own = {
            task: [
                each
                for (key, name, i), each in drawn.items()
                if (key, name) == (first.sampling_sha256, task) and i in indices
            ]
            for task in first.group
        }
        with Learner(
            policy,
            Adaptation(**strategy["adaptation"]),
            temperature=1.0,
            max_tokens=sampling["max_tokens"],
            seed=0,
        ) as learner:
            for step in (step for step in steps if step.lineage == first.lineage and step.policy_version):
                if step.checkpoint is not None:
                    learner.load(Checkpoint.read(folder / step.checkpoint), step=step.step)
                    learner.use_adapted(str(step.policy_version))
                for task, completions in own.items():
                    token_ids = [each.token_ids or () for each in completions]
                    scored = policy.score(tasks[task], sampling["answer"], token_ids)
                    for completion, logprobs in zip(completions, scored, strict=True):
                        yield Probe(
                            lineage=first.lineage,
                            step=step.step,
                            task=task,
                            index=completion.index,
                            nll=-sum(logprobs),
                            n_tokens=len(logprobs),
                            speedup=speedups.get((first.sampling_sha256, task, completion.index)),
                        )


def _drawn(folder: Path) -> dict[Key, Completion]:
    rows = _rows(folder / "completions.jsonl")
    return {(row["sampling_sha256"], row["task"], row["index"]): Completion.from_json(row) for row in rows}


def _speedups(folder: Path) -> dict[Key, float | None]:
    rows = _rows(folder / "evaluations.jsonl")
    return {
        (row["sampling_sha256"], row["task"], row["index"]): Evaluation.from_json(row).counted_speedup for row in rows
    }


def _rows(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _shown(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.3g}"
