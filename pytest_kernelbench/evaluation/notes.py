"""Notes on one trial, from which its ``Evaluation`` is made."""

from __future__ import annotations

from typing import Any


class Notes:
    """What was found of one candidate so far, by the names of the fields of ``Evaluation``.

    ``first``: fields that are known before the trial begins. ``seconds``: time by stage, see ``stages``.
    """

    def __init__(self, seconds: dict[str, float], **first: Any) -> None:
        self._first = first
        self.found: dict[str, Any] = dict(first)
        self.seconds = seconds

    def begin_again(self) -> None:
        """Forget what was found, because the trial is repeated. The seconds stay: they were spent."""
        self.found = dict(self._first)
