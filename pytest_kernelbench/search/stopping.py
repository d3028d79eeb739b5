"""Decides whether one more candidate of a task is worth its cost, by the verdicts so far.

Both rules look one answer ahead. With ``gain = "fast"``, the chance that the next answer is verified fast has a
Beta(1/2, 1/2) prior: after n answers of which none was fast its posterior mean is 1/2 / (n + 1), and after the first
fast one there is nothing left to gain. With ``gain = "speedup"``, the log speed-up of the next answer has a Dirichlet
process as its prior, of weight 1 around an exponential distribution: after n answers the next one is like one of those
before it, and gains nothing, with a chance of n / (n + 1), and otherwise gains ``scale * exp(-best / scale)`` on
average. Under both, the expected gain falls with every answer, so that looking one ahead loses nothing against looking
further (Rothschild, Journal of Political Economy 82, 1974; Bikhchandani and Sharma, Journal of Economic Dynamics and
Control 20, 1996).

The rules are functions of recorded verdicts alone: a run that was killed stops where it would have stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.records import Evaluation, Judged

if TYPE_CHECKING:
    from pytest_kernelbench.strategy.stopping import Stopping

PRIOR = 0.5


class Stop(NamedTuple):
    """``asked``: how many candidates were asked for, the first so many; ``because``: why no more were."""

    asked: int
    because: str


def chance_of_first(failures: int) -> float:
    """Posterior mean of the chance that the next answer is fast, after ``failures`` answers that were not."""
    return PRIOR / (failures + 2 * PRIOR)


def expected_gain(settings: Stopping, evaluations: Sequence[Evaluation], margin: float) -> float:
    """Of one more answer: verified fast kernels, or log speed-up of the best, 0 being the reference's."""
    n = len(evaluations)
    if settings.gain == "fast":
        return 0.0 if any(each.fast(margin=margin) for each in evaluations) else chance_of_first(n)
    speedups = [each.counted_speedup for each in evaluations]
    best = max((log(each) for each in speedups if each is not None and each > 1), default=0.0)
    return settings.scale * exp(-best / settings.scale) / (n + 1)


def reason_to_stop(settings: Stopping, evaluations: Sequence[Evaluation], margin: float) -> str | None:
    """Why no further answer is worth its cost, in a line; None where one is. Nothing is known before the first."""
    if not evaluations:
        return None
    gain = expected_gain(settings, evaluations, margin)
    if gain > settings.cost:
        return None
    if settings.gain == "fast" and gain == 0:
        return "a verified fast candidate is there"
    unit = "verified fast candidates" if settings.gain == "fast" else "in log speed-up"
    return f"one more answer gains {gain:.2g} {unit} and costs {settings.cost:g}"


def stop_of(
    settings: Stopping, turns: Iterable[Sequence[int]], known: Mapping[int, Judged], *, margin: float
) -> Stop | None:
    """After which of the ``turns`` a strategy stops, by the verdicts that are ``known``; None: it draws them all.

    A candidate that the policy could not give (a replay has fewer) does not count.
    """
    so_far: list[Evaluation] = []
    for turn in turns:
        so_far += [known[index].evaluation for index in turn if index in known]
        because = reason_to_stop(settings, so_far, margin)
        if because is not None:
            return Stop(turn[-1] + 1, because)
    return None
