"""A strategy's spending on its candidates: answers, tokens and seconds, over all tasks together.

Of some tasks a part may not be known, because one answer has no count of tokens or no time. Such a task is taken to
have cost as much as the others did on average: one missing number does not take away what the others say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isnan, nan
from typing import Any, NamedTuple

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.metrics import Sample

Json = dict[str, Any]


class Spent(NamedTuple):
    """On all tasks together; NaN where it is known of no task. ``units``: of how many collected ones each is known."""

    rollouts: float
    generated_tokens: float
    teacher_tokens: float
    update_tokens: float
    prompt_tokens: float
    sampling_seconds: float
    evaluation_seconds: float
    adaptation_seconds: float
    units: Mapping[str, int]

    @property
    def tokens(self) -> float:
        return self.generated_tokens + self.teacher_tokens + self.update_tokens

    @property
    def seconds(self) -> float:
        return self.sampling_seconds + self.evaluation_seconds + self.adaptation_seconds


PARTS = tuple(name for name in Spent._fields if name != "units")


def spent_on(
    drawn: Mapping[str, Sequence[Sample]],
    updates: Iterable[AdaptationStep],
    *,
    collected: Collection[str],
    asked: Mapping[str, Mapping[str, Any]] | None = None,
) -> Spent:
    """``drawn`` by unit, of which those in ``collected`` count in ``units``; the others were only trained on.

    ``asked``, by unit, is the cost of a choice: what the policy read and said where it was asked which candidate is the
    fastest is among the generated tokens and the seconds of sampling.
    """
    made = [step.update for step in updates if step.update]
    forecasts = {unit: cost for unit, cost in (asked or {}).items() if "forecast_tokens" in cost}

    def of_samples(value: Callable[[Sample], float | None]) -> dict[str, float]:
        return {unit: _sum(map(value, samples)) for unit, samples in drawn.items()}

    def with_forecasts(spent: Mapping[str, float], key: str) -> dict[str, float]:
        return {unit: value + _sum([forecasts.get(unit, {key: 0})[key]]) for unit, value in spent.items()}

    generated = with_forecasts(of_samples(lambda each: each.completion and each.completion.n_tokens), "forecast_tokens")
    prompts = of_samples(lambda each: each.completion and each.completion.prompt_tokens)
    sampling = with_forecasts(of_samples(lambda each: each.completion and each.completion.seconds), "forecast_seconds")
    evaluating = {unit: _evaluation_seconds(samples) for unit, samples in drawn.items()}

    def known(*parts: Mapping[str, float]) -> int:
        """The number of collected units whose ``parts`` are known. A unit without candidates has cost nothing."""
        return sum(not any(isnan(part.get(unit, 0.0)) for part in parts) for unit in collected)

    return Spent(
        rollouts=float(sum(map(len, drawn.values()))),
        generated_tokens=_total(generated, collected),
        teacher_tokens=_sum(update.get("teacher_tokens", 0) for update in made),
        update_tokens=_sum(update.get("update_tokens") for update in made),
        prompt_tokens=_total(prompts, collected),
        sampling_seconds=_total(sampling, collected),
        evaluation_seconds=_total(evaluating, collected),
        adaptation_seconds=_sum(update.get("seconds") for update in made),
        units={"tokens": known(generated), "prompt_tokens": known(prompts), "seconds": known(sampling, evaluating)},
    )


def _total(spent: Mapping[str, float], collected: Collection[str]) -> float:
    """Over the units that were collected, and over those only trained on, which may differ in kind; NaN where none of
    a kind is known."""
    total = 0.0
    for of_kind in (True, False):
        values = [value for unit, value in spent.items() if (unit in collected) == of_kind]
        known = [value for value in values if not isnan(value)]
        if values:
            total += sum(known) / len(known) * len(values) if known else nan
    return total


def _sum(values: Iterable[float | None]) -> float:
    """The sum, NaN if one of the values is None."""
    return float(sum(nan if value is None else value for value in values))


def _evaluation_seconds(samples: Sequence[Sample]) -> float:
    """Seconds of evaluating the distinct sources; NaN if one of them has no time."""
    evaluations = [sample.evaluation for sample in samples if sample.evaluation is not None]
    by_source = {each.source_sha256: each.seconds for each in evaluations if each.source_sha256 is not None}
    return _sum(seconds.get("total") for seconds in by_source.values())
