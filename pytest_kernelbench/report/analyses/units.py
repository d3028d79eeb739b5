"""A unit's candidates and its distinct programs as arrays; NaN where something is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.records import Completion
from pytest_kernelbench.report.metrics import TaskResults, verifiable

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
Places = NDArray[numpy.int64]

READINGS = ("verified", "raw")
SCORES = ("mean", "sum")
# Whose log-probability: the answer's without the reasoning before it, its code's alone, all tokens', or all tokens' at
# the temperature sampled at.
ANSWER, CODE, ALL, TEMPERED = "answer", "code", "all", "tempered"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Programs:
    """The distinct correct programs of a unit in the order in which they were first drawn.

    ``first_C`` is the place among the candidates of its first answer, whose index names it, and ``count_C`` how many
    answers have it. Its score is that of the first of its answers that has one: it does not change when more are drawn,
    as the highest or the mean of all would, and so does not depend on how often the program was drawn.
    """

    first_C: Places
    count_C: Places
    speedup_C: Floats
    fast_C: Mapping[str, Floats]
    logprob_C: Mapping[str, Mapping[str, Floats]]
    source_C: tuple[str | None, ...]

    @property
    def c(self) -> int:
        return len(self.first_C)

    def ranked(self, of: str, score: str, *, surprising_first: bool) -> Places:
        """Their places by log-probability, equal ones by the first answer. Needs the log-probability of all."""
        keys = self.logprob_C[of][score] * (1 if surprising_first else -1)
        return numpy.argsort(keys, kind="stable")

    def fastest_first(self) -> Places:
        return numpy.argsort(-self.speedup_C, kind="stable")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitSamples:
    """The candidates of one unit that were judged, in the order of their indices.

    ``fast_N`` holds both readings of fast_1, 1 or 0; the verified one is NaN throughout where the run's protocol gives
    no intervals. ``logprob_N`` is by whose tokens and by score, in nats.
    """

    results: TaskResults
    correct_N: Bools
    fast_N: Mapping[str, Floats]
    speedup_N: Floats
    tokens_N: Floats
    logprob_N: Mapping[str, Mapping[str, Floats]]
    source_N: tuple[str | None, ...]
    programs: Programs

    @property
    def n(self) -> int:
        return len(self.correct_N)

    @property
    def is_timed(self) -> bool:
        """Whether each correct program has a speed-up."""
        return self.n > 0 and not numpy.isnan(self.programs.speedup_C).any()

    def is_ranked(self, of: str = ANSWER, score: str = "mean") -> bool:
        """Whether each correct program has a log-probability ``of`` these tokens."""
        return self.n > 0 and not numpy.isnan(self.programs.logprob_C[of][score]).any()


def unit_samples(task: TaskResults, margin: float, *, verified: bool | None = None) -> UnitSamples:
    """``verified``: whether the run's protocol gives intervals; None: what these candidates say."""
    judged = [(each, each.evaluation) for each in task.samples if each.evaluation is not None]
    evaluations = [evaluation for _, evaluation in judged]
    completions = [sample.completion for sample, _ in judged]
    if verified is None:
        verified = verifiable(evaluations)
    fast_N = {
        "verified": _floats([each.fast(1.0, margin) if verified else nan for each in evaluations]),
        "raw": _floats([each.fast_raw(1.0) for each in evaluations]),
    }
    speedup_N = _floats([each.counted_speedup if each.correct else None for each in evaluations])
    correct_N = numpy.array([each.correct for each in evaluations], dtype=bool)
    found = {
        of: [(nan, nan) if each is None else scores(each) for each in completions] for of, scores in SCORED.items()
    }
    logprob_N = {
        of: {score: _floats([each[i] for each in rows]) for i, score in enumerate(SCORES)} for of, rows in found.items()
    }
    source_N = tuple(each.source_sha256 for each in evaluations)
    return UnitSamples(
        results=task,
        correct_N=correct_N,
        fast_N=fast_N,
        speedup_N=speedup_N,
        tokens_N=_floats([None if each is None else each.n_tokens for each in completions]),
        logprob_N=logprob_N,
        source_N=source_N,
        programs=_programs(correct_N, source_N, speedup_N, fast_N, logprob_N),
    )


def places_of_programs(source_N: tuple[str | None, ...]) -> list[list[int]]:
    """The places of each distinct source in the order of the first; a candidate of unknown source is its own
    program.
    """
    found: dict[object, list[int]] = {}
    for place, source in enumerate(source_N):
        found.setdefault(place if source is None else source, []).append(place)
    return list(found.values())


def _programs(
    correct_N: Bools,
    source_N: tuple[str | None, ...],
    speedup_N: Floats,
    fast_N: Mapping[str, Floats],
    logprob_N: Mapping[str, Mapping[str, Floats]],
) -> Programs:
    places = [each for each in places_of_programs(source_N) if correct_N[each[0]]]
    first_C = numpy.array([each[0] for each in places], dtype=numpy.int64)
    return Programs(
        first_C=first_C,
        count_C=numpy.array([len(each) for each in places], dtype=numpy.int64),
        speedup_C=speedup_N[first_C],
        fast_C={reading: values_N[first_C] for reading, values_N in fast_N.items()},
        logprob_C={
            of: {
                score: _floats([_first_known(values_N[each]) for each in places]) for score, values_N in scores.items()
            }
            for of, scores in logprob_N.items()
        },
        source_C=tuple(source_N[place] for place in first_C),
    )


def _first_known(values: Floats) -> float:
    known = values[~numpy.isnan(values)]
    return float(known[0]) if len(known) else nan


def _floats(values: list[float | None] | list[float] | list[bool]) -> Floats:
    return numpy.array([nan if each is None else each for each in values], dtype=float)


def _of_span(completion: Completion, *, span: str) -> tuple[float, float]:
    """Mean and sum of the log-probabilities; NaN where not known."""
    mean, total = (completion.score(span, kind) for kind in SCORES)
    return nan if mean is None else mean, nan if total is None else total


def _of_tempered(completion: Completion) -> tuple[float, float]:
    """Mean and sum of log-probabilities of all tokens in the distribution they were drawn from; NaN if not known."""
    found = completion.sampling_logprobs
    return (sum(found) / len(found), sum(found)) if found else (nan, nan)


SCORED: dict[str, Callable[[Completion], tuple[float, float]]] = {
    **{span: partial(_of_span, span=span) for span in (ANSWER, CODE, ALL)},
    TEMPERED: _of_tempered,
}
