"""The messages between client and server: JSON, checked field by field. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kernelbench.errors import KernelBenchError, TaskError
from pytest_kernelbench.records import Task

EVALUATE, SETTINGS = "/v1/evaluate", "/v1/settings"
TOKEN_VARIABLE = "KERNELBENCH_TOKEN"


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
        task = {"id": self.task.id, "source": self.task.source, "sizes": dict(self.task.sizes)}
        return {"task": task, "sources": list(self.sources), "within_s": self.within_s}

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> EvaluateRequest:
        """Read the body of a request. Raises BadRequest, which names the wrong field and what it must be."""
        if len(body) > limits.body_bytes:
            raise BadRequest(
                413, f"the request has {len(body)} bytes; {limits.body_bytes} are allowed, send fewer sources"
            )
        try:
            row = json.loads(body)
        except ValueError as error:
            raise BadRequest(400, f"the request is no JSON ({error})") from None
        if not isinstance(row, dict):
            raise BadRequest(400, 'the request must be an object, such as {"task": ..., "sources": [...]}')
        if unknown := sorted(row.keys() - {"task", "sources", "within_s"}):
            raise BadRequest(400, f"{unknown[0]}: no such field; there are task, sources and within_s")
        within_s = row.get("within_s")
        if within_s is not None and (type(within_s) not in (int, float) or not 0 < within_s < float("inf")):
            raise BadRequest(400, "within_s: must be a number of seconds over 0, or null")
        return cls(task=_task(row.get("task")), sources=_sources(row.get("sources"), limits), within_s=within_s)


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
