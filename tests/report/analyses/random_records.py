"""Runs of a few tasks at random, degenerate ones among them: nothing correct, no scores, no timings, no answers."""

import random
from dataclasses import replace

from made_up_study import MARGIN, Drawn, records_of

from pytest_kernelbench.records import Selection

SPEEDS = (None, None, 0.5, 0.995, 1.0, 1.005, 1.5, 3.0)
SHAPES = ("plain", "one task", "nothing correct", "no scores", "some scores", "one program", "empty tasks", "untimed")


def records(seed: int):
    """A few tasks of a few programs, and what is missing in the manner of one of ``SHAPES``."""
    rng, shape = random.Random(seed), SHAPES[seed % len(SHAPES)]
    tasks = {}
    for number in range(1 if shape == "one task" else rng.randint(2, 4)):
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
    found = records_of(tasks, strategies=("one", "two"), nulls=[1.0, 1.002] if seed % 3 else None)
    if shape == "untimed":
        bare = {"speedup": None, "speedup_low": None, "speedup_high": None}
        found = replace(found, evaluations={key: replace(each, **bare) for key, each in found.evaluations.items()})
    return replace(found, selections=choices(found, rng), options={**found.options, "primary": "surprisal:random"})


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
