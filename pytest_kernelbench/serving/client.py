"""An evaluator that asks a server, for ``--kernelbench-judges=http://...``. Standard library only."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.records import Evaluation, Outcome, Task, sha256_of
from pytest_kernelbench.serving.wire import EVALUATE, SETTINGS, TOKEN_VARIABLE, EvaluateRequest
from pytest_kernelbench.tasks.findings import TaskFindings

ATTEMPTS = 3
# Between two lines of an answer: a build, a trial, and others' turns before it.
SILENCE_TIMEOUT_S = 900.0


def settings_of(url: str) -> dict[str, Any]:
    """What a server says of its judges: ``device``, ``protocol``, ``precision``. Raises HarnessError."""
    return _get(url.rstrip("/"), SETTINGS)


class RemoteEvaluator:
    """As an ``Evaluator``, on the judges of a server at ``url`` (``http://host:8000``).

    A connection that breaks is made again, for the sources that have no evaluation yet. Raises HarnessError where
    that does not help, and UsageError where the server judges by another ``protocol`` or ``precision``.
    """

    def __init__(self, url: str, *, protocol: str, precision: str) -> None:
        self._url = url.rstrip("/")
        self._told = settings_of(url)
        self.clocks: dict[str, Any] | None = None
        # A server does not say what it found out about references.
        self.findings: dict[str, TaskFindings] = {}
        for name, wanted in (("protocol", protocol), ("precision", precision)):
            if self._told.get(name) != wanted:
                raise UsageError(
                    f"--kernelbench-judges={url}: judges with {name} {self._told.get(name)}, the strategy asks for "
                    f"{wanted}; start the server with --{name}={wanted}"
                )

    def __enter__(self) -> RemoteEvaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """What the server says of its judges."""
        return {**self._told, "url": self._url}

    def compare(self, task: Task, source: str, baseline_source: str, *, max_slowdown: float = 1.0) -> Any:
        """Raises UsageError: kernels are held against each other where they were, on one machine."""
        raise UsageError(
            f"--kernelbench-judges={self._url}: a gate on regressions needs the device here; run it without this option"
        )

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """One evaluation for each source, in order, as each is ready; identical sources are sent once."""
        distinct = list(dict.fromkeys(source for source in sources if source is not None))
        known: dict[str | None, Evaluation] = {
            None: Evaluation(source_sha256=None, outcome=Outcome.NO_SOURCE, detail="the answer holds no ModelNew")
        }
        answers = self._answers(task, distinct)
        for source in sources:
            while source not in known:
                index, evaluation = next(answers)
                known[distinct[index]] = evaluation
            yield known[source]

    def release(self) -> None:
        """Nothing: the device's memory is the server's affair."""

    def close(self) -> None:
        """Nothing is kept open between two requests."""

    def _answers(self, task: Task, sources: Sequence[str]) -> Iterator[tuple[int, Evaluation]]:
        left = dict(enumerate(sources))
        for attempt in range(1, ATTEMPTS + 1):
            asked = list(left)
            body = EvaluateRequest(task=task, sources=tuple(left.values())).to_json()
            try:
                with _open(self._url, EVALUATE, body) as answer:
                    for line in answer:
                        row = json.loads(line)
                        if "done" in row:
                            return
                        if "fault" in row:
                            raise HarnessError(f"{self._url}: {row['fault']}")
                        index = asked[row["index"]]
                        evaluation = Evaluation.from_json(row["evaluation"])
                        if evaluation.source_sha256 != sha256_of(left.pop(index)):
                            raise HarnessError(f"{self._url}: answered for another source; update server and client")
                        yield index, evaluation
            except (OSError, ValueError) as error:
                if attempt == ATTEMPTS or isinstance(error, urllib.error.HTTPError):
                    raise _failed(self._url, error) from None
        raise HarnessError(f"{self._url}: the answer ended early {ATTEMPTS} times; see the server's log")


def _get(url: str, path: str) -> dict[str, Any]:
    try:
        with _open(url, path, None) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (OSError, ValueError) as error:
        raise _failed(url, error) from None


def _open(url: str, path: str, body: dict[str, Any] | None) -> Any:
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(
        urllib.request.Request(url + path, data=data, headers=headers), timeout=SILENCE_TIMEOUT_S
    )


def _failed(url: str, error: Exception) -> HarnessError:
    if isinstance(error, urllib.error.HTTPError):
        try:
            said = json.loads(error.read())["error"]
        except (ValueError, KeyError, TypeError):
            said = error.reason
        return HarnessError(f"{url}: refused ({error.code}: {said})")
    return HarnessError(f"{url}: no answer ({error}); check that the server runs: GET {url}/health")
