"""The messages between client and server: JSON, checked field by field. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kernelbench.errors import KernelBenchError, TaskError
from pytest_kernelbench.records import Task

EVALUATE, COMPARE, SETTINGS = "/v1/evaluate", "/v1/compare", "/v1/settings"
TOKEN_VARIABLE = "KERNELBENCH_TOKEN"
# Of a comparison: it holds a judge for all of its seconds.
MOST_SIZES = 1000
MOST_GATE_SECONDS = 600


class BadRequest(KernelBenchError):
    """A request that is refused, with its HTTP status.

    ``again_in_s``: whole seconds after which the same request may succeed; None if it never will.
    """

    def __init__(self, status: int, message: str, *, again_in_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.again_in_s = again_in_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on the size of one request and on the rate of one client."""

    body_bytes: int = 16 << 20
    sources: int = 256
    source_bytes: int = 1 << 20
    requests_a_minute: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """Sources to judge for one task. ``within_s``: seconds allowed for each source; None for no limit."""

    task: Task
    sources: tuple[str | None, ...]
    within_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of a request. It has the task's text, so that the server does not need the task's file."""
        return {"task": _row(self.task), "sources": list(self.sources), "within_s": self.within_s}

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> EvaluateRequest:
        """Read the body of a request. Raises BadRequest, which names the wrong field and what it must be."""
        row = _object(body, limits, ("task", "sources", "within_s"))
        within_s = row.get("within_s")
        if within_s is not None and (type(within_s) not in (int, float) or not 0 < within_s < float("inf")):
            raise BadRequest(400, "within_s: must be a number of seconds over 0, or null")
        return cls(task=_task(row.get("task")), sources=_sources(row.get("sources"), limits), within_s=within_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """A kernel to compare with its baseline, as ``Evaluator.compare``: ``sizes`` is a number, ``seconds`` a limit."""

    task: Task
    source: str
    baseline_source: str
    max_slowdown: float
    sizes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The body of a request."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "task": _row(self.task)}

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> CompareRequest:
        """Read the body of a request. Raises BadRequest, which names the wrong field and what it must be."""
        row = _object(body, limits, cls.__slots__)
        max_slowdown, sizes, seconds = (row.get(name) for name in ("max_slowdown", "sizes", "seconds"))
        if type(max_slowdown) not in (int, float) or not 1 < max_slowdown < float("inf"):
            raise BadRequest(400, "max_slowdown: must be a number over 1, such as 1.01 for 1 %")
        if type(sizes) is not int or not 1 <= sizes <= MOST_SIZES:
            raise BadRequest(400, f"sizes: must be a whole number from 1 to {MOST_SIZES}")
        if type(seconds) not in (int, float) or not 0 < seconds <= MOST_GATE_SECONDS:
            raise BadRequest(400, f"seconds: must be a number over 0, at most {MOST_GATE_SECONDS}")
        for name in ("source", "baseline_source"):
            if not isinstance(row.get(name), str):
                raise BadRequest(400, f"{name}: must be a text")
            if len(row[name]) > limits.source_bytes:
                raise BadRequest(413, f"{name}: {len(row[name])} characters; {limits.source_bytes} are allowed")
        return cls(**{**row, "task": _task(row.get("task"))})


def _object(body: bytes, limits: Limits, fields: Sequence[str]) -> dict[str, Any]:
    if len(body) > limits.body_bytes:
        raise BadRequest(413, f"the request has {len(body)} bytes; {limits.body_bytes} are allowed, send fewer sources")
    try:
        row = json.loads(body)
    except ValueError as error:
        raise BadRequest(400, f"the request is no JSON ({error})") from None
    if not isinstance(row, dict):
        example = '"sources": [...]' if "sources" in fields else f'"{fields[1]}": "..."'
        raise BadRequest(400, f'the request must be an object, such as {{"task": ..., {example}}}')
    if unknown := sorted(row.keys() - set(fields)):
        raise BadRequest(400, f"{unknown[0]}: no such field; there are {', '.join(fields[:-1])} and {fields[-1]}")
    return row


def _row(task: Task) -> dict[str, Any]:
    return {"id": task.id, "source": task.source, "sizes": dict(task.sizes)}


def _task(value: object) -> Task:
    if isinstance(value, str):
        from pytest_kernelbench.tasks import load_tasks

        try:
            found = load_tasks(value)
        except TaskError as error:
            raise BadRequest(404, f"task: {str(error).removeprefix('--tasks=')}") from None
        if len(found) != 1:
            raise BadRequest(400, f"task: {value} names {len(found)} tasks; name one")
        return found[0]
    if not isinstance(value, Mapping) or not all(isinstance(value.get(key), str) for key in ("id", "source")):
        raise BadRequest(400, 'task: must be a name such as "level1/12", or an object with the texts id and source')
    if "/" not in value["id"]:
        raise BadRequest(400, f'task: id "{value["id"]}" has no level; write it as level1/12_name')
    sizes = value.get("sizes") or {}
    if not isinstance(sizes, Mapping):
        raise BadRequest(400, "task: sizes must be an object of constants by name")
    return Task(id=value["id"], source=value["source"], sizes=dict(sizes))


def _sources(value: object, limits: Limits) -> tuple[str | None, ...]:
    if not isinstance(value, list):
        raise BadRequest(400, "sources: must be a list of texts")
    if len(value) > limits.sources:
        raise BadRequest(413, f"sources: {len(value)} at once; {limits.sources} are allowed")
    for number, source in enumerate(value):
        if source is not None and not isinstance(source, str):
            raise BadRequest(400, f"sources[{number}]: must be a text or null")
        if source is not None and len(source) > limits.source_bytes:
            raise BadRequest(413, f"sources[{number}]: {len(source)} characters; {limits.source_bytes} are allowed")
    return tuple(value)
