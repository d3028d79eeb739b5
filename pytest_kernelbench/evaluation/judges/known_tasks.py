"""Findings of judges about tasks, kept by their owner for judges that start later. Imports no torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.evaluation.recent import Recent

# A row is about 2 kB; a server's clients may send tasks without end.
MOST_TASKS = 4096


class KnownTasks:
    """Rows that judges send with their answers, by hardware and task; every method may be called from any thread.

    Judges whose evaluators share an object of this class must have the same settings. ``hardware`` is a name and not a
    number: findings of one GPU hold for others of its kind. The least recently used rows are dropped first.
    """

    def __init__(self) -> None:
        self._rows: Recent[tuple[str, str], Mapping[str, Any]] = Recent(MOST_TASKS)
        self._turn = threading.Lock()

    def of(self, hardware: str, task_sha256: str) -> Mapping[str, Any] | None:
        """The row of a task, None where no judge has sent one."""
        with self._turn:
            row = self._rows.get((hardware, task_sha256))
            if row is not None:
                self._rows.move_to_end((hardware, task_sha256))
            return row

    def keep(self, hardware: str, task_sha256: str, row: Mapping[str, Any]) -> None:
        """Keep a judge's latest row of a task."""
        with self._turn:
            self._rows[hardware, task_sha256] = row
