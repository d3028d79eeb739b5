"""``python -m pytest_kernelbench export DIR``: the records as flat tables, for a notebook or a spreadsheet.

``samples`` has a row for each candidate, with its verdict and timing; ``choices`` one for each strategy, task and seed;
``steps`` one for each task and step of an adaptation. Whatever a candidate wrote stays out: a spreadsheet might run it.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.runs import RunRecords, merged

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
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows_of in TABLES.items():
        rows = list(rows_of(records))
        if rows:
            path = folder / f"{name}.{options.format}"
            FORMATS[options.format](path, rows)
            print(f"wrote {path}: {len(rows)} rows")


def samples(records: RunRecords) -> Iterator[Row]:
    """Every candidate that was drawn or judged; a candidate judged in two ways has two rows."""
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
                **{name: getattr(evaluation, name, None) for name in OF_EVALUATION},
                "outcome": None if evaluation is None else evaluation.outcome.value,
                "flags": None if evaluation is None else " ".join(evaluation.flags),
                "seconds": None if evaluation is None else evaluation.seconds.get("total"),
            }


def choices(records: RunRecords) -> Iterator[Row]:
    """What each strategy chose for each unit."""
    for (unit, strategy), selection in records.selections.items():
        values = selection.to_json()
        cost = {f"cost_{name}": value for name, value in values.pop("cost").items()}
        values["considered"] = " ".join(map(str, values["considered"]))
        yield {**_unit(records, unit), "strategy": strategy, **values, **cost}


def steps(records: RunRecords) -> Iterator[Row]:
    """What each step of an adaptation reached on each task."""
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
TABLES: dict[str, Callable[[RunRecords], Iterator[Row]]] = {"samples": samples, "choices": choices, "steps": steps}


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
        from pyarrow import Table, parquet
    except ImportError:
        raise UsageError("--format=parquet: needs pyarrow; pip install pyarrow, or use --format=csv") from None
    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    parquet.write_table(Table.from_pydict(columns), path)


FORMATS: Mapping[str, Callable[[Path, list[Row]], None]] = {"csv": write_csv, "parquet": write_parquet}
