"""Runs of a few tasks at random, degenerate ones among them: nothing correct, no scores, no timings, no answers."""

import random
from dataclasses import replace

from made_up_study import MARGIN, Drawn, records_of

from pytest_kernelbench.records import AdaptationStep, Selection
from pytest_kernelbench.strategy import Adaptation

SPEEDS = (None, None, 0.5, 0.995, 1.0, 1.005, 1.5, 3.0)
SHAPES = ("plain", "one task", "nothing correct", "no scores", "some scores", "one program", "empty tasks", "untimed")


def records(seed: int):
    """A few tasks of a few programs, and what is missing in the manner of one of ``SHAPES``."""
    rng, shape = random.Random(seed), SHAPES[seed % len(SHAPES)]
    tasks = groups(rng, shape, 1 if shape == "one task" else rng.randint(2, 4))
    found = records_of(tasks, strategies=("one", "two"), nulls=[1.0, 1.002] if seed % 3 else None)
    if shape == "untimed":
        bare = {"speedup": None, "speedup_low": None, "speedup_high": None}
        found = replace(found, evaluations={key: replace(each, **bare) for key, each in found.evaluations.items()})
    return replace(found, selections=choices(found, rng), options={**found.options, "primary": "surprisal:random"})


def groups(rng, shape, n):
    """The answers of so many tasks."""
    tasks = {}
    for number in range(n):
        programs = [
            (rng.choice(SPEEDS), -rng.choice((1.0, 2.0, 2.5, 4.0)), rng.randint(3, 9))
            for _ in range(1 if shape == "one program" else rng.randint(1, 4))
        ]
        drawn = []
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(programs))
            speed, logprob, tokens = programs[at]
            if shape == "no scores" or (shape == "some scores" and rng.random() < 0.3):
                logprob = None
            speed = None if shape == "nothing correct" else speed
            drawn.append(Drawn(speed, logprob, tokens, f"{number} {at}"))
        tasks[f"level1/{number}_x"] = [] if shape == "empty tasks" and number else drawn
    return tasks


def choices(found, rng):
    """Of one strategy, for some of the tasks: a run that was killed."""
    rows = {}
    for (_, _, task, index), each in found.evaluations.items():
        if each.correct and each.speedup and rng.random() < 0.5:
            rows[task, "one"] = Selection(
                task=task,
                strategy="one",
                index=index,
                considered=(index,),
                cost={"timed": 1},
                speedup=each.speedup,
                confirmed_speedup=each.speedup,
                confirmed_low=each.speedup_low,
                confirmed_high=each.speedup_high,
                fast=each.fast(margin=MARGIN),
                fast_raw=each.fast_raw(),
            )
    return rows


def two_sets(seed: int):
    """As ``records``, but the two strategies draw candidates of their own, and some of what they cost is not known."""
    first, rng = records(seed), random.Random(-seed)
    second = records_of(groups(rng, SHAPES[seed % len(SHAPES)], len(first.tasks)))
    one, two = first.strategies
    completions = {**first.completions, **{("s2", *key[1:]): each for key, each in second.completions.items()}}
    evaluations = {**first.evaluations, **{("s2", *key[1:]): each for key, each in second.evaluations.items()}}
    has_prompts = seed % 2 == 0
    for key, each in completions.items():
        completions[key] = replace(
            each,
            n_tokens=None if rng.random() < 0.1 else each.n_tokens,
            prompt_tokens=rng.randint(5, 9) if has_prompts and rng.random() > 0.1 else None,
            seconds=None if rng.random() < 0.1 else rng.choice((0.5, 1.0, 2.0)),
        )
    for key, each in evaluations.items():
        evaluations[key] = replace(each, seconds={"total": 1.0 + len(each.source_sha256) + (each.correct or 0)})
    strategies = (one, replace(two, sampling_sha256="s2"))
    return replace(first, strategies=strategies, completions=completions, evaluations=evaluations)


def seeds_of(seed: int):
    """Two runs of the same tasks with other answers, as ``merged`` takes them."""
    first, rng = records(seed), random.Random(1000 + seed)
    again = records_of(groups(rng, SHAPES[seed % len(SHAPES)], len(first.tasks)), strategies=("one", "two"))
    return {
        f"seed {number}": replace(run, nulls=None, selections={}, options={**run.options, "seed": number})
        for number, run in enumerate((replace(first, options=again.options), again))
    }


def trajectories(seed: int):
    """Runs of adaptation by seed: some steps without rollouts of some tasks, lineages over all tasks or one each."""
    rng = random.Random(seed)
    tasks = [f"level1/{number}_x" for number in range(rng.randint(1, 3))]
    apart, n_steps, holdout = rng.random() < 0.5, rng.randint(1, 4), rng.choice((0, 2))
    runs = {}
    for of_run in range(rng.randint(1, 2)):
        steps = {}
        for group in [(task,) for task in tasks] if apart else [tuple(tasks)]:
            for number in range(n_steps):
                there = [task for task in group if rng.random() < 0.85]
                steps[of_run, group[0], number] = AdaptationStep(
                    lineage=group[0],
                    adaptation_sha256="a",
                    group=group,
                    step=number,
                    policy_version=f"0+{number}",
                    sampling_sha256=f"s{number}" if number else "s",
                    first_index=4 * number,
                    rollouts=4,
                    trained_on=group,
                    tasks={
                        task: {**counts(rng, 4), "holdout": counts(rng, holdout) if holdout else None} for task in there
                    },
                    update={"loss": rng.random(), "seconds": 1.0, "update_tokens": rng.randint(1, 9)}
                    if number
                    else None,
                )
        base = records_of({task: [] for task in tasks})
        strategy = replace(base.strategies[0], name="ttt", k=4, adaptation_sha256="a", adaptation=Adaptation(steps=8))
        runs[f"seed {of_run}"] = replace(
            base, strategies=(strategy,), adaptation=steps, options={**base.options, "seed": of_run}
        )
    return runs


def counts(rng, n: int):
    correct = rng.randint(0, n)
    raw = rng.randint(0, correct)
    fast = {"correct": correct, "fast_1_raw": raw, "fast_1": rng.randint(0, raw)}
    return {"rollouts": n, "void": 0, "distinct": n, "reward": 1.0, **fast}
