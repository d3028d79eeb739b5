"""Rows of a run folder, for benchmarks that add up what trials took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows_of(path: Path) -> list[dict[str, Any]]:
    """None where there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def distinct_evaluations(folder: Path) -> list[dict[str, Any]]:
    """Of candidates at first; one that several candidates share counts once."""
    return list({(row["task"], row["source_sha256"]): row for row in rows_of(folder / "evaluations.jsonl")}.values())


def trials(folder: Path) -> list[dict[str, Any]]:
    """All that a device was in use for."""
    return [*distinct_evaluations(folder), *rows_of(folder / "confirmations.jsonl"), *rows_of(folder / "null.jsonl")]
