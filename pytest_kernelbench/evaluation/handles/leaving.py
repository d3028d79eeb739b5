"""Workers that were told to end. Each takes a while to leave a GPU, so several end at once and are waited for later."""

from __future__ import annotations

from pytest_kernelbench.evaluation.handles.session import WorkerSession


class Leaving:
    """The workers that are ending."""

    def __init__(self) -> None:
        self._sessions: list[WorkerSession] = []

    def add(self, session: WorkerSession) -> None:
        """Tell a worker to end."""
        session.end()
        self._sessions.append(session)

    def wait(self) -> None:
        """Return when all of them have ended. Raises HarnessError where one does not end."""
        while self._sessions:
            self._sessions.pop().close()
