"""Guardrails: training stops early if it has broken the policy. The best step before that is kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.strategy import Adaptation

NOT_FINITE = "the loss or its gradient is not finite; the weights of the step before are kept"


def broken(steps: Sequence[AdaptationStep], settings: Adaptation) -> str | None:
    """One line with the guardrail that the last of ``steps`` breaks, and the measured value; None if it breaks none."""
    first, last = steps[0], steps[-1]
    if last is first:
        return None
    start, now = (correct_rate(step, last.tasks.keys() & first.tasks.keys()) for step in (first, last))
    collapse, max_kl = settings.ending.collapse, settings.ending.max_kl
    if start is not None and now is not None and now < collapse * start:
        return f"correct rollouts fell from {start:.1%} to {now:.1%}, below collapse = {collapse:g} of the start"
    if max_kl is not None and last.kl is not None and last.kl > max_kl:
        return f"divergence from the start is {last.kl:.3g} nats a token, above max_kl = {max_kl:g}"
    return None


def correct_rate(step: AdaptationStep, tasks: Collection[str]) -> float | None:
    """The share of correct rollouts of ``tasks`` at a step; None if there are no rollouts."""
    rollouts = sum(step.tasks[task]["rollouts"] for task in tasks)
    return sum(step.tasks[task]["correct"] for task in tasks) / rollouts if rollouts else None
