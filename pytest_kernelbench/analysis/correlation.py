"""Rank correlation of log-probability and speed-up, raw and with the length of the answer held fixed.

One entry of ``analyses["correlation"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...], "n": 550,                     correct candidates
     "pooled": {SCORE: {"rho": x, "p": x, "length_rho": x, "length_p": x,
                        "partial_rho": x | null, "partial_p": x | null}},
     "within_task": {SCORE: {"tasks": 4, "rho": estimate, "partial_rho": estimate}},
     "agreement": {"mean_and_sum": {"rho": estimate, "same_choice": estimate}},
     "code": {SCORE: {"n": 540, "rho": x, "p": x, "within_task_rho": estimate, "whole_rho": estimate}} | null,
     "tempered": the same}

SCORE is ``mean`` or ``sum`` of the log-probabilities (nats) over the whole completion. ``length_rho`` is that of tokens
and speed-up. ``partial_rho`` is ``(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))`` of ranks, z the number of
tokens, tested by t with n - 3 degrees of freedom. ``within_task`` averages each task's own coefficient, which pooling
may reverse. ``agreement``: rank correlation of the two scores within a task, and how often both choose the same
text. ``code`` is the same of the tokens that are code, and null where no completion says which these are;
``tempered`` of all tokens at the temperature sampled at, null where that was 1. ``whole_rho`` is the rank correlation,
within a task, with the score of the whole completion at temperature 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan

import numpy

from pytest_kernelbench.analysis.base import (
    CODE,
    SCORES,
    TEMPERED,
    Floats,
    Json,
    SampleGroup,
    UnitSamples,
    for_each_group,
)
from pytest_kernelbench.stats import Correlation, partial_spearman, spearman


def of_group(group: SampleGroup) -> Json | None:
    if not group.has_logprobs:
        return None
    units = [_timed(unit) for unit in group.units if unit.n]
    pooled = {name: numpy.concatenate([each[name] for each in units]) for name in (*SCORES, "speedup", "tokens")}
    return {
        "n": len(pooled["speedup"]),
        "pooled": {score: _pooled(pooled, score) for score in SCORES},
        "within_task": {score: _within_task(group, score) for score in SCORES},
        "agreement": {
            "mean_and_sum": {
                "rho": group.estimate([_rho(spearman, unit, "mean", "sum") for unit in group.units]),
                "same_choice": group.rate([_same_choice(unit) for unit in group.units]),
            }
        },
        **{of: _other(group, of) for of in (CODE, TEMPERED)},
    }


correlation = for_each_group(of_group)


def _other(group: SampleGroup, of: str) -> Json | None:
    """Of the correct candidates that were timed and of which it is known."""
    found: dict[str, Json] = {}
    for score in SCORES:
        columns = [_with_other(unit, of, score) for unit in group.units]
        pooled = spearman(*(numpy.concatenate(each) for each in zip(*(c[:2] for c in columns), strict=True)))
        if pooled is None:
            return None
        found[score] = {
            "n": sum(len(other) for other, _, _ in columns),
            "rho": pooled.rho,
            "p": pooled.p,
            "within_task_rho": group.estimate([_rho_or_nan(other, speedup) for other, speedup, _ in columns]),
            "whole_rho": group.estimate([_rho_or_nan(other, whole) for other, _, whole in columns]),
        }
    return found


def _with_other(unit: UnitSamples, of: str, score: str) -> tuple[Floats, Floats, Floats]:
    """The other score, speed-up, and score of the whole."""
    if unit.n == 0 or unit.logprob_N is None:
        return numpy.zeros(0), numpy.zeros(0), numpy.zeros(0)
    other = unit.other_logprob_N[of][score]
    known = unit.correct_N & ~numpy.isnan(unit.speedup_N) & ~numpy.isnan(other)
    return other[known], unit.speedup_N[known], unit.logprob_N[score][known]


def _rho_or_nan(x: Floats, y: Floats) -> float:
    found = spearman(x, y)
    return nan if found is None else found.rho


def _timed(unit: UnitSamples) -> dict[str, Floats]:
    """The correct candidates of a unit that have a speed-up, as columns."""
    assert unit.logprob_N is not None
    timed = unit.correct_N & ~numpy.isnan(unit.speedup_N)
    return {
        "mean": unit.logprob_N["mean"][timed],
        "sum": unit.logprob_N["sum"][timed],
        "speedup": unit.speedup_N[timed],
        "tokens": unit.tokens_N[timed],
    }


def _pooled(columns: Mapping[str, Floats], score: str) -> Json:
    raw = spearman(columns[score], columns["speedup"])
    length = spearman(columns["tokens"], columns["speedup"])
    partial = partial_spearman(columns[score], columns["speedup"], columns["tokens"])
    return {
        **_named("rho", "p", raw),
        **_named("length_rho", "length_p", length),
        **_named("partial_rho", "partial_p", partial),
    }


def _named(rho: str, p: str, found: Correlation | None) -> Json:
    return {rho: None if found is None else found.rho, p: None if found is None else found.p}


def _within_task(group: SampleGroup, score: str) -> Json:
    rho_U = [_rho(spearman, unit, score, "speedup") for unit in group.units]
    partial_U = [_rho(partial_spearman, unit, score, "speedup", "tokens") for unit in group.units]
    tasks = {unit.results.task for unit, rho in zip(group.units, rho_U, strict=True) if not numpy.isnan(rho)}
    return {"tasks": len(tasks), "rho": group.estimate(rho_U), "partial_rho": group.estimate(partial_U)}


def _rho(coefficient: Callable[..., Correlation | None], unit: UnitSamples, *names: str) -> float:
    found = coefficient(*(_timed(unit)[name] for name in names)) if unit.n else None
    return nan if found is None else found.rho


def _same_choice(unit: UnitSamples) -> float:
    """Whether the least expected correct candidate by the mean and by the sum have the same source."""
    if unit.n == 0 or not unit.correct_N.any():
        return nan
    chosen = [unit.results.samples[unit.ranked_correct(score, surprising_first=True)[0]] for score in SCORES]
    sources = [each.evaluation.source_sha256 if each.evaluation else None for each in chosen]
    return float(sources[0] == sources[1])
