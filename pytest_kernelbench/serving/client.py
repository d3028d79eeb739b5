"""An evaluator that asks a server, for ``--kernelbench-judges=http://...``. Standard library only."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.judges.asked import MAX_SOURCE_CHARACTERS, too_large, without_source
from pytest_kernelbench.evaluation.judges.closing import Closing
from pytest_kernelbench.evaluation.judges.comparing import Comparing
from pytest_kernelbench.records import Evaluation, Task, sha256_of
from pytest_kernelbench.serving.wire import (
    COMPARE,
    EVALUATE,
    SETTINGS,
    TOKEN_VARIABLE,
    CompareRequest,
    EvaluateRequest,
    Limits,
)
from pytest_kernelbench.tasks.findings import TaskFindings

ATTEMPTS = 3
BETWEEN_ATTEMPTS_S = 0.5
# Sources, and bytes of them, in one request. A server accepts four times as many, and twice the bytes.
AT_ONCE = 64
BYTES_AT_ONCE = Limits().body_bytes // 2
# Total seconds that a client waits for a server that answers "too many requests".
RATE_PATIENCE_S = 300.0
# The longest time between two lines of an answer: a build, a trial, and the wait for other clients' trials.
SILENCE_TIMEOUT_S = 900.0
# How long a client waits for a server that has answered before. After its queue was killed a server is back in 20 s.
RESTART_PATIENCE_S = 60.0
HEALTH_TIMEOUT_S = 5.0
# The settings of a server's judges that a session reads.
SETTLED = ("device", "protocol", "precision")


def settings_of(url: str) -> dict[str, Any]:
    """The settings of a server's judges: ``device``, ``protocol``, ``precision``. Raises HarnessError."""
    return _get(url.rstrip("/"), SETTINGS)


