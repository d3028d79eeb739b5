"""Every way to select replayed on the stored candidates of each unit, by first timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import nan

import numpy

from pytest_kernelbench.report.analyses.base import ALL, ANSWER, CODE, SCORES, TEMPERED, Floats, SampleGroup
from pytest_kernelbench.report.analyses.estimates import places_by_task
from pytest_kernelbench.report.analyses.units import Places, UnitSamples
from pytest_kernelbench.report.stats import NullDistribution, TaskPrograms, first_of_subset_weights, null_distribution
from pytest_kernelbench.selection import RANKINGS, Sees
from pytest_kernelbench.strategy import SelectionSettings

TOPS = (1, 3)
OUTCOMES = ("verified", "raw", "log_speedup")  # what a choice gives, as the tests compare it
ORACLE, ORACLE_VERIFIED = "oracle", "oracle-verified"
NOTHING_CORRECT = (0.0, 0.0, 1.0, 0.0)  # verified, raw, speed-up and its logarithm: the user stays with the reference
NOT_KNOWN = (nan, nan, nan, nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one way to select reaches on each unit, in expectation where it draws at random; NaN where not known."""

    settings: SelectionSettings
    of: str
    fast_U: Mapping[str, Floats]
    speedup_U: Floats
    log_speedup_U: Floats

    def outcome_U(self, outcome: str) -> Floats:
        """(U,): an outcome that ``OUTCOMES`` names."""
        return self.log_speedup_U if outcome == "log_speedup" else self.fast_U[outcome]


def settings_by_name(*, of: Sequence[str]) -> dict[str, tuple[str, SelectionSettings]]:
    """The rankings by verdicts and log-probabilities, top 1 and top 3: mean and sum ``of`` what has log-probabilities.

    ``oracle`` takes the fastest by its estimate, ``oracle-verified`` the fastest of those that are verified fast. Names
    with ``-draws`` rank candidates and not programs, as the paper did.
    """
    found = {ORACLE: (ANSWER, SelectionSettings()), ORACLE_VERIFIED: (ANSWER, SelectionSettings())}
    for by, ranking in RANKINGS.items():
        if ranking.sees not in (Sees.VERDICTS, Sees.LOGPROBS):
            continue  # an oracle has a name of its own; sources and forecasts are not read here
        scored = ranking.sees is Sees.LOGPROBS
        for part, score, top in product(of if scored else (ANSWER,), SCORES if scored else SCORES[:1], TOPS):
            words = [by, part != ANSWER and part, score != "mean" and score, top > 1 and f"top{top}"]
            found["-".join(filter(None, words))] = (part, SelectionSettings(by=by, top=top, logprob=score))
        for top in TOPS if ANSWER in of or not scored else ():
            name = f"{by}-draws" + (f"-top{top}" if top > 1 else "")
            found[name] = (ANSWER, SelectionSettings(by=by, top=top, distinct=False))
    return found


@lru_cache(maxsize=4)
def replays(group: SampleGroup) -> Mapping[str, Replay]:
    """Every selector on every unit of ``group``."""
    of = [part for part in (ANSWER, CODE, ALL, TEMPERED) if group.ranked(part)]
    if not any(
        sample.completion and sample.completion.reasoning for each in group.units for sample in each.results.samples
    ):
        of = [part for part in of if part != ALL]  # without reasoning all tokens are the answer's
    return {name: _replay(group, name, *each) for name, each in settings_by_name(of=of).items()}


def _replay(group: SampleGroup, name: str, of: str, settings: SelectionSettings) -> Replay:
    values = [_on_unit(unit, name, of, settings) for unit in group.units]
    columns = numpy.array(values, dtype=float).reshape(len(group.units), 4)
    return Replay(
        settings=settings,
        of=of,
        fast_U={"verified": columns[:, 0], "raw": columns[:, 1]},
        speedup_U=columns[:, 2],
        log_speedup_U=columns[:, 3],
    )


def _on_unit(unit: UnitSamples, name: str, of: str, settings: SelectionSettings) -> tuple[float, float, float, float]:
    """Verified, raw, speed-up and its logarithm of the choice on one unit; NaN where it lacks what the choice needs."""
    scored = RANKINGS[settings.by].sees is Sees.LOGPROBS
    if not unit.is_timed or (scored and not unit.is_ranked(of, settings.logprob)):
        return NOT_KNOWN
    if not unit.programs.c:
        return NOTHING_CORRECT if not numpy.isnan(unit.fast_N["verified"]).any() else (nan, *NOTHING_CORRECT[1:])
    if not settings.distinct:
        return _of_draws(unit, of, settings)
    if settings.by == "random":
        return _at_random(unit, numpy.ones(unit.programs.c, dtype=int), settings.top)
    return _values(unit, choice(unit, name, of, settings))


