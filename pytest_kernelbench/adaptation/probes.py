"""Probes: one fixed set of rollouts, those of step 0, scored under every checkpoint of a run's lineages.

Does training sharpen the policy on what it already preferred? The text stays; only the weights that judge it change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import read_run
from pytest_kernelbench.policies import load_policy, require_trainable
from pytest_kernelbench.records import AdaptationStep, Completion, Evaluation
from pytest_kernelbench.strategy import Adaptation
from pytest_kernelbench.tasks import load_tasks

FILE = "probes.jsonl"
TAIL_SHARE = 0.25

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of one step: Spearman's rho of NLL and speed-up over correct rollouts, None where one of them does not vary.

    ``rho_within_tasks`` is the mean over tasks, which is what no difference between tasks can make. ``rho_tail`` is
    over the quarter of rollouts that were least likely at step 0, whatever they are now.
    """

    step: int
    n: int
    mean_nll: float
    rho: float | None
    p: float | None
    rho_within_tasks: float | None
    rho_tail: float | None
    p_tail: float | None


def probe_folder(folder: Path, *, device: str) -> Iterator[str]:
    """Write ``probes.jsonl`` beside the run's records; yields a table of how likelihood and speed-up go together."""
    probes = list(probe_run(folder, device=device))
    (folder / FILE).write_text("".join(json.dumps(asdict(each)) + "\n" for each in probes), encoding="utf-8")
    for lineage in dict.fromkeys(each.lineage for each in probes):
        yield f"lineage {lineage}"
        yield "  step    n  mean NLL     rho        p  within tasks  tail quarter        p"
        for row in summarise([each for each in probes if each.lineage == lineage]):
            yield (
                f"  {row.step:4} {row.n:4} {row.mean_nll:9.3f}  {_shown(row.rho)}  {_shown(row.p)}"
                f"       {_shown(row.rho_within_tasks)}       {_shown(row.rho_tail)}  {_shown(row.p_tail)}"
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


def summarise(probes: Sequence[Probe]) -> list[Summary]:
    """One row a step of a lineage; NLL is the sum over tokens, as the paper's probe has it."""
    at_start = sorted((each for each in probes if each.step == 0), key=lambda each: -each.nll)
    correct = [each for each in at_start if each.speedup is not None]
    tail = {(each.task, each.index) for each in correct[: round(TAIL_SHARE * len(correct))]}
    rows = []
    for step in sorted({each.step for each in probes}):
        own = [each for each in probes if each.step == step]
        judged = [each for each in own if each.speedup is not None]
        within = [
            rho
            for task in dict.fromkeys(each.task for each in judged)
            if (rho := _spearman([each for each in judged if each.task == task])[0]) is not None
        ]
        rho, p = _spearman(judged)
        rho_tail, p_tail = _spearman([each for each in judged if (each.task, each.index) in tail])
        rows.append(
            Summary(
                step=step,
                n=len(judged),
                mean_nll=sum(each.nll for each in own) / len(own),
                rho=rho,
                p=p,
                rho_within_tasks=sum(within) / len(within) if within else None,
                rho_tail=rho_tail,
                p_tail=p_tail,
            )
        )
    return rows


def _spearman(probes: Sequence[Probe]) -> tuple[float | None, float | None]:
    from scipy.stats import spearmanr

    nll = [each.nll for each in probes]
    speedup = [each.speedup for each in probes]
    if len(probes) < 3 or len(set(nll)) == 1 or len(set(speedup)) == 1:
        return None, None
    result = spearmanr(nll, speedup)
    return float(result.statistic), float(result.pvalue)


def _drawn(folder: Path) -> dict[Key, Completion]:
    rows = _rows(folder / "completions.jsonl")
    return {(row["sampling_sha256"], row["task"], row["index"]): Completion.from_json(row) for row in rows}


def _speedups(folder: Path) -> dict[Key, float | None]:
    rows = _rows(folder / "evaluations.jsonl")
    return {(row["sampling_sha256"], row["task"], row["index"]): Evaluation.from_json(row).speedup for row in rows}


def _rows(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _shown(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.3g}"
