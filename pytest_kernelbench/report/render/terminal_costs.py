"""Cost of a task, and success of each strategy at equal spending, as lines of the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from pytest_kernelbench.report.render.cautions import caution_of
from pytest_kernelbench.report.render.numbers import (
    aligned,
    as_amount,
    as_rate,
    as_times,
    counted,
    last_point,
)
from pytest_kernelbench.report.render.terminal_adaptation import cut

COSTS = {"answers": "rollouts", "tokens": "tokens", "timed": "timed", "seconds": "seconds"}


def cost_lines(report: dict[str, Any], width: int) -> list[list[str]]:
    """Two blocks."""
    return [_cost(report, width), _budget(report, width)]


def _cost(report: dict[str, Any], width: int) -> list[str]:
    """Cost of a task, and how near the chosen kernels are to the floor."""
    found = report["analyses"]["cost"]["strategies"]
    floors = (report["analyses"]["floor"] or {"strategies": {}})["strategies"]
    columns = {name: key for name, key in COSTS.items() if any(each[key] is not None for each in found.values())}
    table = [["a task took", *columns, *(["of the floor"] if floors else [])]]
    for name, each in found.items():
        floor = floors.get(name)
        share = [] if floor is None else [as_rate(floor["share"] and floor["share"]["value"])]
        if floor is not None and 0 < floor["known"] < len(report["tasks"]):
            share = [f"{share[0]} ({floor['known']} of {len(report['tasks'])})"]
        table.append([name, *(as_amount(each[key]) for key in columns.values()), *share])
    if len(table) == 1 or len(table[0]) == 1:
        return []
    lines = [*aligned(table), *_wrapped(_not_of_all(found, columns), width)]
    if floors:
        told = "floor: the least time for the task's work on this device / the kernel's time"
        lines += textwrap.wrap(told, width)
    beyond = sum(each["beyond"] for each in floors.values())
    if beyond:
        told = "beyond it: a CPU's floor is one timed copy, which caches or a busy machine beat"
        lines += textwrap.wrap(f"{counted(beyond, 'choice')} {told}", width)
    return lines


def _not_of_all(found: dict[str, Any], columns: dict[str, str]) -> list[str]:
    """A line for each cost that is not known of every task, with the strategies that it holds for."""
    named: dict[str, list[str]] = {}
    for head, key in columns.items():
        for name, each in found.items():
            known, of = each["units"].get(key), each["units"]["of"]
            if known is not None and 0 < known < of:
                named.setdefault(f"{head}: known of {known} of {of}", []).append(name)
    return [told + ("" if len(names) == len(found) else f" ({', '.join(names)})") for told, names in named.items()]


def _budget(report: dict[str, Any], width: int) -> list[str]:
    """Any verified and the geometric mean of the best, within the most that every strategy spent, on each axis."""
    found = report["analyses"].get("budget")
    if not found:
        return []
    heads = ("any verified [95 %]", "geomean of the best [95 %]")
    room = width - sum(len(head) + 2 for head in heads) - 2
    table = [["within equal", *heads]]
    for axis, each in found.items():
        of = f", without {counted(each['left_out'], 'task')} not known" if each["left_out"] else ""
        table.append([f"{as_amount(each['budget'][-1])} {axis}{of}", "", ""])
        for names, curves in each["strategies"].items():
            rate, speedup = last_point(curves["verified"]), last_point(curves["geomean_speedup"])
            shown = [as_rate(rate["value"], _bounds(rate)), as_times(speedup["value"], _bounds(speedup))]
            table.append([f"  {_of_group(names, room)}", *shown])
    told = ["of all candidates in the order in which they were drawn, as far as the strategy that spent least"]
    told += caution_of(curves["geomean_speedup"] for each in found.values() for curves in each["strategies"].values())
    return [*(line.rstrip() for line in aligned(table)), *_wrapped(told, width)]


def _of_group(names: str, room: int) -> str:
    """``best-of-64 and 2 more`` for strategies that share their candidates, in at most ``room`` columns."""
    first, *others = names.split(", ")
    more = f" and {len(others)} more" if others else ""
    return cut(first, room - len(more)) + more


def _bounds(estimate: dict[str, Any]) -> tuple[float, float] | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ")]
