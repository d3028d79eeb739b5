"""``python -m pytest_kernelbench plan``: the power of a planned study, by its number of tasks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import lru_cache
from math import exp, inf, log
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render.numbers import as_rate, as_times, counted
from pytest_kernelbench.report.render.preregistration import Preregistration
from pytest_kernelbench.strategy.primary import Primary, parse_primary

if TYPE_CHECKING:
    from pytest_kernelbench.report.analyses.planning import MakeStudy, Planned

DEFAULT = "surprisal-top3:random-top3:success"
GRID = (5, 10, 20, 40)
MOST_SPEEDUP = 1000
# What is simulated grows with each of them, to minutes and gigabytes.
MOST = {"tasks": 1000, "k": 10_000, "programs": 1000, "seeds": 100}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--primary", default=DEFAULT, metavar="SELECTOR:CONTROL:OUTCOME", help=f"default: {DEFAULT}")
    parser.add_argument("--tasks", default="20", metavar="N|ID,...", help="how many, or their ids; default: 20")
    parser.add_argument("--k", type=int, default=64, help="answers a task and seed; default: 64")
    parser.add_argument("--seeds", default="0", metavar="SEED,...", help="default: 0, one seed")
    parser.add_argument("--effect", type=float, help="0.2: 20 points; of log_speedup 1.1: 1.1x; default: 0.1 or 1.1")
    parser.add_argument("--from", dest="runs", nargs="+", type=Path, metavar="DIR", help="a run to draw tasks from")
    parser.add_argument("--mix", action="store_true", help="draw from runs of different devices, protocols or sizes")
    parser.add_argument("--programs", type=int, default=12, help="assumed: correct programs of a task; default: 12")
    parser.add_argument("--fast", type=float, default=0.3, help="assumed: share of these that is fast; default: 0.3")
    parser.add_argument("--speedup", type=float, default=2.0, help="assumed: of a fast one; default: 2")
    parser.add_argument(
        "--margin", type=float, help="what the low end must exceed 1 by; written to the preregistration"
    )
    parser.add_argument("--preregister", type=Path, metavar="FILE", help="write what is planned, with its hash")


def run(options: argparse.Namespace) -> None:
    """Print the power of a planned comparison, the tasks that it needs, and how often a useless score is rejected."""
    _check_numbers(options)
    primary = parse_primary(options.primary, f"--primary={options.primary}")
    if not primary.control.startswith("random"):
        raise UsageError(f"--primary={options.primary}: power is defined against a random control")
    tasks = _tasks(options.tasks)
    seeds = _seeds(options.seeds)
    effect = _effect(options.effect, primary)
    source, study_of = _studies(options, primary)
    if options.preregister:  # before the simulation, which takes a while
        written = Preregistration.planned(primary, tasks=tasks, k=options.k, seeds=seeds, margin=options.margin)
        written.write(options.preregister)
    for line in _lines(primary, source, study_of, Asked(len(tasks), options.k, len(seeds), effect)):
        print(line, flush=True)
    if options.preregister:
        print(f"wrote {options.preregister}: sha256 {written.sha256}")


StudyOf = Callable[[int, int, int], "MakeStudy"]  # of a number of tasks, of K and of a number of seeds


class Asked(NamedTuple):
    """``effect`` on the scale of the test."""

    tasks: int
    k: int
    seeds: int
    effect: float


def _lines(primary: Primary, source: str, study_of: StudyOf, asked: Asked) -> list[str]:
    from pytest_kernelbench.report.analyses.planning import least_tasks, planned

    tasks, k, seeds, effect = asked

    @lru_cache
    def at(n_tasks: int, n_answers: int, n_seeds: int = seeds) -> Planned:
        return planned(study_of(n_tasks, n_answers, n_seeds), primary, effect, seed=0)

    found = at(tasks, k)
    shown = _shown(effect, primary)
    lines = [
        f"{primary.said}: {counted(tasks, 'task')}, K = {k}, {counted(seeds, 'seed')}; {source}",
        f"a useless score is rejected in {as_rate(found.size)} of studies (asked for: at most 5 %)",
    ]
    if found.possible < effect:
        most = _shown(found.possible, primary)
        return [*lines, f"an effect of {shown} is not possible: choosing the best of every task would give {most}"]
    lines.append(f"an effect of {shown} is found in {as_rate(found.power)} of studies (± {as_rate(found.error)})")
    needed = least_tasks(lambda n: at(n, k).power)
    lines.append(f"tasks for 80 %: {'more than 320' if needed is None else needed}")
    by_tasks = ", ".join(f"{n}: {as_rate(at(n, k).power)}" for n in GRID)
    by_k = ", ".join(f"{n}: {_power(at(tasks, n), effect)}" for n in (8, 16, 32, 64, 128) if n <= max(k, 8))
    by_seeds = ", ".join(f"{n}: {as_rate(at(tasks, k, n).power)}" for n in (1, 2, 4))
    with_tasks = f"with {counted(tasks, 'task')}"
    return [
        *lines,
        f"power by tasks: {by_tasks}",
        f"power by K, {with_tasks}: {by_k}",
        f"power by seeds, {with_tasks}: {by_seeds}",
    ]


def _power(found: Planned, effect: float) -> str:
    return as_rate(found.power) if found.possible >= effect else "not possible"


def _studies(options: argparse.Namespace, primary: Primary) -> tuple[str, StudyOf]:
    from pytest_kernelbench.report.analyses.base import Study
    from pytest_kernelbench.report.analyses.planning import Assumptions, assumed, recorded

    if not options.runs:
        assumptions = Assumptions(programs=options.programs, fast=options.fast, speedup=options.speedup)
        said = f"{assumptions.programs} programs a task, {as_rate(assumptions.fast)} of them fast at "
        said += f"{as_times(assumptions.speedup)}, {as_rate(assumptions.correct)} of answers correct"
        return f"assumed: {said}", lambda n, k, seeds: assumed(assumptions, primary, tasks=n, k=k, seeds=seeds)
    records = merged({str(folder): RunRecords.load(folder) for folder in options.runs}, mix=options.mix)
    groups = [group for group in Study.of(records).groups if any(unit.is_timed for unit in group.units)]
    if not groups:
        raise UsageError(f"{options.runs[0]}: no task of it has a timed candidate, so nothing can be drawn from it")
    group = max(groups, key=lambda each: each.counts["drawn"])
    if options.k > (most := max(unit.n for unit in group.units)):
        answers = counted(most, "answer")
        raise UsageError(f"--k={options.k}: a task of {options.runs[0]} has {answers} a seed; name at most --k={most}")
    said = f"drawn from {counted(group.tasks, 'task')} of {', '.join(map(str, options.runs))}"
    return said, lambda n, k, seeds: recorded(group, primary, tasks=n, k=k, seeds=seeds)


def _tasks(text: str) -> list[str]:
    ids = [each.strip() for each in text.split(",") if each.strip()]
    if len(ids) == 1 and ids[0].isascii() and ids[0].isdigit():
        # A number of thousands of digits is none to int().
        n_tasks = int(ids[0]) if len(ids[0]) < 10 else inf
        ids = [f"task {number}" for number in range(1, int(min(n_tasks, MOST["tasks"] + 1)) + 1)]
    elif wrong := next((each for each in ids if "/" not in each), None):
        raise UsageError(f"--tasks={text}: {wrong} is no id; write a whole number, or ids such as level1/19")
    if not ids:
        raise UsageError(f"--tasks={text}: at least one task is needed")
    if len(ids) > MOST["tasks"]:
        raise UsageError(f"--tasks={text}: at most {MOST['tasks']} can be simulated")
    return ids


def _check_numbers(options: argparse.Namespace) -> None:
    """Raises UsageError for an option whose number says nothing."""
    wrong = {
        f"--k={options.k}": "at least one answer is needed" if options.k < 1 else _too_many(options.k, "k"),
        f"--programs={options.programs}": "at least one program is needed"
        if options.programs < 1
        else _too_many(options.programs, "programs"),
        f"--fast={options.fast:g}": not 0 <= options.fast <= 1 and "a share lies between 0 and 1, as in 0.3",
        f"--speedup={options.speedup:g}": not 1 < options.speedup <= MOST_SPEEDUP
        and f"a fast program is over 1 time as fast, and at most {MOST_SPEEDUP} times can be simulated; write 2",
    }
    if options.margin is not None:
        wrong[f"--margin={options.margin:g}"] = not 0 <= options.margin < inf and "write 0 or more, as in 0.05"
    for option, problem in wrong.items():
        if problem:
            raise UsageError(f"{option}: {problem}")


def _too_many(number: int, of: str) -> str | None:
    return f"at most {MOST[of]} can be simulated" if number > MOST[of] else None


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(each) for each in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds={text}: write whole numbers, as in 0,1,2") from None
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds={text}: a seed is named twice; name each once, as in 0,1,2")
    if problem := _too_many(len(seeds), "seeds"):
        raise UsageError(f"--seeds={text}: {problem}")
    return seeds


def _effect(effect: float | None, primary: Primary) -> float:
    """The effect on the scale of the test: a difference of rates, or of logarithms."""
    if primary.outcome == "success":
        effect = 0.1 if effect is None else effect
        if not 0 < effect <= 1:
            raise UsageError(f"--effect={effect:g}: a difference of success lies between 0 and 1, as in 0.2")
        return effect
    effect = 1.1 if effect is None else effect
    if not 1 < effect <= MOST_SPEEDUP:
        raise UsageError(f"--effect={effect:g}: a ratio of speed-ups is more than 1, as in 1.1")
    return log(effect)


def _shown(effect: float, primary: Primary) -> str:
    return f"{100 * effect:+.0f} points" if primary.outcome == "success" else as_times(exp(effect))
