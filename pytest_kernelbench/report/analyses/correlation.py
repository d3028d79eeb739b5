"""Rank correlation of log-probability and speed-up, raw and with the length of the answer held fixed.

One entry of ``analyses["correlation"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...], "of": COUNTS, "n": 550,       correct candidates that were timed and have the score
     "pooled": {SCORE: {"rho": x, "p": x, "length_rho": x, "length_p": x,
                        "partial_rho": x | null, "partial_p": x | null}},
     "within_task": {SCORE: {"tasks": 4, "rho": estimate, "partial_rho": estimate}},
     "agreement": {"mean_and_sum": {"rho": estimate, "same_choice": estimate}},
     "code": {SCORE: {"n": 540, "rho": x, "p": x, "within_task_rho": estimate, "answer_rho": estimate}} | null,
     "tempered": the same}

SCORE is ``mean`` or ``sum`` of the log-probabilities (nats) over the answer. ``length_rho`` is that of tokens
and speed-up. ``partial_rho`` is ``(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))`` of ranks, z the number of
tokens, tested by t with n - 3 degrees of freedom; the p of pooled candidates takes them for independent, which those of
a task and those of one program are not. ``within_task`` averages each task's own coefficient over its distinct
programs, which pooling may reverse. ``agreement``: rank correlation of the two scores within a task, and how often both
choose the same text. ``code`` is the same of the tokens that are code, and null where no completion says which these
are; ``tempered`` of all tokens at the temperature sampled at, null where that was 1. ``answer_rho`` is the rank
correlation, within a task, with the score of the answer at temperature 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan

import numpy

from pytest_kernelbench.report.analyses.base import (
    ANSWER,
    CODE,
    SCORES,
    TEMPERED,
    Floats,
    Json,
    SampleGroup,
    UnitSamples,
    for_each_group,
)
from pytest_kernelbench.report.stats import Correlation, partial_spearman, spearman


def of_group(group: SampleGroup) -> Json | None:
    if not group.ranked():
        return None
    pooled = {score: _pooled(group, score) for score in SCORES}
    return {
        "n": sum(len(_timed(unit, "mean")["speedup"]) for unit in group.units),
        "pooled": pooled,
        "within_task": {score: _within_task(group, score) for score in SCORES},
        "agreement": {
            "mean_and_sum": {
                "rho": group.difference([_rho_of_scores(unit) for unit in group.units]),
                "same_choice": group.rate([_same_choice(unit) for unit in group.units]),
            }
        },
        **{of: _other(group, of) for of in (CODE, TEMPERED)},
    }


correlation = for_each_group(of_group)


def _other(group: SampleGroup, of: str) -> Json | None:
    """The entry ``code`` or ``tempered``, over correct candidates that were timed and have that score."""
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
            "within_task_rho": group.difference([_rho_or_nan(other, speedup) for other, speedup, _ in columns]),
            "answer_rho": group.difference([_rho_or_nan(other, answer) for other, _, answer in columns]),
        }
    return found


def _with_other(unit: UnitSamples, of: str, score: str) -> tuple[Floats, Floats, Floats]:
    """For candidates that have all three: the score ``of`` other tokens, the speed-up, and the score of the answer."""
    other, answer = unit.logprob_N[of][score], unit.logprob_N[ANSWER][score]
    known = unit.correct_N & ~numpy.isnan(unit.speedup_N) & ~numpy.isnan(other) & ~numpy.isnan(answer)
    return other[known], unit.speedup_N[known], answer[known]


def _rho_or_nan(x: Floats, y: Floats) -> float:
    found = spearman(x, y)
    return nan if found is None else found.rho


def _timed(unit: UnitSamples, score: str) -> dict[str, Floats]:
    """The correct candidates of a unit that have a speed-up and a score, as columns."""
    keys = unit.logprob_N[ANSWER][score]
    known = unit.correct_N & ~numpy.isnan(unit.speedup_N) & ~numpy.isnan(keys)
    return {"score": keys[known], "speedup": unit.speedup_N[known], "tokens": unit.tokens_N[known]}


def _programs(unit: UnitSamples, score: str) -> dict[str, Floats]:
    """As ``_timed``, of the distinct programs of a unit."""
    programs = unit.programs
    keys = programs.logprob_C[ANSWER][score]
    known = ~numpy.isnan(programs.speedup_C) & ~numpy.isnan(keys)
    tokens = unit.tokens_N[programs.first_C]
    return {"score": keys[known], "speedup": programs.speedup_C[known], "tokens": tokens[known]}


def _pooled(group: SampleGroup, score: str) -> Json:
    units = [_timed(unit, score) for unit in group.units]
    columns = {name: numpy.concatenate([each[name] for each in units]) for name in ("score", "speedup", "tokens")}
    counted = ~numpy.isnan(columns["tokens"])
    with_length = {name: values[counted] for name, values in columns.items()}
    return {
        **_named("rho", "p", spearman(columns["score"], columns["speedup"])),
        **_named("length_rho", "length_p", spearman(with_length["tokens"], with_length["speedup"])),
        **_named("partial_rho", "partial_p", partial_spearman(*(with_length[name] for name in COLUMNS))),
    }


COLUMNS = ("score", "speedup", "tokens")


def _named(rho: str, p: str, found: Correlation | None) -> Json:
    return {rho: None if found is None else found.rho, p: None if found is None else found.p}


def _within_task(group: SampleGroup, score: str) -> Json:
    rho_U = [_rho(spearman, unit, score, COLUMNS[:2]) for unit in group.units]
    partial_U = [_rho(partial_spearman, unit, score, COLUMNS) for unit in group.units]
    tasks = {unit.results.task for unit, rho in zip(group.units, rho_U, strict=True) if not numpy.isnan(rho)}
    return {"tasks": len(tasks), "rho": group.difference(rho_U), "partial_rho": group.difference(partial_U)}


def _rho(coefficient: Callable[..., Correlation | None], unit: UnitSamples, score: str, names: Sequence[str]) -> float:
    columns = _programs(unit, score)
    known = ~numpy.isnan([columns[name] for name in names]).any(axis=0)
    found = coefficient(*(columns[name][known] for name in names))
    return nan if found is None else found.rho


def _rho_of_scores(unit: UnitSamples) -> float:
    mean_C, sum_C = (unit.programs.logprob_C[ANSWER][score] for score in SCORES)
    known = ~numpy.isnan(mean_C) & ~numpy.isnan(sum_C)
    return _rho_or_nan(mean_C[known], sum_C[known])


def _same_choice(unit: UnitSamples) -> float:
    """1 if the mean and the sum have the same least expected correct program, else 0; NaN if a score is missing."""
    if not unit.programs.c or not all(unit.is_ranked(ANSWER, score) for score in SCORES):
        return nan
    first = [unit.programs.ranked(ANSWER, score, surprising_first=True)[0] for score in SCORES]
    return float(first[0] == first[1])
