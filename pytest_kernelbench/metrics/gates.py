"""Gates: the least value of a metric with which a run passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from pytest_kernelbench.errors import StrategyError, UsageError
from pytest_kernelbench.metrics.results import StrategyResults
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
        if value is not None and value >= self.minimum:
            return None
        shown = "not measured" if value is None else f"{value:.4g}"
        each = {task.unit: metric(replace(results, tasks=(task,))) for task in results.tasks}
        under = [task for task, alone in each.items() if alone is None or alone < self.minimum]
        named = ", ".join(under[:TASKS_NAMED]) + (f" and {len(under) - TASKS_NAMED} more" * (len(under) > TASKS_NAMED))
        missed = f"{self.metric} of {results.strategy} is {shown}, under the gate of {self.minimum:.4g}"
        return f"{missed} ({named})" if named else missed


def gate_from(text: str, metrics: Mapping[str, Metric]) -> Gate:
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
    return Gate(metric=name, minimum=minimum)


def gates_of(strategy: Strategy, metrics: Mapping[str, Metric]) -> list[Gate]:
    for name in strategy.gate:
        if name not in metrics:
            raise StrategyError(f"strategy {strategy.name}: [gate] {_no_such(name, metrics)}")
    return [Gate(metric=name, minimum=minimum) for name, minimum in strategy.gate.items()]


def _no_such(name: str, metrics: Mapping[str, Metric]) -> str:
    return f'no such metric "{name}"{did_you_mean(name, metrics) or "; there are " + ", ".join(metrics)}'
