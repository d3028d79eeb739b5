"""The files of a run folder as rows, each with the key that joins it to others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import (
    AdaptationStep,
    AgainstBaseline,
    Completion,
    Evaluation,
    Selection,
    refuse_another_type,
)
from pytest_kernelbench.records.run_json import problem_of

Row = TypeVar("Row")
SampleKey = tuple[str | None, str, int]  # sampling hash, unit, index
EvaluationKey = tuple[str | None, str | None, str, int]  # sampling hash, evaluation hash, unit, index
AgainstKey = tuple[str | None, str, str | None, str]  # evaluation hash, unit, hash of the source, baseline
StepKey = tuple[int, str, int]  # seed of the run, lineage, step
ProbeKey = tuple[int, str, int, str, int]  # seed of the run, lineage, step, task, index


class Probed(NamedTuple):
    """A rollout of step 0 under the weights of a later step; ``nll`` in nats, ``speedup`` None if incorrect."""

    nll: float
    speedup: float | None


def run_json(path: Path) -> Mapping[str, Any]:
    try:
        options = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path.parent}: no run.json; name the folder of a run") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name the folder of a run") from error
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error}); was the run cut short?") from error
    if problem := problem_of(options):
        raise UsageError(f"{path}: {problem}; name the folder of a run")
    return dict(options)


def rows_of(path: Path, parse: Callable[[Mapping[str, Any]], Row], notes: list[str]) -> Iterator[Row]:
    try:
        lines = path.read_bytes().rstrip().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name the folder of a run") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # the latter: of lists in lists
            if number == len(lines):
                notes.append(f"{path}:{number}: the last line was cut short and is left out")
                return
            raise UsageError(
                f"{path}:{number}: not JSON, and not the last line; remove the line to read the rest"
            ) from error
        try:
            if not isinstance(row, dict):
                raise ValueError("no JSON object")
            yield parse(row)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            remedy = "remove the line to read the rest"
            raise UsageError(f"{path}:{number}: not a row of {path.name} ({reason}); {remedy}") from error


def _check(row: Mapping[str, Any], **annotations: str) -> None:
    """Raises KeyError for a missing value that may not be null, ValueError for one of another type."""
    for name, annotation in annotations.items():
        value = row.get(name) if annotation.endswith(" | None") else row[name]
        refuse_another_type(name, value, annotation)


def completion_row(row: Mapping[str, Any]) -> tuple[SampleKey, Completion]:
    completion = Completion.from_json(row)
    return (row.get("sampling_sha256"), completion.task, completion.index), completion


def evaluation_row(row: Mapping[str, Any]) -> tuple[EvaluationKey, Evaluation]:
    _check(row, task="str", index="int", sampling_sha256="str | None", evaluation_sha256="str | None")
    key = (row.get("sampling_sha256"), row.get("evaluation_sha256"), row["task"], row["index"])
    return key, Evaluation.from_json(row)


def against_row(row: Mapping[str, Any]) -> tuple[bool, AgainstKey, AgainstBaseline]:
    """Whether it is of the baseline beside itself, key and row."""
    _check(row, task="str", source_sha256="str | None", evaluation_sha256="str | None")
    found = AgainstBaseline.from_json(row)
    return bool(row.get("null")), (row["evaluation_sha256"], row["task"], row["source_sha256"], found.baseline), found


def selection_row(row: Mapping[str, Any]) -> tuple[tuple[str, str], Selection]:
    selection = Selection.from_json(row)
    return (selection.task, selection.strategy), selection


def step_row(seed: int, row: Mapping[str, Any]) -> tuple[StepKey, AdaptationStep]:
    step = AdaptationStep.from_json(row)
    return (seed, step.lineage, step.step), step


def probed_row(seed: int, row: Mapping[str, Any]) -> tuple[ProbeKey, Probed]:
    _check(row, lineage="str", step="int", task="str", index="int", nll="float", speedup="float | None")
    key = (seed, row["lineage"], row["step"], row["task"], row["index"])
    return key, Probed(nll=row["nll"], speedup=row["speedup"])
