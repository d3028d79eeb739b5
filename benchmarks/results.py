"""Rows of a benchmark on disk as they come, and its time limit: a run that was stopped is continued by the next."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Results:
    """JSON lines in ``path``, those of earlier runs included; only in memory where ``path`` is None.

    Raises ValueError for rows measured on other hardware, which must not be mixed.
    """

    def __init__(self, path: Path | None, *, hardware: str) -> None:
        self._path = path
        self._hardware = hardware
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        others = {row["hardware"] for row in self.rows} - {hardware}
        if others:
            raise ValueError(
                f"{path}: holds rows of {', '.join(sorted(others))}, this is {hardware}; name another file"
            )

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Store rows that belong together: all of them or, if the process dies first, none."""
        new = [{"hardware": self._hardware, **row} for row in rows]
        self.rows += new
        if self._path is not None:
            with self._path.open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in new))


class Limit:
    """Wall seconds since it was made; ``over`` says whether to begin nothing new. None: no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._start = time.perf_counter()

    @property
    def spent_s(self) -> float:
        return time.perf_counter() - self._start

    @property
    def over(self) -> bool:
        return self._seconds is not None and self.spent_s >= self._seconds
