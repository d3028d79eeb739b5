"""The format of ``run.json``: its version, and the type of each value that reports and resumed runs read."""

from __future__ import annotations

import json
from typing import Any

SCHEMA = 1

_NUMBER = ((int, float), "a number")
_TEXT = ((str,), "a text")
_TABLE = ((dict,), "an object")
# None means not known. It is allowed for every key but those in ``NEEDED``.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "schema": ((int,), "a whole number"),
    "seed": ((int,), "a whole number"),
    "margin": _NUMBER,
    **dict.fromkeys(("policy", "policy_version", "policy_label", "device_kind", "device", "sizes"), _TEXT),
    **dict.fromkeys(("protocol", "baseline", "primary", "primary_by", "called_from"), _TEXT),
    **dict.fromkeys(("task_sha256", "versions", "machine", "seconds", "remarks", "adaptation_groups"), _TABLE),
}
NEEDED = ("tasks", "strategies")


def problem_of(run: Any) -> str | None:
    """Why ``run``, the value of a ``run.json``, cannot be read, as a clause; None if it can."""
    if not isinstance(run, dict):
        return "is not a JSON object"
    for name, (kinds, said) in KINDS.items():
        value = run.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            return f'"{name}" is {json.dumps(value)[:60]}, not {said}'
    if (run.get("schema") or 0) > SCHEMA:
        return f"has schema {run['schema']}, and this version of pytest-kernelbench reads {SCHEMA}: upgrade it"
    for name in NEEDED:
        if run.get(name) is None:
            return f'has no "{name}"'
    if not _all(run["tasks"], str):
        return '"tasks" is not a list of names'
    if not _all(run["strategies"], dict):
        return '"strategies" is not a list of objects'
    for stage, seconds in (run.get("seconds") or {}).items():
        if not isinstance(seconds, int | float):
            return f'"seconds" of {stage} is not a number'
    return None


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(each, kind) for each in values)
