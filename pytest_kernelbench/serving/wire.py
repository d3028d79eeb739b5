"""The messages between client and server: JSON, checked field by field. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pytest_kernelbench.errors import KernelBenchError, TaskError
from pytest_kernelbench.evaluation.clock.gates import MOST_SECONDS_PER_SIZE, Gate
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks, with_sizes
from pytest_kernelbench.tasks.small import frozen

EVALUATE, COMPARE, SETTINGS = "/v1/evaluate", "/v1/compare", "/v1/settings"
TOKEN_VARIABLE = "KERNELBENCH_TOKEN"
GATE_FIELDS = tuple(field.name for field in fields(Gate))
# Of a comparison: it holds a judge for all of its seconds.
MOST_SIZES = 1000
MOST_SLOWDOWN = 1_000_000
# A deadline that is further away is none, and Python's clocks overflow.
MOST_WITHIN_S = 86_400
# Sizes of a task that a request names. "auto": the sizes that a session on the judges' device would have.
SIZES = ("auto", "full", "small")
# The most characters of a task's id, and of a value that an error quotes.
MOST_SHOWN = 200


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
    """Limits on the size of one request, on the seconds in which its body arrives, and on the rate of one client.

    The longest task of KernelBench has 9 kB.
    """

    body_bytes: int = 16 << 20
    body_seconds: float = 60.0
    sources: int = 256
    task_bytes: int = 1 << 18
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
    def parse(cls, body: bytes, limits: Limits, *, auto_sizes: str = "full") -> EvaluateRequest:
        """Read the body of a request; ``auto_sizes``: of a task by name, if the request chooses none.

        Raises BadRequest, which names the wrong field and what it must be.
        """
        row = _object(body, limits, ("task", "sources", "within_s"))
        within_s = row.get("within_s")
        if within_s is not None and (type(within_s) not in (int, float) or not 0 < within_s <= MOST_WITHIN_S):
            raise BadRequest(400, f"within_s: must be a number of seconds over 0, at most {MOST_WITHIN_S}, or null")
        task = _task(row.get("task"), limits, auto_sizes)
        return cls(task=task, sources=_sources(row.get("sources"), limits), within_s=within_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """A kernel to compare with its baseline, as ``Evaluator.compare``. The fields of the gate are the request's own."""

    task: Task
    source: str
    baseline_source: str
    gate: Gate

    def to_json(self) -> dict[str, Any]:
        """The body of a request."""
        sources = {"source": self.source, "baseline_source": self.baseline_source}
        return {"task": _row(self.task), **sources, **asdict(self.gate)}

    @classmethod
    def parse(cls, body: bytes, limits: Limits, *, auto_sizes: str = "full") -> CompareRequest:
        """As ``EvaluateRequest.parse``."""
        row = _object(body, limits, ("task", "source", "baseline_source", *GATE_FIELDS))
        max_slowdown, sizes, seconds = (row.get(name) for name in ("max_slowdown", "sizes", "seconds"))
        if type(max_slowdown) not in (int, float) or not 1 < max_slowdown <= MOST_SLOWDOWN:
            message = f"max_slowdown: must be a number over 1, such as 1.01 for 1 %, at most {MOST_SLOWDOWN}"
            raise BadRequest(400, message)
        if type(sizes) is not int or not 1 <= sizes <= MOST_SIZES:
            raise BadRequest(400, f"sizes: must be a whole number from 1 to {MOST_SIZES}")
        if type(seconds) not in (int, float) or not 0 < seconds <= MOST_SECONDS_PER_SIZE:
            raise BadRequest(400, f"seconds: must be a number over 0, at most {MOST_SECONDS_PER_SIZE}")
        for name in ("source", "baseline_source"):
            if not isinstance(row.get(name), str):
                raise BadRequest(400, f"{name}: must be a text")
            _check_length(name, row[name], limits.source_bytes)
        return cls(
            task=_task(row.get("task"), limits, auto_sizes),
            source=row["source"],
            baseline_source=row["baseline_source"],
            gate=Gate(max_slowdown=max_slowdown, sizes=sizes, seconds=seconds),
        )


def check_size(n_bytes: int, limits: Limits) -> None:
    """Raise BadRequest if the body of a request, as long as it is said to be or as it is so far, is too large."""
    if n_bytes > limits.body_bytes:
        raise BadRequest(413, f"the request is over {limits.body_bytes} bytes; send fewer sources")


