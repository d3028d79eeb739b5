"""The rooms of the package: a table, and what the modules really import. ``python tests/rooms.py`` prints both.

A room is a folder or a module directly below ``pytest_kernelbench``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent / "pytest_kernelbench"
MODULES = sorted(path for path in ROOT.rglob("*.py") if "data" not in path.relative_to(ROOT).parts)


class Room(NamedTuple):
    """``sentence`` says what the room is for, ``neighbours`` which rooms its modules import."""

    sentence: str
    neighbours: tuple[str, ...]


# From the top to the bottom: a room imports from rooms further down only.
ROOMS: dict[str, Room] = {
    "__main__": Room(
        "The commands after `python -m pytest_kernelbench`, each with its arguments.",
        ("commands", "extensions", "pinned", "serving", "report", "errors"),
    ),
    "commands": Room(
        "The commands that belong to no other room: check, probe, replay, tasks.",
        (
            "adaptation",
            "evaluation",
            "policies",
            "report",
            "prompting",
            "tasks",
            "strategy",
            "registries",
            "records",
            "errors",
        ),
    ),
    "plugin": Room(
        "Everything that imports pytest: hooks, options, collection, fixtures, progress, and the bridges to "
        "pytest-benchmark and pytest-xdist.",
        (
            *(
                "lookahead",
                "extensions",
                "pinned",
                "pipeline",
                "workbench",
                "evaluation",
                "serving",
                "ledger",
                "report",
                "policies",
            ),
            *("strategy", "tasks", "host", "registries", "records", "errors"),
        ),
    ),
    "lookahead": Room(
        "A thread that samples and builds the next items while one is judged.",
        ("rollouts", "workbench", "policies", "strategy", "records", "errors"),
    ),
    "pipeline": Room(
        "The story: one task under one strategy, from the sample to the confirmed choice.",
        ("adaptation", "rollouts", "evaluation", "search", "selection", "strategy", "records"),
    ),
    "adaptation": Room(
        "What is learned: rewards, advantages, losses and the trainers that make the next version of the weights.",
        (
            *("rollouts", "workbench", "ledger", "policies", "selection", "strategy", "tasks", "prompting"),
            *("registries", "records", "errors"),
        ),
    ),
    "rollouts": Room(
        "One version of the policy on one task: sample, extract, judge, each recorded when it comes.",
        ("policies", "search", "strategy", "prompting", "records", "errors"),
    ),
    "workbench": Room(
        "What an item works with: the run folder, and policies and evaluators made when first needed.",
        ("serving", "evaluation", "ledger", "policies", "strategy", "records", "errors"),
    ),
    "extensions": Room(
        "What other projects add by hooks and entry points, put into the tables of this package.",
        ("policies", "evaluation", "selection", "prompting", "errors"),
    ),
    "pinned": Room(
        "Kernels that a repository keeps: how a choice becomes a file, and whether a kernel is slower than its "
        "baseline.",
        ("evaluation", "report", "tasks", "prompting", "host", "records", "errors"),
    ),
    "environments": Room(
        "The tasks and the judge as an environment for trainers: verifiers and OpenEnv, one file each.",
        ("evaluation", "tasks", "prompting", "records"),
    ),
    "serving": Room(
        "A judge behind HTTP, and the client that stands in for a local evaluator.",
        ("evaluation", "tasks", "host", "registries", "records", "errors"),
    ),
    "evaluation": Room(
        "A candidate becomes an evaluation: built, checked and timed in a process of its own.",
        ("tasks", "inline", "host", "registries", "records", "errors"),
    ),
    "ledger": Room(
        "The run folder: every record, written as it comes into being, and found again when a run is resumed.",
        ("strategy", "tasks", "records", "errors"),
    ),
    "report": Room(
        "Numbers and pages from records alone: records, stats, metrics, analyses, render.",
        ("search", "selection", "strategy", "tasks", "prompting", "records", "errors"),
    ),
    "policies": Room(
        "Who answers: one module for each way to get completions with their log-probabilities.",
        ("tiny_policy", "prompting", "host", "records", "errors"),
    ),
    "search": Room(
        "Which earlier candidates a question shows when a strategy asks again, and when it stops asking.",
        ("strategy", "prompting", "registries", "records"),
    ),
    "selection": Room(
        "Which of the correct candidates a strategy chooses.", ("strategy", "prompting", "registries", "records")
    ),
    "tiny_policy": Room(
        "The embedded policy: the corpus that it was trained on, its training and its weights.",
        ("tasks", "inline", "host", "errors"),
    ),
    "tasks": Room("KernelBench's task files: found, parsed and sized, never imported.", ("host", "records", "errors")),
    "strategy": Room(
        "A strategy file as checked, frozen settings with their hashes.",
        ("prompting", "registries", "records", "errors"),
    ),
    "prompting": Room("What a policy is asked, and the module that is found in its answer.", ("records", "errors")),
    "inline": Room("`compile_c` and `compile_cuda`: the compilers that a candidate may call.", ()),
    "host": Room("Facts about this machine and this installation that need no torch.", ("errors",)),
    "registries": Room("Every name that a strategy may use, and where the object with that name is.", ()),
    "records": Room("The nouns, as frozen dataclasses: Task, Completion, Candidate, Evaluation, Selection.", ()),
    "errors": Room("Every error of the package, by whose mistake it is, and the words that errors suggest.", ()),
}


def room_of(path: Path) -> str:
    """The room that the module at ``path`` is in; ``__init__`` for the package's own."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def names_imported(path: Path) -> frozenset[tuple[str, ...]]:
    """Dotted names of this package that a module imports, in functions too, but not for type checking only."""
    package = ("pytest_kernelbench", *path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text())
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = (*above, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {name[1:] for name in names if name[0] == "pytest_kernelbench"}
    return frozenset(found)


def rooms_imported(path: Path) -> set[str]:
    """The other rooms that the module at ``path`` imports from."""
    names = names_imported(path)
    found = {name[0] for name in names if len(name) > 1 or (ROOT / f"{name[0]}.py").exists()}
    return found - {room_of(path)}


def neighbours_of(room: str) -> set[str]:
    """The rooms that the modules of ``room`` import from, all together."""
    return {other for path in MODULES if room_of(path) == room for other in rooms_imported(path)}


def file_of(name: tuple[str, ...]) -> Path | None:
    """The module that a dotted name is, or is found in; None for the package itself."""
    if not name:
        return None
    for candidate in (ROOT.joinpath(*name).with_suffix(".py"), ROOT.joinpath(*name, "__init__.py")):
        if candidate.exists():
            return candidate
    return file_of(name[:-1])


@cache
def files_imported(path: Path) -> frozenset[Path]:
    """The modules that the module at ``path`` imports, or imports a name of."""
    return frozenset({file for name in names_imported(path) if (file := file_of(name))} - {path})


def lines_for_people() -> Iterator[str]:
    """The table, a room a paragraph."""
    for name, room in ROOMS.items():
        yield f"{name}: {room.sentence}"
        yield f"    imports {', '.join(room.neighbours) or 'no other room'}"


if __name__ == "__main__":
    print("\n".join(lines_for_people()))
