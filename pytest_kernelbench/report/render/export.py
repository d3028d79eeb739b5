"""``python -m pytest_kernelbench export DIR``: the records as flat tables, for a notebook or a spreadsheet.

``samples`` has a row for each candidate, with its verdict and timing; ``choices`` one for each strategy, task and seed;
``nulls`` one for each timing of the reference against itself; ``steps`` one for each task and step of an adaptation.
``columns`` says what each column means, and so does the schema of a Parquet file. Text from candidates is left out:
a spreadsheet might run it.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Evaluation
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render.files import writable_folder, writing

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders: shards, seeds, or both")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where the tables go (default: DIR/export)")
    parser.add_argument("--format", choices=tuple(FORMATS), default="csv", help="parquet needs pyarrow")
    parser.add_argument("--mix", action="store_true", help="merge runs of different devices, protocols or sizes")


def run(options: argparse.Namespace) -> None:
    """Write the candidates, choices and adaptation steps of a run as CSV or Parquet."""
    records = merged({str(folder): RunRecords.load(folder) for folder in options.folders}, mix=options.mix)
    folder = options.to or options.folders[0] / "export"
    writable_folder(folder, "--to")
    tables = {name: rows for name, rows_of in TABLES.items() if (rows := list(rows_of(records)))}
    described = [
        {"table": name, "column": column, "meaning": meaning(column)}
        for name, rows in tables.items()
        for column in _columns(rows)
    ]
    for name, rows in {**tables, "columns": described}.items():
        path = folder / f"{name}.{options.format}"
        with writing(path, "--to"):
            FORMATS[options.format](path, rows)
        print(f"wrote {path}: {len(rows)} rows")


def samples(records: RunRecords) -> Iterator[Row]:
    """Every candidate that was drawn or judged; a candidate judged in two ways has two rows."""
    margins = {each.evaluation_sha256: each.margin for each in records.strategies}
    judged: dict[tuple[str | None, str, int], list[tuple[str | None, Any]]] = {}
    for (sampling, judging, unit, index), evaluation in records.evaluations.items():
        judged.setdefault((sampling, unit, index), []).append((judging, evaluation))
    for key in dict.fromkeys([*records.completions, *judged]):
        sampling, unit, index = key
        completion = records.completions.get(key)
        for judging, evaluation in judged.get(key, [(None, None)]):
            yield {
                **_unit(records, unit),
                "index": index,
                "sampling_sha256": sampling,
                "evaluation_sha256": judging,
                "policy_version": None if completion is None else completion.policy_version,
                "n_tokens": None if completion is None else completion.n_tokens,
                "sum_logprob": None if completion is None else completion.sum_logprob,
                "mean_logprob": None if completion is None else completion.mean_logprob,
                "stop_reason": None if completion is None else completion.stop_reason,
                "sampling_seconds": None if completion is None else completion.seconds,
                **_of_evaluation(evaluation, margins.get(judging, records.options.get("margin"))),
            }


def nulls(records: RunRecords) -> Iterator[Row]:
    """Every timing of the reference against itself."""
    for evaluation in records.nulls or ():
        yield _of_evaluation(evaluation, records.options.get("margin"))


def _of_evaluation(evaluation: Evaluation | None, margin: float | None) -> Row:
    """``fast`` and ``fast_raw`` are of this timing."""
    return {
        **{name: getattr(evaluation, name, None) for name in OF_EVALUATION},
        "margin": margin,
        "fast": None if evaluation is None or margin is None else evaluation.fast(1.0, margin),
        "fast_raw": None if evaluation is None else evaluation.fast_raw(),
        "outcome": None if evaluation is None else evaluation.outcome.value,
        "flags": None if evaluation is None else " ".join(evaluation.flags),
        "evaluation_seconds": None if evaluation is None else evaluation.seconds.get("total"),
    }


def choices(records: RunRecords) -> Iterator[Row]:
    """Each strategy's choice for each unit."""
    for (unit, strategy), selection in records.selections.items():
        values = selection.to_json()
        cost = {f"cost_{name}": value for name, value in values.pop("cost").items()}
        for key in ("considered", "unranked"):
            values[key] = " ".join(map(str, values[key]))
        yield {**_unit(records, unit), "strategy": strategy, **values, **cost}


def steps(records: RunRecords) -> Iterator[Row]:
    """The results of each step of an adaptation on each task."""
    for (seed, lineage, number), step in records.adaptation.items():
        update = {f"update_{name}": value for name, value in (step.update or {}).items()}
        for task, counts in step.tasks.items():
            held_out = counts.get("holdout") or {}
            yield {
                "task": task,
                "seed": seed,
                "lineage": lineage,
                "step": number,
                "policy_version": step.policy_version,
                "trained_on": task in step.trained_on,
                **{name: value for name, value in counts.items() if name != "holdout"},
                **{f"holdout_{name}": value for name, value in held_out.items()},
                "entropy": step.entropy,
                "kl": step.kl,
                **update,
            }


