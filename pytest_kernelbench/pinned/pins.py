"""``python -m pytest_kernelbench pin RUN``: writes a run's chosen kernels to files, for ``--strategy=pinned``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.host.resources import in_project
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Selection, Task, sha256_of
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.tasks import as_option, load_tasks
from pytest_kernelbench.tasks.recorded import recorded_selectors

KERNELS = Path("kernels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A kernel to be kept: ``source`` begins with a comment on its origin."""

    task: str
    selection: Selection
    source: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="level1/19 or a glob; default: all fast ones")
    parser.add_argument(
        "--strategy", metavar="NAME", help="the strategy that chose; default: the fastest choice of all"
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help=f"default: {KERNELS} of this project")


def run(options: argparse.Namespace) -> None:
    """Keep a run's chosen kernels: all that are verified fast, or, for named tasks, the chosen one at any speed."""
    folder = options.to or in_project(KERNELS)
    for pin in pins_of(options.run, options.tasks, strategy=options.strategy):
        file = folder / f"{pin.task}.py"
        kept = "replaced" if file.exists() else "kept"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(pin.source, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file}: cannot be written ({error.strerror}); name a folder with --to") from error
        print(f"{kept} {file}: {pin.selection.strategy} #{pin.selection.index}, {_speedup(pin.selection)}")


def pins_of(folder: Path, tasks: Sequence[str] = (), *, strategy: str | None = None) -> list[Pin]:
    """The kernels of the run in ``folder`` to keep, by task. Raises UsageError if there are none."""
    records = RunRecords.load(folder)
    names = [each.name for each in records.strategies]
    if strategy is not None and strategy not in names:
        raise UsageError(f"{folder}: has no strategy {strategy}; it has {', '.join(names)}")
    for task in tasks:
        if not any(_matches(each, task) for each in records.tasks):
            raise UsageError(f"{folder}: has no task {task}; it has {', '.join(records.tasks)}")
    best: dict[str, Selection] = {}
    for (task, name), selection in records.selections.items():
        named = any(_matches(task, each) for each in tasks)
        if selection.index is None or strategy not in (None, name) or not (named or (selection.fast and not tasks)):
            continue
        if task not in best or _rank(selection) > _rank(best[task]):
            best[task] = selection
    if not best:
        if tasks:
            raise UsageError(f"{folder}: nothing was chosen for {', '.join(tasks)}; name other tasks")
        raise UsageError(f"{folder}: no choice is verified fast; name tasks to keep what was chosen for them")
    return [
        Pin(task=task, selection=best[task], source=_header(records, best[task]) + _source(folder, records, best[task]))
        for task in records.tasks
        if task in best
    ]


def _matches(task: str, pattern: str) -> bool:
    return pattern in (task, Task(id=task, source="").short_id) or fnmatchcase(task, pattern)


def _rank(selection: Selection) -> tuple[bool, float]:
    return selection.fast, selection.confirmed_speedup or 0.0


def _source(folder: Path, records: RunRecords, selection: Selection) -> str:
    """The text of the candidate that was chosen, without the header of an earlier ``pin``."""
    strategy = next((each for each in records.strategies if each.name == selection.strategy), None)
    if strategy is None:
        raise UsageError(
            f"{folder}: run.json has no strategy {selection.strategy}, which chose for {selection.task}; "
            "name one that it has with --strategy"
        )
    # Each strategy numbers its candidates from 0: the index is that of a candidate which this strategy drew.
    drawn = records.drawn(strategy).get(selection.task, ())
    chosen = next((each for each in drawn if each.index == selection.index), None)
    name = f"{selection.task} #{selection.index}"
    if chosen is None or chosen.completion is None or chosen.evaluation is None:
        raise UsageError(f"{folder}: the text of {name} is not there; was the run cut short?")
    rows = {row["name"]: row for row in records.options["strategies"]}
    answer = rows[selection.strategy]["sampling"]["answer"]
    for task in _references(folder, records, selection, answer):
        source = extract_source(chosen.completion.text, answer=answer, task=task)
        if source is not None and sha256_of(source) == chosen.evaluation.source_sha256:
            if source.startswith(f"# {selection.task}: "):  # kept before
                source = source.partition("\n")[2]
            return source if source.endswith("\n") else f"{source}\n"
    raise UsageError(
        f"{folder}: {name} is not what was judged, because its task is gone or has another text; "
        "pin it with the tasks of the run"
    )


def _references(folder: Path, records: RunRecords, selection: Selection, answer: str) -> Iterator[Task]:
    """The task, by which an answer becomes a module; the run does not contain its text. Raises TaskError."""
    if answer == "module":
        # Most modules need nothing of the reference. A class that inherits from it does, and a change of its text.
        yield Task(id=selection.task, source="")
    named = recorded_selectors(records.options, folder)
    tasks = load_tasks(named or [selection.task], named=as_option)
    yield from (each for each in tasks if each.id == selection.task)


def _header(records: RunRecords, selection: Selection) -> str:
    device = records.options.get("device") or "an unknown device"
    return f"# {selection.task}: {selection.strategy} #{selection.index}, {_speedup(selection)} on {device}\n"


def _speedup(selection: Selection) -> str:
    if selection.confirmed_speedup is None:
        return "not timed"
    low, high = selection.confirmed_low, selection.confirmed_high
    interval = "" if low is None else f" [{low:.3g}, {'∞' if high is None else f'{high:.3g}'}]"
    return f"{selection.confirmed_speedup:.3g}x{interval}"
