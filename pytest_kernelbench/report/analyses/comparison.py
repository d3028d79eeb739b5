"""Two runs of the same tasks side by side: what became faster, slower, lost and gained.

``compare_runs(a, b)``::

    {"strategies": {name: {"tasks": {UNIT: {"change": CHANGE, "verdicts": [text, text], "speedup": [x | null, x | null],
                                            "ratio": estimate}},
                           "counts": {CHANGE: n},
                           "fast_1": {"values": [x | null, x | null], "difference": estimate | null},
                           "geomean_ratio": estimate | null, "sign": SIGN | null, "wilcoxon": ... | null}},
     "only_in": [[task, ...], [task, ...]],
     "notes": [text, ...]}

CHANGE is ``faster`` or ``slower`` where the interval of the ratio of speed-ups (b over a) lies beyond the larger margin
of the two, ``same`` where it does not, ``lost`` or ``gained`` where only a or only b has a kernel, ``neither``.
Speed-ups are confirmed ones where both are, and their intervals are combined on the logarithmic scale as independent
ones. Where a kernel is missing, ``geomean_ratio`` takes the reference in its place; it is null where neither run has
one. A ``fast_1`` is null where the protocol gives no intervals, so that nothing could be verified. SIGN and
``wilcoxon`` are as in ``selection``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, hypot, log
from typing import NamedTuple

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.analyses.base import Json
from pytest_kernelbench.report.analyses.estimates import difference_over_tasks, estimate_over_tasks, exponential
from pytest_kernelbench.report.metrics import StrategyResults, TaskResults
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun, check_comparable
from pytest_kernelbench.report.stats import sign_test, signed_rank

MUST_AGREE = ("device", "protocol", "sizes")
CHANGES = ("faster", "slower", "lost", "gained", "same", "neither")


class Measured(NamedTuple):
    """The chosen kernel's speed-up with its interval; the ends are None where no interval is known."""

    speedup: float
    low: float | None
    high: float | None


def compare_runs(runs: Mapping[str, RunRecords], *, mix: bool = False) -> Json:
    """``runs`` holds two, by name, the earlier first. Raises UsageError where they cannot be compared."""
    check_comparable(runs, mix=mix, keys=MUST_AGREE)
    (a_name, a), (b_name, b) = runs.items()
    shared = [task for task in a.tasks if task in set(b.tasks)]
    if not shared:
        raise UsageError(f"{b_name}: no task in common with {a_name}; compare runs of the same tasks")
    pairs = _pairs(a, b)
    if not pairs:
        raise UsageError(f"{b_name}: no strategy in common with {a_name}; compare runs of the same strategies")
    return {
        "strategies": {
            name: _of_strategy(_on(shared, a.results(of_a)), _on(shared, b.results(of_b)))
            for name, (of_a, of_b) in pairs.items()
        },
        "only_in": [[task for task in one.tasks if task not in shared] for one in (a, b)],
        "notes": [
            *(
                f"{key}: {a.options.get(key)} and {b.options.get(key)}"
                for key in (*MUST_AGREE, "policy", "seed")
                if a.options.get(key) != b.options.get(key)
            ),
            *(f"{name}: its settings differ" for name, (of_a, of_b) in pairs.items() if of_a.sha256 != of_b.sha256),
        ],
    }


def _pairs(a: RunRecords, b: RunRecords) -> dict[str, tuple[StrategyOfRun, StrategyOfRun]]:
    """Strategies of one name; or the only one of each run, whatever its name."""
    of_b = {each.name: each for each in b.strategies}
    same = {each.name: (each, of_b[each.name]) for each in a.strategies if each.name in of_b}
    if not same and len(a.strategies) == len(b.strategies) == 1:
        (one,), (other,) = a.strategies, b.strategies
        return {f"{one.name} and {other.name}": (one, other)}
    return same


def _on(tasks: list[str], results: StrategyResults) -> StrategyResults:
    by_unit = {task.unit: task for task in results.tasks}
    return replace(results, tasks=tuple(by_unit[task] for task in tasks))


