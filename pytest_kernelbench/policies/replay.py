"""``replay:FILE.jsonl``: recorded completions, of an earlier run or of another program. Imports no torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.base import version_of
from pytest_kernelbench.policies.reading import read_text
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

EACH_LINE = 'each line is an object with "task" and "text"'


class ReplayPolicy:
    """Recorded completions, by task. Temperature and seed do not change them.

    A row must have ``task`` (``level1/12``, or a full id, of which level and number count) and ``text``.
    ``index`` defaults to the row's place among the rows of its task. ``no_logprobs_at`` is ``FILE:LINE`` of the
    first row that has neither ``logprobs`` nor ``sum_logprob`` with ``n_tokens``, or None.
    """

    label = None
    # Needs little of this machine: answers can be read while a candidate is timed.
    needs_a_device = False

    def __init__(self, file: Path, *, name: str) -> None:
        """Read ``file``. Raises PolicyError, which names the line, for a line that is not a row."""
        self.name = name
        self.no_logprobs_at: str | None = None
        self._rows: dict[str, dict[int, tuple[int, Completion]]] = {}
        try:
            self.version = version_of([file])
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise PolicyError(f"{file}: cannot be read ({error.strerror}); write replay:FILE.jsonl") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                self._add(line, f"{file}:{number}", number)
        if not self._rows:
            raise PolicyError(f"{file}: has no rows; {EACH_LINE}")
        rows = [completion for found in self._rows.values() for _, completion in found.values()]
        self.gives_logprobs = any(row.mean_logprob is not None for row in rows)
        self.gives_self_certainty = any(row.self_certainty is not None for row in rows)

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> ReplayPolicy:
        return cls(Path(spec.argument), name=spec.name)

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """The recorded completions of ``task`` whose index is in ``indices``. There may be none."""
        recorded = self._rows.get(_key(task.id), {})
        for index in indices:
            if index in recorded:
                _, completion = recorded[index]
                yield replace(completion, task=task.id)

    def tasks_without(self, tasks: Sequence[Task]) -> list[str]:
        """The tasks in the file that are not in ``tasks``, as the file names them."""
        return sorted(self._rows.keys() - {_key(task.id) for task in tasks})

    def has_none_of(self, tasks: Sequence[Task]) -> bool:
        """Whether no row is for any of ``tasks``."""
        return not self._rows.keys() & {_key(task.id) for task in tasks}

    def _add(self, line: bytes, place: str, number: int) -> None:
        row = _object(line, place)
        task = _key(_field(row, "task", str, place))
        others = self._rows.setdefault(task, {})
        index = row.get("index")
        if index is None:
            index = len(others)
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise PolicyError(f'{place}: "index" must be a whole number from 0; or leave it out')
        if index in others:
            raise PolicyError(
                f"{place}: index {index} of {task} is on line {others[index][0]} already; "
                'number the rows of a task from 0, or leave "index" out of all of them'
            )
        text, stop_reason = _field(row, "text", str, place), _optional(row, "stop_reason", str, place)
        _, read = read_text(text, stop_reason, reasoning=_optional(row, "reasoning", str, place))
        completion = Completion(
            task=task,
            index=index,
            text=read.text,
            reasoning=read.reasoning,
            cut_off=read.cut_off,
            policy=self.name,
            policy_version=self.version,
            seed=_optional(row, "seed", int, place),
            token_ids=_numbers(row, "token_ids", int, place),
            logprobs=_numbers(row, "logprobs", float, place),
            sampling_logprobs=_numbers(row, "sampling_logprobs", float, place),
            stop_reason=stop_reason,
            answer_tokens=_span(row, "answer_tokens", place),
            code_tokens=_span(row, "code_tokens", place),
            sum_logprob=_optional(row, "sum_logprob", float, place),
            n_tokens=_optional(row, "n_tokens", int, place),
            seconds=_optional(row, "seconds", float, place),
            prompt_sha256=_optional(row, "prompt_sha256", str, place),
            prompt_tokens=_optional(row, "prompt_tokens", int, place),
            self_certainty=_optional(row, "self_certainty", float, place),
        )
        if completion.mean_logprob is None and self.no_logprobs_at is None:
            self.no_logprobs_at = place
        others[index] = (number, completion)


def _key(task: str) -> str:
    """Level and number of a task, without leading zeros, or the whole id where its name carries no number."""
    short = Task(id=task, source="").short_id
    level, _, number = short.rpartition("/")
    return f"{level}/{int(number)}" if number.isdecimal() else short


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise PolicyError(f"{place}: not JSON ({error.msg}); {EACH_LINE}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise PolicyError(f"{place}: not JSON ({type(error).__name__}); {EACH_LINE}") from None
    except ValueError:  # of int(), which refuses over sys.get_int_max_str_digits() digits
        raise PolicyError(f"{place}: has an integer of thousands of digits; {EACH_LINE}") from None
    if not isinstance(row, dict):
        raise PolicyError(f"{place}: not an object; {EACH_LINE}")
    return row


def _field(row: dict[str, Any], key: str, kind: type, place: str) -> Any:
    if row.get(key) is None:
        raise PolicyError(f'{place}: has no "{key}"; {EACH_LINE}')
    return _optional(row, key, kind, place)


def _optional(row: dict[str, Any], key: str, kind: type, place: str) -> Any:
    value = row.get(key)
    if value is None or _is(value, kind):
        return value
    raise PolicyError(f'{place}: "{key}" must be {KINDS[kind]}; correct the row')


def _numbers(row: dict[str, Any], key: str, kind: type, place: str) -> tuple[Any, ...] | None:
    values = row.get(key)
    if values is None:
        return None
    if isinstance(values, list) and all(_is(value, kind) for value in values):
        return tuple(values)
    raise PolicyError(f'{place}: "{key}" must be a list in which each is {KINDS[kind]}; correct the row')


def _span(row: dict[str, Any], key: str, place: str) -> tuple[int, int] | None:
    values = _numbers(row, key, int, place)
    if values is None or (len(values) == 2 and 0 <= values[0] <= values[1]):
        return values
    raise PolicyError(f'{place}: "{key}" must be the first token and the one after the last; correct the row')


KINDS = {str: "a string", int: "a whole number", float: "a finite number"}


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if kind is float:
        # Not math.isfinite, which raises for a whole number too large for a float.
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)