def choice(unit: UnitSamples, name: str, of: str, settings: SelectionSettings) -> int:
    """The place, among the programs, of the one that a selector takes: as ``selection.select`` does."""
    programs = unit.programs
    fastest_first = programs.fastest_first()
    if name == ORACLE_VERIFIED:
        verified = [place for place in fastest_first if programs.fast_C["verified"][place] == 1]
        return int((verified or fastest_first)[0])
    if name == ORACLE:
        return int(fastest_first[0])
    ranked = programs.ranked(of, settings.logprob, surprising_first=settings.by == "surprisal")
    return _fastest_of(programs.speedup_C, ranked[: settings.top], programs.first_C)


def _fastest_of(speedup_X: Floats, looked_at: Places, index_X: Places) -> int:
    return int(min(looked_at, key=lambda place: (-speedup_X[place], index_X[place])))


def _values(unit: UnitSamples, place: int) -> tuple[float, float, float, float]:
    programs = unit.programs
    speedup = float(programs.speedup_C[place])
    fast = (float(programs.fast_C[reading][place]) for reading in ("verified", "raw"))
    verified, raw = fast
    return verified, raw, speedup, float(numpy.log(speedup))


def _of_draws(unit: UnitSamples, of: str, settings: SelectionSettings) -> tuple[float, float, float, float]:
    """As ``_on_unit``, but a ranking of correct candidates, of which several may have the same program."""
    if settings.by == "random":
        return _at_random(unit, unit.programs.count_C, settings.top)
    places = numpy.flatnonzero(unit.correct_N)
    keys = unit.logprob_N[of][settings.logprob][places]
    if numpy.isnan(keys).any():
        return NOT_KNOWN
    order = numpy.argsort(keys if settings.by == "surprisal" else -keys, kind="stable")
    place = _fastest_of(unit.speedup_N, places[order][: settings.top], numpy.arange(unit.n))
    speedup = float(unit.speedup_N[place])
    verified, raw = (float(unit.fast_N[reading][place]) for reading in ("verified", "raw"))
    return verified, raw, speedup, float(numpy.log(speedup))


def _at_random(unit: UnitSamples, weight_C: Places, top: int) -> tuple[float, float, float, float]:
    """Exact expectation of the fastest of ``top`` taken at random, of programs that count ``weight_C`` times each.

    The fastest is chosen by its point estimate, and is then verified fast or not.
    """
    programs = unit.programs
    fastest_first = numpy.repeat(programs.fastest_first(), weight_C[programs.fastest_first()])
    c = len(fastest_first)
    weights = first_of_subset_weights(c)[:, min(top, c) - 1]
    speedups = programs.speedup_C[fastest_first]
    return (
        float(weights @ programs.fast_C["verified"][fastest_first]),
        float(weights @ programs.fast_C["raw"][fastest_first]),
        float(weights @ speedups),
        float(weights @ numpy.log(speedups)),
    )


@lru_cache(maxsize=8)
def task_programs(group: SampleGroup, of: str, score: str, outcome: str) -> tuple[TaskPrograms, ...]:
    """The correct programs of each task that the log-probability ranks, with what choosing one gives."""
    units = [unit for unit in group.units if unit.is_timed and unit.is_ranked(of, score)]
    return tuple(
        _of_task([units[place] for place in places], outcome)
        for places in places_by_task([unit.results.task for unit in units]).values()
    )


def _of_task(units: Sequence[UnitSamples], outcome: str) -> TaskPrograms:
    names: dict[object, int] = {}
    found = []
    for seed, unit in enumerate(units):
        programs = unit.programs
        value_C = numpy.log(programs.speedup_C) if outcome == "log_speedup" else programs.fast_C[outcome]
        for place, source in enumerate(programs.source_C):
            name = (seed, int(programs.first_C[place])) if source is None else source
            found.append((seed, names.setdefault(name, len(names)), value_C[place], programs.speedup_C[place]))
    value_SP, speed_SP = (numpy.full((len(units), len(names)), nan) for _ in range(2))
    for seed, column, value, speed in found:
        value_SP[seed, column], speed_SP[seed, column] = value, speed
    return TaskPrograms(value_SP=value_SP, speed_SP=speed_SP)


@lru_cache(maxsize=64)
def null_of(group: SampleGroup, of: str, score: str, outcome: str, top: int, *, against_last: bool) -> NullDistribution:
    """The distribution of an outcome's mean over tasks if the programs of a task are ordered at random."""
    return null_distribution(
        task_programs(group, of, score, outcome), top, seed=group.results.seed, against_last=against_last
    )
