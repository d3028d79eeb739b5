"""A run that never happened, with the shape of a real one: tasks of different difficulty, seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path

from made_up_programs import STUDY_STRATEGIES, STUDY_TASKS, evaluation_of, study_group

from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.records import (
    AdaptationStep,
    Candidate,
    Completion,
    Evaluation,
    Judged,
    Outcome,
    Selection,
    sha256_of,
)
from pytest_kernelbench.selection import select
from pytest_kernelbench.strategy import Adaptation, Strategy, load_strategies

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
            evaluation = evaluation_of(speedup, half_width=rng.uniform(0.002, 0.02), source=f"{index:064d}")
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
        "policy_label": None,
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


def make_synthetic_run(
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    **asked: object,
) -> list[Path]:
    """One run folder a seed, as a pytest run would leave it: ``folder/seed0``, ``folder/seed1``, ...

    A task has about 12 programs, each with its own probability, length, verdict and speed; candidates draw
    from them, so some are drawn often. With ``steps`` there is a strategy ``batch-ttt`` too, which takes so many
    updates of ``k / 4`` rollouts a task, holds ``k / 16`` out, and learns what is fast as far as it is drawn at all.
    More learning ``rates`` make more of them, ``batch-ttt-1e-06``, ..., each with lineages of its own. ``asked``:
    fields of ``Study``; what else it has goes into every ``run.json``.
    """
    own = {name: value for name, value in asked.items() if name in Study.__dataclass_fields__}
    study = Study(**own, options={name: value for name, value in asked.items() if name not in own})
    return [_study_run(folder / f"seed{seed}", seed, study) for seed in seeds]


Rows = dict[str, list[dict[str, object]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What ``make_synthetic_run`` is asked for."""

    tasks: int = 20
    k: int = 64
    strategies: Sequence[str] = STUDY_STRATEGIES
    steps: int = 0
    rates: Sequence[float] = (1e-5,)
    options: Mapping[str, object]


def _study_run(folder: Path, seed: int, study: Study) -> Path:
    folder.mkdir(parents=True)
    searching = strategies(*study.strategies, k=study.k)
    tasks = [f"level1/{name}" for name in STUDY_TASKS[: study.tasks]]
    adapting = [_adapting(searching[0], study.k, study.steps, rate) for rate in study.rates] if study.steps else []
    run = {
        "tasks": tasks,
        "task_sha256": {task: sha256_of(task) for task in tasks},
        "strategies": [each.to_json() for each in (*searching, *adapting)],
        "margin": MARGIN,
        "seed": seed,
        "policy": "tiny",
        "policy_version": "0",
        "policy_label": "made up: these numbers were never measured",
        **{"device": "NVIDIA H200", "device_kind": "cuda", "protocol": "full", "sizes": "full"},
        "versions": {"torch": "2.13.0", "pytest-kernelbench": "0.1.0"},
        "seconds": {"sampling": 61.2, "loading the policy": 4.1},
        **study.options,
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1))
    rows: Rows = {name: [] for name in ("completions", "evaluations", "confirmations", "null", "selections")}
    for task in tasks:
        group = study_group(task, range(study.k), seed)
        _add_samples(rows, group, searching[0])
        for strategy in searching:
            cost = {"rollouts": study.k, "timed": 0}
            _add_selection(rows, task, strategy, group, seed, cost)
        null = evaluation_of(exp(random.Random(f"null {seed} {task}").gauss(0, 0.004)), half_width=0.006)
        judging = {"sampling_sha256": None, "evaluation_sha256": searching[0].evaluation_sha256}
        rows["null"].append({"task": task, "index": None, **null.to_json(), **judging})
    for each in adapting:
        _add_adaptation(rows, tasks, each, seed)
    for name, table in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return folder