OF_EVALUATION = (
    "source_sha256",
    "reference_ms",
    "candidate_ms",
    "floor_ms",
    "speedup",
    "speedup_low",
    "speedup_high",
    "pairs",
)
TABLES: dict[str, Callable[[RunRecords], Iterator[Row]]] = {
    "samples": samples,
    "choices": choices,
    "nulls": nulls,
    "steps": steps,
}
OF_A_CHOICE = "; of the choice: as first timed"
COLUMNS = {
    "table": "name of the file",
    "column": "name in it",
    "meaning": "what it holds",
    "task": "its id",
    "seed": "of the run",
    "index": "of the candidate among its task's; empty where none was chosen",
    "sampling_sha256": "what the candidate was drawn from: settings, policy, weights",
    "evaluation_sha256": "how it was judged",
    "policy_version": "weights that drew it",
    "n_tokens": "of the answer, end token included",
    "sum_logprob": "nats, at temperature 1, of the whole answer",
    "mean_logprob": "nats a token",
    "stop_reason": "stop or length",
    "sampling_seconds": "wall time since the answer before it came; the sum is what drawing took",
    "source_sha256": "of the program; empty where the answer held none",
    "reference_ms": "median, of the calls beside this candidate's",
    "candidate_ms": "median",
    "floor_ms": "least time in which the device could do the task's work",
    "speedup": "median over pairs of reference time / candidate time" + OF_A_CHOICE,
    "speedup_low": "lower end of its 95 % interval" + OF_A_CHOICE,
    "speedup_high": "upper end" + OF_A_CHOICE,
    "pairs": "of timed calls",
    "margin": "what the interval's lower end must exceed 1 by, to be fast",
    "fast": "verified: the lower end exceeds 1 by the margin; of a choice: when it was timed again",
    "fast_raw": "the speed-up exceeds 1, as the literature counts; of a choice: as first timed",
    "outcome": "correct, no_source, build_error, runtime_error, timeout, incorrect or void",
    "flags": "rows of the catalogue of cheats, separated by blanks",
    "evaluation_seconds": "wall time of judging this source; sources drawn several times were judged once",
    "strategy": "its name",
    "unranked": "correct candidates without the log-probability that the strategy goes by, separated by blanks",
    "considered": "indices whose timing the strategy looked at, separated by blanks",
    "confirmed_speedup": "of the choice, timed again on fresh inputs",
    "confirmed_low": "lower end of its 95 % interval",
    "retimed": "whether confirmed_speedup is a second timing; the first one decides a choice that no timing made",
    "confirmed_high": "upper end",
    "step": "of adaptation that drew it; 0 is the policy as loaded",
    "checkpoint_step": "step that the strategy settled on; empty where every step's candidates count",
    "asked": "of a strategy that stops by itself, how many candidates it asked for",
    "stopped": "why it asked for no more",
    "unread": "why a forecast that the strategy goes by was none",
    "lineage": "one chain of weights",
    "trained_on": "whether this step's rollouts of the task made the next step",
    "rollouts": "of the task at this step",
    "correct": "of the rollouts, how many",
    "void": "of the rollouts, how many",
    "fast_1": "of the rollouts, how many verified fast",
    "fast_1_raw": "of the rollouts, how many fast as the literature counts",
    "distinct": "different sources among the rollouts",
    "reward": "mean over the rollouts",
    "sampled_tokens": "of the rollouts",
    "entropy": "nats a token, over the step's rollouts",
    "kl": "nats a token, from this step to the policy as loaded",
}
# Columns with one of these prefixes are parts of a record, described in docs/records.md.
PARTS = {
    "cost": "what the choice took: ",
    "holdout": "the same of the rollouts held out: ",
    "update": "of the update that made the step's weights: ",
}


UNKNOWN = "see docs/records.md"


def meaning(column: str) -> str:
    """The meaning of a column; for a field of a later version, a reference to its documentation."""
    part, _, name = column.partition("_")
    return PARTS[part] + name.replace("_", " ") if part in PARTS else COLUMNS.get(column, UNKNOWN)


def _unit(records: RunRecords, name: str) -> Row:
    task, seed = records.unit(name)
    return {"task": task, "seed": records.seed if seed is None else seed}


def _columns(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, _columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: list[Row]) -> None:
    """Raises UsageError without pyarrow."""
    try:
        from pyarrow import Table, parquet, schema
    except ImportError:
        raise UsageError("--format=parquet: needs pyarrow; pip install pyarrow, or use --format=csv") from None
    table = Table.from_pydict({name: [row.get(name) for row in rows] for name in _columns(rows)})
    described = [field.with_metadata({"meaning": meaning(field.name)}) for field in table.schema]
    parquet.write_table(table.cast(schema(described)), path)


FORMATS: Mapping[str, Callable[[Path, list[Row]], None]] = {"csv": write_csv, "parquet": write_parquet}
