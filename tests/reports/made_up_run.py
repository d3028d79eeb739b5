"""A run that never happened, with the shape of a real one: tasks of different difficulty, seeded."""

from __future__ import annotations

import json
import random
from pathlib import Path

from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Selection
from pytest_kernelbench.resources import data_folder
from pytest_kernelbench.selection import select
from pytest_kernelbench.strategy import Strategy, load_strategies

TASKS = (
    "level1/4_Matrix_vector_multiplication_",
    "level1/5_Matrix_scalar_multiplication",
    "level1/12_Matmul_with_diagonal_matrices_",
    "level1/14_Matmul_for_upper_triangular_matrices",
    "level1/95_CrossEntropyLoss",
)
# Rate of correct samples, and centre and spread of log speed-ups among them.
SHAPES = {
    "4": (0.6, 0.0, 0.25),
    "5": (0.8, -0.02, 0.01),
    "12": (0.9, 1.9, 0.6),
    "14": (0.3, 0.2, 0.4),
    "95": (0, 0, 0),
}
MARGIN = 0.01


def strategies(*names: str, k: int) -> list[Strategy]:
    return load_strategies(names, folders=[data_folder("strategies")], overrides=[f"sampling.k={k}"])


def evaluation_of(speedup: float, half_width: float = 0.02) -> Evaluation:
    return Evaluation(
        source_sha256="0" * 64,
        outcome=Outcome.CORRECT,
        speedup=speedup,
        speedup_low=speedup * (1 - half_width),
        speedup_high=speedup * (1 + half_width),
        reference_ms=1.0,
        candidate_ms=1 / speedup,
        pairs=30,
    )


def draw(task: str, k: int, seed: int = 0) -> list[Judged]:
    """``k`` candidates of ``task``, judged; longer ones are surprising and a little faster."""
    rng = random.Random(f"{seed} {task}")
    rate, centre, spread = SHAPES[task.partition("/")[2].partition("_")[0]]
    group = []
    for index in range(k):
        surprise = rng.random()
        n_tokens = rng.randint(40, 400)
        completion = Completion(
            task=task,
            index=index,
            text="...",
            policy="tiny",
            sum_logprob=-surprise * n_tokens,
            n_tokens=n_tokens,
        )
        if rng.random() < rate:
            speedup = 2.718 ** rng.gauss(centre + spread * (surprise - 0.5), spread)
            evaluation = evaluation_of(speedup, half_width=rng.uniform(0.002, 0.02))
        elif rng.random() < 0.1:
            flags = (rng.choice(["excessive_speedup", "side_stream"]),)
            evaluation = Evaluation(source_sha256="1" * 64, outcome=Outcome.VOID, flags=flags)
        else:
            outcome = rng.choice([Outcome.BUILD_ERROR, Outcome.INCORRECT, Outcome.RUNTIME_ERROR])
            evaluation = Evaluation(source_sha256="2" * 64, outcome=outcome)
        group.append(Judged(candidate=Candidate(completion=completion, source="..."), evaluation=evaluation))
    return group


def choose(task: str, group: list[Judged], strategy: Strategy, *, confirm: bool = True) -> Selection:
    choice = select(group, strategy.selection, seed=0)
    cost = {"rollouts": len(group), "timed": len(choice.considered)}
    if choice.index is None:
        return Selection(task=task, strategy=strategy.name, index=None, considered=(), cost=cost)
    first = group[choice.index].evaluation
    kept = 1 - random.Random(f"{task} {choice.index}").uniform(-0.005, 0.03)
    low = first.speedup_low * kept
    return Selection(
        task=task,
        strategy=strategy.name,
        index=choice.index,
        considered=choice.considered,
        cost=cost,
        speedup=first.speedup,
        speedup_low=first.speedup_low,
        speedup_high=first.speedup_high,
        confirmed_speedup=first.speedup * kept if confirm else None,
        confirmed_low=low if confirm else None,
        confirmed_high=first.speedup_high * kept if confirm else None,
        fast=confirm and low > 1 + MARGIN,
        fast_raw=first.fast_raw(),
    )


def write_run(
    folder: Path,
    *names: str,
    k: int = 16,
    tasks: tuple[str, ...] = TASKS,
    lost: tuple[str, ...] = (),
    null: bool = True,
    confirm: bool = True,
    label: str | None = None,
    **options: object,
) -> Path:
    """The run folder of ``names`` on ``tasks``; for those in ``lost`` the harness left no row."""
    folder.mkdir(parents=True, exist_ok=True)
    used = strategies(*names, k=k)
    run = {
        "tasks": list(tasks),
        "strategies": [strategy.to_json() for strategy in used],
        "margin": MARGIN,
        "seed": 0,
        "policy": "tiny",
        "policy_label": label,
        "device": "NVIDIA H200",
        "protocol": "full",
        "sizes": "full",
        **options,
    }
    (folder / "run.json").write_text(json.dumps(run))
    completions, evaluations, selections, nulls = [], [], [], []
    hashes = {"sampling_sha256": used[0].sampling_sha256}
    for task in tasks:
        if task in lost:
            continue
        group = draw(task, k)
        for judged in group:
            completion, index = judged.candidate.completion, judged.candidate.index
            row = {"task": task, "index": index, "text": "...", "policy": "tiny", "policy_version": "0"}
            row |= {"sum_logprob": completion.sum_logprob, "n_tokens": completion.n_tokens}
            completions.append({**row, **hashes})
            judging = {**hashes, "evaluation_sha256": used[0].evaluation_sha256}
            evaluations.append({"task": task, "index": index, **judged.evaluation.to_json(), **judging})
        for strategy in used:
            selection = choose(task, group, strategy, confirm=confirm)
            selections.append({name: getattr(selection, name) for name in Selection.__dataclass_fields__})
        nulls.append({"task": task, "index": 0, **evaluation_of(1.002, half_width=0.004).to_json()})
    for name, rows in {
        "completions": completions,
        "evaluations": evaluations,
        "selections": selections,
        **({"null": nulls} if null else {}),
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