def _check_length(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise BadRequest(413, f"{field}: {len(text)} characters; {most} are allowed")


def _object(body: bytes, limits: Limits, fields: Sequence[str]) -> dict[str, Any]:
    check_size(len(body), limits)
    try:
        row = json.loads(body)
    except ValueError as error:
        raise BadRequest(400, f"the request is no JSON ({error})") from None
    except RecursionError:
        raise BadRequest(400, "the request has too many lists or objects in each other") from None
    if not isinstance(row, dict):
        example = '"sources": [...]' if "sources" in fields else f'"{fields[1]}": "..."'
        raise BadRequest(400, f'the request must be an object, such as {{"task": ..., {example}}}')
    _check_fields(row, fields)
    return row


def _row(task: Task) -> dict[str, Any]:
    return {"id": task.id, "source": task.source, "sizes": dict(task.sizes)}


def judged_task(task: Task) -> dict[str, Any]:
    """What an answer says of its task: its id, its sizes (constants by name) and the hash of its text with these."""
    return {"id": task.id, "sizes": dict(task.sizes), "sha256": task.sha256}


def _task(value: object, limits: Limits, auto_sizes: str) -> Task:
    if isinstance(value, str):
        return _task_named(value, auto_sizes)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        _check_fields(value, ("name", "sizes"), "task: ")
        if (sizes := value.get("sizes", "auto")) not in SIZES:
            raise BadRequest(400, f"task: sizes of a task by name must be one of {', '.join(SIZES)}")
        return _task_named(value["name"], auto_sizes if sizes == "auto" else sizes)
    if not isinstance(value, Mapping) or not all(isinstance(value.get(key), str) for key in ("id", "source")):
        raise BadRequest(
            400, 'task: must be a name such as "level1/12", or an object with name and sizes, or with id and source'
        )
    _check_fields(value, ("id", "source", "sizes"), "task: ")
    if len(value["id"]) > MOST_SHOWN or not value["id"].isprintable():
        raise BadRequest(400, f"task: id must be printable, of at most {MOST_SHOWN} characters")
    if "/" not in value["id"]:
        raise BadRequest(400, f'task: id "{value["id"]}" has no level; write it as level1/12_name')
    sizes = {} if value.get("sizes") is None else value["sizes"]
    if not isinstance(sizes, Mapping) or not all(map(_is_constant, sizes.values())):
        raise BadRequest(400, "task: sizes must be an object of constants by name: numbers, texts, or lists of these")
    _check_length("task: source", value["source"], limits.task_bytes)
    try:
        with_sizes(value["source"], sizes)
    except TaskError as error:
        raise BadRequest(400, f"task: {error}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadRequest(400, f"task: source is no Python ({said[:MOST_SHOWN]})") from None
    # A list is a tuple again, as in the client's own task: the hash of the task's text is the same on both sides.
    return Task(id=value["id"], source=value["source"], sizes={key: frozen(each) for key, each in sizes.items()})


def _task_named(name: str, sizes: str) -> Task:
    """Raises BadRequest: 404 for a task that is not there, 400 for one without small sizes."""
    if len(name) > MOST_SHOWN or not name.isprintable():
        raise BadRequest(400, f"task: a name must be printable, of at most {MOST_SHOWN} characters")

    def spelled(argument: str, value: object = None) -> str:
        # An error begins with the field "task", so the name alone is the place in it.
        return name if argument == "tasks" else json.dumps({"name": name, argument: value})

    try:
        found = load_tasks(name, named=spelled)
    except TaskError as error:
        raise BadRequest(404, f"task: {error}") from None
    if len(found) != 1:
        raise BadRequest(400, f"task: {name} names {len(found)} tasks; name one")
    if sizes == "full":
        return found[0]
    try:
        return load_tasks(name, sizes=sizes, named=spelled)[0]
    except TaskError as error:
        raise BadRequest(400, f"task: {error}") from None


def _check_fields(value: Mapping[str, Any], known: Sequence[str], place: str = "") -> None:
    if unknown := sorted(value.keys() - set(known)):
        there = f"{', '.join(known[:-1])} and {known[-1]}"
        raise BadRequest(400, f"{place}{unknown[0][:MOST_SHOWN]!a}: no such field; there are {there}")


def _is_constant(value: object) -> bool:
    return all(map(_is_number_or_text, value if isinstance(value, list) else [value]))


def _is_number_or_text(value: object) -> bool:
    # JSON as Python reads it has NaN and Infinity, which no text of a task can spell.
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _sources(value: object, limits: Limits) -> tuple[str | None, ...]:
    if not isinstance(value, list):
        raise BadRequest(400, "sources: must be a list of texts")
    if len(value) > limits.sources:
        raise BadRequest(413, f"sources: {len(value)} at once; {limits.sources} are allowed")
    for number, source in enumerate(value):
        if source is not None and not isinstance(source, str):
            raise BadRequest(400, f"sources[{number}]: must be a text or null")
        if source is not None:
            _check_length(f"sources[{number}]", source, limits.source_bytes)
    return tuple(value)
