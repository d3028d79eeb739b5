"""``python -m pytest_kernelbench replay RUN TASK INDEX``: judge a recorded candidate again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.commands.present_tasks import AS_RECORDED, Places, add_places, present_tasks
from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import Evaluation, Task, sha256_of
from pytest_kernelbench.report.records import RunRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded candidate and its verdict. ``task``: from its present file. ``settings``: it was judged with these."""

    task: Task
    index: int
    source: str
    evaluation: Evaluation
    settings: dict[str, Any]
    seed: int
    device: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("task", metavar="TASK", help="level1/32, or a whole id")
    parser.add_argument("index", type=int, metavar="INDEX", help="the candidate's index, as in evaluations.jsonl")
    parser.add_argument(
        "--strategy", metavar="NAME", help="the strategy that drew the candidate; default: the first that has it"
    )
    add_places(parser)
    parser.add_argument("--draw", metavar="KIND", help="another kind of inputs, such as wide (docs/candidates.md)")
    parser.add_argument("--device", help="default: the device of the run")


def run(options: argparse.Namespace) -> None:
    """Judge a candidate of a run again, on new inputs of the kind on which it failed, and print where it is wrong."""
    if options.draw is not None:
        from pytest_kernelbench.evaluation.correctness.replay import REPLAYED

        if options.draw not in REPLAYED:
            raise UsageError(f"--draw={options.draw}: no such kind of inputs; there are {', '.join(REPLAYED)}")
    recorded = recorded_candidate(options.run, options.task, options.index, options.strategy, Places.named_by(options))
    from pytest_kernelbench.evaluation import resolve_device

    device = resolve_device(recorded.device if options.device is None else options.device, "--device")
    try:
        for line in lines_of(recorded, device=device, draw=options.draw):
            print(line, flush=True)
    except HarnessError as error:
        raise UsageError(str(error)) from error


def recorded_candidate(
    folder: Path, task: str, index: int, strategy: str | None = None, places: Places = AS_RECORDED
) -> Recorded:
    """The record of a candidate in the run ``folder``. Raises UsageError if there is none."""
    records = RunRecords.load(folder)
    names = [each.name for each in records.strategies]
    if strategy is not None and strategy not in names:
        raise UsageError(f"{folder}: has no strategy {strategy}; it has {', '.join(names)}")
    ids = [each for each in records.tasks if task in (each, Task(id=each, source="").short_id)]
    if not ids:
        raise UsageError(f"{folder}: has no task {task}; it has {', '.join(records.tasks)}")
    rows = [row for row in records.options["strategies"] if strategy in (None, row["name"])]
    judged = {
        number: evaluation
        for row in rows
        for (_, judging, name, number), evaluation in records.evaluations.items()
        if (judging, name) == (row["evaluation_sha256"], ids[0])
    }
    if index not in judged:
        has = f"it has {min(judged)} to {max(judged)}" if judged else "none was judged"
        raise UsageError(f"{folder}: has no candidate {index} of {ids[0]}; {has}")
    now = present_tasks(folder, records.options, ids[:1], places)[ids[0]]
    for row in rows:
        source = _source(records, row, now, index, judged[index].source_sha256)
        if source is not None:
            return Recorded(
                task=now,
                index=index,
                source=source,
                evaluation=judged[index],
                settings=row["evaluation"],
                seed=records.seed,
                device=records.options.get("device_kind") or "auto",
            )
    raise UsageError(f"{folder}: candidate {index} of {ids[0]} has no program that could be judged; name another")


def lines_of(recorded: Recorded, *, device: str, draw: str | None = None) -> Iterator[str]:
    """The lines to print: the recorded verdict, the new verdict, and the first wrong elements."""
    from pytest_kernelbench.evaluation import Evaluator

    evaluation = recorded.evaluation
    yield f"{recorded.task.id} #{recorded.index}, recorded: {_verdict(evaluation.outcome.value, evaluation.detail)}"
    kind = draw or evaluation.draw
    with Evaluator(device=device, seed=recorded.seed, **recorded.settings) as evaluator:
        if kind is None:
            (again,) = evaluator.evaluate(recorded.task, [recorded.source])
            yield f"judged again, all of it: {_verdict(again.outcome.value, again.detail)}"
            return
        found = evaluator.replay(recorded.task, recorded.source, kind)
    at = f" at {found.sizes}" if found.sizes else ""
    yield f"on new {kind} inputs{at}: {_verdict(found.outcome, found.detail)}"
    if found.elements:
        yield f"{found.n_wrong} wrong elements, the first {len(found.elements)}:"
    for each in found.elements:
        place = ", ".join(map(str, each.place))
        yield f"  output {each.output} [{place}] is {each.got:.6g}, expected {each.due:.6g} (+- {each.allowed:.3g})"


def _verdict(outcome: str, detail: str) -> str:
    return f"{outcome} ({detail})" if detail else outcome


def _source(
    records: RunRecords, strategy: dict[str, Any], task: Task, index: int, source_sha256: str | None
) -> str | None:
    """The source of the recorded evaluation. Several answers may have this index; its hash tells which one it is."""
    sampling = strategy["sampling"]
    for (_, name, number), completion in records.completions.items():
        if (name, number) == (task.id, index):
            allowed = sampling.get("max_tokens") or 0
            candidate = candidate_of(completion, task, answer=sampling["answer"], max_tokens=allowed)
            if candidate.source is not None and sha256_of(candidate.source) == source_sha256:
                return candidate.source
    return None