def _of_strategy(a: StrategyResults, b: StrategyResults) -> Json:
    margin = max(a.margin, b.margin)
    both = list(zip(a.tasks, b.tasks, strict=True))
    rows = {one.unit: _of_task(one, other, margin) for one, other in both}
    tasks_U = [one.task for one, _ in both]
    verified = [each.is_verifiable for each in (a, b)]
    columns = [
        [float(_is_fast(task)) for task in each.tasks] if known else None
        for each, known in zip((a, b), verified, strict=True)
    ]
    differences = [after - before for before, after in zip(*columns, strict=True)] if all(verified) else None
    log_ratios = [_log_ratio(*pair) for pair in both] if any(map(_any_kernel, both)) else []
    ranked = signed_rank(log_ratios)
    return {
        "tasks": rows,
        "counts": {change: sum(row["change"] == change for row in rows.values()) for change in CHANGES},
        "fast_1": {
            "values": [None if column is None else sum(column) / len(column) for column in columns],
            "difference": None if differences is None else difference_over_tasks(tasks_U, differences),
        },
        "geomean_ratio": exponential(estimate_over_tasks(tasks_U, log_ratios)) if log_ratios else None,
        "sign": None if differences is None else sign_test(differences)._asdict(),
        "wilcoxon": None if ranked is None else ranked._asdict(),
    }


def _of_task(a: TaskResults, b: TaskResults, margin: float) -> Json:
    one, other = _both_measured(a, b)
    ratio = None if one is None or other is None else _ratio(one, other)
    return {
        "change": _change(one, other, ratio, margin),
        "verdicts": [a.verdict, b.verdict],
        "speedup": [None if each is None else each.speedup for each in (one, other)],
        "ratio": ratio,
    }


def _both_measured(a: TaskResults, b: TaskResults) -> tuple[Measured | None, Measured | None]:
    """The speed-ups of both choices, each None if there is none.

    The second timings if both choices were timed again, or if one run has no choice and the other's was timed again;
    otherwise the first timings.
    """
    confirmed = [task.selection is not None and task.selection.confirmed_speedup is not None for task in (a, b)]
    alone = [task.selection is None or task.selection.index is None for task in (a, b)]
    again = all(confirmed) or (any(confirmed) and any(alone))
    return _measured(a, again), _measured(b, again)


def _any_kernel(pair: tuple[TaskResults, TaskResults]) -> bool:
    return any(each is not None for each in _both_measured(*pair))


def _log_ratio(a: TaskResults, b: TaskResults) -> float:
    """The logarithm of b's speed-up over a's. A missing kernel counts as the reference: a speed-up of 1."""
    before, after = (0.0 if each is None else log(each.speedup) for each in _both_measured(a, b))
    return after - before


def _change(one: Measured | None, other: Measured | None, ratio: Json | None, margin: float) -> str:
    if ratio is None:
        return "neither" if one is None and other is None else "lost" if other is None else "gained"
    if ratio["low"] is not None and ratio["low"] > 1 + margin:
        return "faster"
    return "slower" if ratio["high"] is not None and ratio["high"] < 1 / (1 + margin) else "same"


def _measured(task: TaskResults, confirmed: bool) -> Measured | None:
    chosen = task.selection
    if chosen is None or chosen.index is None:
        return None
    if confirmed and chosen.confirmed_speedup is not None:
        return Measured(chosen.confirmed_speedup, chosen.confirmed_low, chosen.confirmed_high)
    return None if chosen.speedup is None else Measured(chosen.speedup, chosen.speedup_low, chosen.speedup_high)


def _ratio(a: Measured, b: Measured) -> Json:
    value = b.speedup / a.speedup
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return {"value": value, "low": None, "high": None}
    down = hypot(log(b.speedup / b.low), log(a.high / a.speedup))
    up = hypot(log(b.high / b.speedup), log(a.speedup / a.low))
    return {"value": value, "low": value * exp(-down), "high": value * exp(up)}


def _is_fast(task: TaskResults) -> bool:
    return task.selection is not None and task.selection.fast