class RemoteEvaluator(Comparing, Closing):
    """An ``Evaluator`` that uses the judges of a server at ``url`` (``http://host:8000``).

    If the connection breaks, the client waits until the server answers, for a minute at most, and asks for the sources
    that have no evaluation yet. It also asks again for sources whose judges died. Raises HarnessError if that fails as
    well, and UsageError if the server judges with another ``protocol`` or ``precision``.
    """

    def __init__(self, url: str, *, protocol: str, precision: str) -> None:
        self._url = url.rstrip("/")
        self._told = settings_of(url)
        self._patience_s = RESTART_PATIENCE_S
        self.clocks: dict[str, Any] | None = None
        # A server does not send its findings about references.
        self.findings: dict[str, TaskFindings] = {}
        for name, wanted in (("protocol", protocol), ("precision", precision)):
            if self._told.get(name) != wanted:
                raise UsageError(
                    f"--kernelbench-judges={url}: judges with {name} {self._told.get(name)}, the strategy asks for "
                    f"{wanted}; start the server with --{name}={wanted}"
                )

    def describe(self) -> dict[str, Any]:
        """The settings and the hardware of the server's judges."""
        return {**self._told, "url": self._url}

    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """See ``Comparing``: on the server's device."""
        body = CompareRequest(task=task, source=source, baseline_source=baseline_source, gate=gate).to_json()
        failed = None
        for _ in range(ATTEMPTS):
            try:
                with _open(self._url, COMPARE, body) as answer:
                    row = json.load(answer)
            except (OSError, ValueError, http.client.HTTPException) as error:
                failed = self._after(error)
                continue
            if (failed := self._fault_in(row)) is None:
                with self._readable():
                    return Comparison.from_json(row["comparison"])
        assert failed is not None
        raise failed

    def against(self, task: Task, source: str, baseline: str) -> Any:
        """Raises UsageError: a server judges against the eager reference."""
        raise UsageError(
            f"--kernelbench-judges={self._url}: judges against eager alone; leave out --kernelbench-baseline={baseline}"
        )

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """One evaluation for each source, in order, as each is ready; identical sources are sent once."""
        distinct = list(dict.fromkeys(source for source in sources if source is not None))
        known: dict[str | None, Evaluation] = {None: without_source()}
        known.update({source: too_large(source) for source in distinct if len(source) > MAX_SOURCE_CHARACTERS})
        answers = chain.from_iterable(
            ((asked[index], told) for index, told in self._answers(task, asked))
            for asked in _requests([source for source in distinct if source not in known])
        )
        for source in sources:
            while source not in known:
                answered, evaluation = next(answers)
                known[answered] = evaluation
            yield known[source]

    def release(self) -> None:
        """Does nothing: this process holds no memory of the server's device."""

    def close(self) -> None:
        """Does nothing: no connection stays open between two requests."""

    def _answers(self, task: Task, sources: Sequence[str]) -> Iterator[tuple[int, Evaluation]]:
        left = dict(enumerate(sources))
        failed: Exception | None = None
        for _ in range(ATTEMPTS):
            asked = list(left)
            body = EvaluateRequest(task=task, sources=tuple(left.values())).to_json()
            try:
                with _open(self._url, EVALUATE, body) as answer:
                    for line in answer:
                        row = json.loads(line)
                        if fault := self._fault_in(row):
                            failed = fault
                            continue
                        if "done" in row:
                            break
                        with self._readable():
                            index = asked[row["index"]]
                            evaluation = Evaluation.from_json(row["evaluation"])
                        if index not in left or evaluation.source_sha256 != sha256_of(left.pop(index)):
                            raise HarnessError(f"{self._url}: answered for another source; update server and client")
                        yield index, evaluation
            except (OSError, ValueError, http.client.HTTPException) as error:
                failed = self._after(error)
            if not left:
                self._patience_s = RESTART_PATIENCE_S
                return
        raise failed or HarnessError(f"{self._url}: the answer ended early {ATTEMPTS} times; see the server's log")

    def _fault_in(self, row: Any) -> HarnessError | None:
        """The fault that a row tells of, None if it tells of none; raised where asking again cannot help."""
        if not isinstance(row, dict):
            raise HarnessError(f"{self._url}: answered with no JSON object; update server and client")
        if "fault" not in row:
            return None
        failed = HarnessError(f"{self._url}: {row['fault']}")
        if not row.get("judge_ended"):
            raise failed
        return failed

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raises HarnessError for an answer that lacks what this version reads."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise HarnessError(f"{self._url}: answered in another form ({error!r}); update server and client") from None

    def _after(self, error: Exception) -> HarnessError:
        """Wait until it is worth asking again, and return the error in one line; raise it where asking cannot help."""
        failed = _failed(self._url, error)
        if isinstance(error, urllib.error.HTTPError) and error.code < 500:
            raise failed from None
        time.sleep(BETWEEN_ATTEMPTS_S)
        if not self._is_back():
            raise failed from None
        return failed

    def _is_back(self) -> bool:
        """Wait for the server; False where it does not come back. Then the next call does not wait for it again."""
        patience_s, self._patience_s = self._patience_s, 0.0
        until = time.monotonic() + patience_s
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=HEALTH_TIMEOUT_S):
                    self._patience_s = RESTART_PATIENCE_S
                    return True
            except (OSError, http.client.HTTPException):
                if time.monotonic() >= until:
                    return False
                time.sleep(BETWEEN_ATTEMPTS_S)


def _get(url: str, path: str) -> dict[str, Any]:
    try:
        with _open(url, path, None) as answer:
            told = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _failed(url, error) from None
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in SETTLED):
        raise HarnessError(f"{url}: is no server of judges; start one with: python -m pytest_kernelbench serve")
    return told


def _requests(sources: Sequence[str]) -> Iterator[list[str]]:
    """The sources of one request after another."""
    asked: list[str] = []
    n_bytes = 0
    for source in sources:
        size = len(json.dumps(source))
        if asked and (len(asked) == AT_ONCE or n_bytes + size > BYTES_AT_ONCE):
            yield asked
            asked, n_bytes = [], 0
        asked.append(source)
        n_bytes += size
    if asked:
        yield asked


def _open(url: str, path: str, body: dict[str, Any] | None) -> Any:
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=headers)
    until = time.monotonic() + RATE_PATIENCE_S
    while True:
        try:
            return urllib.request.urlopen(request, timeout=SILENCE_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            left_s = until - time.monotonic()
            if error.code != 429 or left_s <= 0:
                raise
            # The server of this package says how long to wait; a proxy in front of it may not, or may give a date.
            told = error.headers.get("Retry-After", "")
            error.close()
            time.sleep(min(float(told), left_s) if told.isascii() and told.isdigit() else 1)


def _failed(url: str, error: Exception) -> HarnessError:
    if isinstance(error, urllib.error.HTTPError):
        try:
            said = json.loads(error.read())["error"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            said = error.reason
        return HarnessError(f"{url}: refused ({error.code}: {' '.join(str(said).split())})")
    return HarnessError(f"{url}: no answer ({error}); check that the server runs: GET {url}/health")
