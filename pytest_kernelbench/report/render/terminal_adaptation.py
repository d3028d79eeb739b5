"""Adaptation as plain lines: by step, beside search, and on tasks that it did not train on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from pytest_kernelbench.report.render.numbers import GAP, aligned, as_digits, as_percent, as_points, as_rate, counted


def adaptation_lines(each: dict[str, Any], report: dict[str, Any], width: int) -> list[str]:
    collected: Sequence[str] = report["tasks"]
    stopped = [part for line in each["stopped"] for part in textwrap.wrap(f"stopped: {line}", width)]
    if set(each["per_task"]) != set(collected):
        others = len(set(each["per_task"]) - set(collected))
        told = f"over the {counted(len(each['per_task']), 'task')} that it trains on"
        stopped = textwrap.wrap(told + (f", {others} of them not among this run's" if others else ""), width) + stopped
    k, first = each["samples_per_task"], f"{each['strategy']}, %, at step"
    # Percentages have up to five characters (>99.9); of more steps than fit, some are shown, the last among them.
    stride = -(-len(each["steps"]) // max(1, (width - max(len(first), 15)) // (len(GAP) + 5)))
    shown = each["steps"][::-1][::stride][::-1]
    table = [[first, *map(str, shown)]]
    for label, curve in (
        ("per sample", each["per_sample"]["verified"]),
        ("per sample, raw", each["per_sample"]["raw"]),
        (f"any of {k}", each["any_of_k"]["verified"]),
        ("correct", each["correct"]),
    ):
        values = [curve["value"][step] for step in shown]
        table.append([label, *("-" if value is None else as_percent(value) for value in values)])
    chosen, flat, best_of = each["checkpoint"], each["flat_test"]["verified"], each["flat_best_of"]["verified"]
    if chosen["value"] is None:
        return [*aligned(table), "nothing is verified: the protocol gives no intervals", *stopped]
    if chosen["value"] == 0:
        return [*aligned(table), "no rollout of any step is verified fast", *stopped]
    if chosen["best_step"] is None:
        steps = ", ".join(map(str, chosen["best_steps"]))
        said = [f"the best step of each lineage by its own rollouts ({steps}) has {as_rate(chosen['value'])}"]
    else:
        said = [f"step {chosen['best_step']} is the best by its own rollouts, {as_rate(chosen['value'])}"]
    if best_of is not None:
        said.append(f"the best of {len(each['steps'])} would show {as_rate(best_of)} if no step differed")
    if flat is not None:
        said.append(f"equal rates at all steps have p = {flat['p']:.2g}")
    if chosen["held_out_value"] is not None:
        value, step = as_rate(chosen["held_out_value"]), chosen["held_out_step"]
        said.append(f"held-out rollouts choose {f'step {step}' if step is not None else 'steps of their own'}, {value}")
    equivalent = each["equivalent_k"]["any_of_k"]
    if equivalent["k"] is not None:
        interval = "" if equivalent["low"] is None else f" [{as_digits(equivalent['low'])}, {_end(equivalent)}]"
        said.append(f"any of {k} there is worth {as_digits(equivalent['k'])}{interval} samples of step 0")
    elif equivalent["refusal"]:
        said.append(f"what any of {k} there is worth in samples of step 0: {equivalent['refusal']}")
    for budget in report["analyses"]["cost"]["equal_budget"]:
        if budget["strategy"] == each["strategy"] and ("refusal" in budget or budget["verified"]["adapted"]):
            said.append(_equal_budget(budget))
    return [*aligned(table), *textwrap.wrap("; ".join(said), width), *stopped]


def _end(equivalent: dict[str, Any]) -> str:
    return "more than were drawn" if equivalent["open"] else as_digits(equivalent["high"])


def _equal_budget(budget: dict[str, Any]) -> str:
    if "refusal" in budget:
        return f"no comparison at equal answers: {budget['refusal']}"
    both = budget["verified"]
    return (
        f"for {budget['rollouts']} answers a task, the steps to {budget['step']} have a fast one for "
        f"{as_rate(both['adapted']['value'])} of tasks and as many of step 0 for {as_rate(both['searched']['value'])}, "
        f"a difference of {as_points(both['difference'])} points"
    )


def transfer_lines(report: dict[str, Any], width: int) -> list[str]:
    """A line for each strategy that adapts and set of tasks: before and after, and the difference."""
    found = report["analyses"]["transfer"]
    if found is None:
        return []
    k = "K" if len({row["rollouts"] for row in found["rows"]}) > 1 else found["rows"][0]["rollouts"]
    table, refused = [["transfer, verified, %", "per sample", f"any of {k}"]], []
    for row in found["rows"]:
        for name, cell in row["cells"].items():
            label = f"{row['strategy']} on {name} ({len(found['sets'][name])})"
            if "refusal" in cell:
                refused.append(f"{label}: {cell['refusal']}")
                continue
            flattered = cell["trained"] and row["chosen_on_itself"]
            table.append([label + (" *!" if flattered else " *" if cell["trained"] else "")])
            for of in ("per_sample", "any_of_k"):
                both = cell[of]["verified"]
                if both["difference"] is None:
                    table[-1].append("-")
                    continue
                base, adapted = (as_percent(both[side]["value"]) for side in ("base", "adapted"))
                table[-1].append(f"{base} -> {adapted}, {as_points(both['difference'])}")
    room = width - sum(len(GAP) + max(len(row[column]) for row in table) for column in (1, 2))
    lines = aligned([[cut(row[0], room), *row[1:]] for row in table]) if len(table) > 1 else []
    if lines:
        told = "*: trained on. The policy as loaded -> the adapted one, with as many answers; differences in points"
        lines += textwrap.wrap(told, width)
        if any(row[0].endswith("!") for row in table):
            lines.append("!: the step was chosen by these very rollouts, which flatters it")
    return lines + [part for line in refused for part in textwrap.wrap(line, width, subsequent_indent="  ")]


def cut(text: str, room: int) -> str:
    """In the middle, so that how a line begins and ends is kept."""
    if len(text) <= room:
        return text
    kept = max(room - 1, 8)
    return text[: kept // 2] + "…" + text[len(text) - (kept - kept // 2) :]
