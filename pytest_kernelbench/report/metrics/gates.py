"""Gates: the least value of a metric with which a run passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from pytest_kernelbench.errors import StrategyError, UsageError
from pytest_kernelbench.report.metrics.results import StrategyResults
from pytest_kernelbench.strategy import Strategy, did_you_mean

TASKS_NAMED = 5

Metric = Callable[[StrategyResults], "float | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    metric: str
    minimum: float

    def failure(self, results: StrategyResults, metrics: Mapping[str, Metric]) -> str | None:
        """One line that says by how much the gate was missed and on which tasks, or None where it holds."""
        metric = metrics[self.metric]
        value = metric(results)
        alone = {task.unit: metric(replace(results, tasks=(task,))) for task in results.tasks}
        # What was not judged is in no rate of samples, and must not pass a gate for that.
        unjudged = [task.unit for task in results.tasks if not task.evaluations and alone[task.unit] is None]
        if value is not None and value >= self.minimum:
            if not unjudged:
                return None
            return f"{self.metric} of {results.strategy} was not measured on {_named(unjudged)}: the gate is not passed"
        shown = "not measured" if value is None else f"{value:.4g}"
        under = [task for task, each in alone.items() if each is None or each < self.minimum]
        missed = f"{self.metric} of {results.strategy} is {shown}, under the gate of {self.minimum:.4g}"
        return f"{missed} ({_named(under)})" if under else missed


def _named(tasks: list[str]) -> str:
    return ", ".join(tasks[:TASKS_NAMED]) + (f" and {len(tasks) - TASKS_NAMED} more" * (len(tasks) > TASKS_NAMED))


def gate_from(text: str, metrics: Mapping[str, Metric], shares: frozenset[str]) -> Gate:
    """``METRIC:VALUE`` as a gate; ``shares``: metrics whose values are from 0 to 1. Raises UsageError."""
    place = f"--kernelbench-fail-under={text}"
    name, colon, number = text.partition(":")
    if not colon:
        raise UsageError(f"{place}: write METRIC:VALUE, as in fast_1:0.8")
    if name not in metrics:
        raise UsageError(f"{place}: {_no_such(name, metrics)}")
    try:
        minimum = float(number)
    except ValueError:
        raise UsageError(f'{place}: "{number}" is not a number') from None
    if not isfinite(minimum):
        raise UsageError(f'{place}: "{number}" is not a finite number')
    if problem := _out_of_range(name, minimum, shares):
        raise UsageError(f"{place}: {problem}")
    return Gate(metric=name, minimum=minimum)


def gates_of(strategy: Strategy, metrics: Mapping[str, Metric], shares: frozenset[str]) -> list[Gate]:
    """The gates of the table ``[gate]``; ``shares``: metrics whose values are from 0 to 1. Raises StrategyError."""
    for name, minimum in strategy.gate.items():
        problem = _out_of_range(name, minimum, shares) if name in metrics else _no_such(name, metrics)
        if problem:
            raise StrategyError(f"strategy {strategy.name}: [gate] {problem}")
    return [Gate(metric=name, minimum=minimum) for name, minimum in strategy.gate.items()]


def _no_such(name: str, metrics: Mapping[str, Metric]) -> str:
    return f'no such metric "{name}"{did_you_mean(name, metrics)}'


def _out_of_range(name: str, minimum: float, shares: frozenset[str]) -> str | None:
    if name not in shares or 0 <= minimum <= 1:
        return None
    percent = f"; write {minimum / 100:g} for {minimum:g} %" if 10 <= minimum <= 100 else ""
    return f"{name} is a share: its gate must be from 0 to 1, not {minimum:g}{percent}"