def _adapting(search: Strategy, k: int, steps: int, rate: float) -> Strategy:
    return Strategy(
        name="batch-ttt" if rate == 1e-5 else f"batch-ttt-{rate:g}",
        sampling=replace(search.sampling, k=k // 4),
        evaluation=search.evaluation,
        adaptation=Adaptation(steps=steps, holdout=k // 16, checkpoint="best", learning_rate=rate),
    )


def _add_samples(rows: Rows, group: list[Judged], strategy: Strategy) -> None:
    sampling = {"sampling_sha256": strategy.sampling_sha256}
    for judged in group:
        completion = judged.candidate.completion
        rows["completions"].append({**completion.to_json(), **sampling})
        judging = {**sampling, "evaluation_sha256": strategy.evaluation_sha256}
        row = {"task": completion.task, "index": completion.index}
        rows["evaluations"].append({**row, **judged.evaluation.to_json(), **judging})


def _add_selection(
    rows: Rows, task: str, strategy: Strategy, group: list[Judged], seed: int, cost: dict[str, float], **more: object
) -> None:
    choice = select(group, strategy.selection, seed=seed)
    selection = Selection(
        task=task,
        strategy=strategy.name,
        index=choice.index,
        considered=choice.considered,
        cost={**cost, "timed": len(choice.considered)},
    )
    if choice.index is not None:
        chosen = next(judged for judged in group if judged.candidate.index == choice.index)
        first = chosen.evaluation
        # The same source has the same second timing, whichever strategy chose it.
        rng = random.Random(f"again {seed} {task} {first.source_sha256}")
        again = replace(
            evaluation_of(first.speedup * exp(rng.gauss(-0.004, 0.008)), half_width=0.006),
            source_sha256=first.source_sha256,
        )
        judging = {"sampling_sha256": strategy.sampling_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        rows["confirmations"].append({"task": task, "index": choice.index, **again.to_json(), **judging})
        selection = replace(
            selection,
            speedup=first.speedup,
            speedup_low=first.speedup_low,
            speedup_high=first.speedup_high,
            confirmed_speedup=again.speedup,
            confirmed_low=again.speedup_low,
            confirmed_high=again.speedup_high,
            fast=again.fast(margin=MARGIN),
            fast_raw=first.fast_raw(),
            **more,
        )
    rows["selections"].append({**selection.to_json(), "strategy_sha256": strategy.sha256})


def _add_adaptation(rows: Rows, tasks: list[str], strategy: Strategy, seed: int) -> None:
    lineage = sha256_of(f"{strategy.adaptation_sha256} {seed}")[:12]
    trained_on = tasks[: max(1, len(tasks) * 3 // 4)]
    rows.setdefault("adaptation", [])
    pace = strategy.adaptation.learning_rate / 1e-5
    rollouts_of: dict[str, list[Judged]] = {task: [] for task in tasks}
    for number in range(1 + strategy.adaptation.steps):
        at = strategy.at(lineage, number)
        version = f"0+{lineage}.{number}" if number else "0"
        counts = {}
        for task in tasks:
            learned = pace * number * (0.3 if task in trained_on else 0.05)
            group = study_group(task, at.indices, seed, learned=learned, version=version)
            if number > 0:
                _add_samples(rows, group, at)
            train, held_out = group[: at.sampling.k], group[at.sampling.k :]
            rollouts_of[task] += train
            counts[task] = {**_step_counts(train), "holdout": _step_counts(held_out) if held_out else None}
        update = {
            "loss": -0.4 / (1 + number),
            "grad_norm": 0.8,
            "learning_rate": strategy.adaptation.learning_rate,
            "update_tokens": 90_000,
            "teacher_tokens": 0,
            "seconds": 21.5,
        }
        step = AdaptationStep(
            lineage=lineage,
            adaptation_sha256=strategy.adaptation_sha256,
            group=tuple(tasks),
            step=number,
            policy_version=version,
            sampling_sha256=at.sampling_sha256,
            first_index=at.indices.start,
            rollouts=at.sampling.k,
            holdout=at.adaptation.holdout,
            checkpoint=f"checkpoints/{lineage}/{number}" if number else None,
            trained_on=tuple(trained_on),
            tasks=counts,
            entropy=0.9 - 0.08 * number,
            kl=0.02 * number if number else None,
            update=update if number else None,
        )
        rows["adaptation"].append(step.to_json())
    for task, group in rollouts_of.items():
        cost = {"rollouts": len(group), "steps": strategy.adaptation.steps, "update_tokens": 4500, "teacher_tokens": 0}
        _add_selection(rows, task, strategy, group, seed, cost, checkpoint_step=strategy.adaptation.steps)


def _step_counts(group: list[Judged]) -> dict[str, object]:
    evaluations = [judged.evaluation for judged in group]
    return {
        "rollouts": len(group),
        "correct": sum(each.correct for each in evaluations),
        "void": sum(each.outcome is Outcome.VOID for each in evaluations),
        "fast_1": sum(each.fast(margin=MARGIN) for each in evaluations),
        "fast_1_raw": sum(each.fast_raw() for each in evaluations),
        "distinct": len({each.source_sha256 for each in evaluations}),
        "reward": sum(each.speedup or 0 for each in evaluations) / max(1, len(group)),
    }
