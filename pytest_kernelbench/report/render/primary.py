"""The primary comparison in words, for the terminal and the page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from math import exp, floor
from typing import Any

from pytest_kernelbench.report.render.numbers import as_digits, as_points, as_rate, as_times, counted
from pytest_kernelbench.report.render.preregistration import preregistration_line
from pytest_kernelbench.strategy.primary import Primary


def primary_lines(report: Mapping[str, Any], width: int) -> list[str]:
    """Lines of the primary comparison's result and power; empty if no comparison was named."""
    return [part for line in primary_sentences(report) for part in textwrap.wrap(line, width, subsequent_indent="  ")]


def primary_sentences(report: Mapping[str, Any]) -> list[str]:
    planned = report["preregistration"]
    return [*_sentences(report["analyses"]["primary"]), *([preregistration_line(planned)] if planned else [])]


def _sentences(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    named = Primary(selector=found["selector"], control=found["control"], outcome=found["outcome"])
    by = "" if found["by"] is None else f" (named by {found['by']})"
    if "refusal" in found:
        return [f"primary: {named.said}{by}: {found['refusal']}"]
    lines = [f"primary: {named.said}{by}: {_found(found)}"]
    if found["detectable"] is not None:
        effect = _effect(found["detectable"]["effect"], found["outcome"])
        lines.append(f"power: an effect of {effect} is found in 80 % of studies of these tasks; {_useless(found)}")
    elif found["power"]:
        lines.append(f"power: no effect, however large, is found in 80 % of studies of these tasks; {_useless(found)}")
    lines.append("all other comparisons of this report are secondary")
    return lines


def _found(found: Mapping[str, Any]) -> str:
    effect, test = found["effect"], found["test"]
    success = found["outcome"] == "success"
    shown = [as_rate(value) if success else as_times(value) for value in found["values"]]
    ends = None if effect["low"] is None else (effect["low"], effect["high"])
    said = as_points(effect) + " points" if success else f"{as_times(effect['value'], ends)} as fast"
    p = _p_value(test["p_two_sided"], None if test["exact"] else test["p_error"])
    of = f"{counted(found['tasks'], 'task')}" + (f", {found['left_out']} left out" if found["left_out"] else "")
    warning = f"; {effect['warning']}" if effect["warning"] else ""
    return f"{shown[0]} and {shown[1]}, {said}; {p} by randomisation within {of}{warning}"


def _p_value(p: float, error: float | None) -> str:
    """``p = 0.18 ± 0.0031``; ``p > 0.99`` or ``p < 0.0021`` where the error reaches beyond 1 or 0."""
    shown = f"{p:.2g}"
    if error is None:
        return f"p = {shown}"
    if float(shown) + error > 1:
        return f"p > {floor(100 * (p - error)) / 100:.2f}"
    return f"p < {p + error:.2g}" if p < error else f"p = {shown} ± {as_digits(error)}"


def _effect(effect: float, outcome: str) -> str:
    return f"{100 * effect:+.0f} points" if outcome == "success" else as_times(exp(effect))


def _useless(found: Mapping[str, Any]) -> str:
    return f"a useless score is rejected in {as_rate(found['power'][0]['power'])}"
