"""Each set of candidates: counts drawn and judged, outcomes, and the scaling curve in short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kernelbench.records import Outcome
from pytest_kernelbench.report.metrics import Sample, StrategyResults, TaskResults, mean, void_counts
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.report.stats import any_success, coin_flip_success


def sharing(results_by_strategy: Mapping[StrategyOfRun, StrategyResults]) -> list[list[StrategyOfRun]]:
    groups: dict[tuple[Any, ...], list[StrategyOfRun]] = {}
    for strategy, results in results_by_strategy.items():
        drawn_from = (strategy.sampling_sha256, strategy.evaluation_sha256, strategy.adaptation_sha256, strategy.k)
        key = (*drawn_from, results.indices if strategy.adaptation or strategy.stops else None)
        groups.setdefault(key, []).append(strategy)
    return list(groups.values())


def samples_of(
    group: Sequence[StrategyOfRun], results_by_strategy: dict[StrategyOfRun, StrategyResults], records: RunRecords
) -> dict[str, Any]:
    results = results_by_strategy[group[0]]
    # Rollouts of different weights, and answers after verdicts, are no draws from one distribution: K-subsets of them
    # mean nothing.
    adapted = group[0].adaptation_sha256 is not None
    return {
        "strategies": [strategy.name for strategy in group],
        "k": max((len(task.evaluations) for task in results.tasks), default=0),
        "k_least": min((len(task.evaluations) for task in results.tasks if task.evaluations), default=0),
        "k_asked": None if adapted else results.k,
        "units": len(results.tasks),
        "units_judged": sum(bool(task.evaluations) for task in results.tasks),
        "drawn": sum(len(task.samples) for task in results.tasks),
        "judged": sum(len(task.evaluations) for task in results.tasks),
        **_counts(results),
        "outcomes": _outcomes(results),
        "void": void_counts(results),
        "no_source": _no_source(results),
        "cut_off": _cut_off(results),
        "only_trained_on": _only_trained_on(group[0], records) if adapted else None,
        "any_of_k": [] if adapted or group[0].reads_verdicts else _any_of_k(results),
        "tasks": {task.unit: _samples_of_task(task, results.margin, results.is_verifiable) for task in results.tasks},
    }


def _counts(results: StrategyResults) -> dict[str, int]:
    """Counts of judged candidates: correct, with a speed-up, with a log-probability, and distinct programs."""
    correct = [(task.unit, each) for task in results.tasks for each in task.samples if _is_correct(each)]
    evaluations = [(unit, each.evaluation) for unit, each in correct if each.evaluation is not None]
    scored = [each.completion for _, each in correct if each.completion is not None]
    return {
        "correct": len(correct),
        "timed": sum(each.counted_speedup is not None for _, each in evaluations),
        "ranked": sum(each.score("answer", "mean") is not None for each in scored),
        "programs": len({(unit, each.source_sha256) for unit, each in evaluations}),
    }


def _is_correct(sample: Sample) -> bool:
    return sample.evaluation is not None and sample.evaluation.correct


def _only_trained_on(strategy: StrategyOfRun, records: RunRecords) -> dict[str, Any]:
    """Candidates drawn for training on units that were not collected; they are in no other count."""
    drawn = {name: each for name, each in records.drawn(strategy).items() if name not in records.tasks}
    samples = [sample for each in drawn.values() for sample in each]
    return {
        "units": list(drawn),
        "drawn": len(samples),
        "judged": sum(sample.evaluation is not None for sample in samples),
    }


def _samples_of_task(task: TaskResults, margin: float, verified: bool) -> dict[str, Any]:
    alone = StrategyResults(strategy="", k=0, tasks=(task,))
    return {
        "drawn": len(task.samples),
        "judged": len(task.evaluations),
        "outcomes": {name: n for name, n in _outcomes(alone).items() if n},
        "void": void_counts(alone),
        "fast_1": task.n_fast(1.0, margin, verified=True) if verified else None,
        "fast_1_raw": task.n_fast(1.0, margin, verified=False),
    }


def _outcomes(results: StrategyResults) -> dict[str, int]:
    outcomes = [each.outcome for task in results.tasks for each in task.evaluations]
    return {outcome.value: outcomes.count(outcome) for outcome in Outcome}


def _no_source(results: StrategyResults) -> dict[str, int]:
    """Why answers hold no candidate, the most frequent reason first."""
    reasons = Counter(
        each.detail.removeprefix("the answer ")
        for task in results.tasks
        for each in task.evaluations
        if each.outcome is Outcome.NO_SOURCE
    )
    return dict(reasons.most_common())


def _cut_off(results: StrategyResults) -> dict[str, int | None]:
    """How many answers ran out of tokens, and at how many at most."""
    found = [s.completion for task in results.tasks for s in task.samples if s.completion and s.completion.cut_off]
    return {"n": len(found), "at": max((each.n_tokens for each in found if each.n_tokens), default=None)}


def _any_of_k(results: StrategyResults) -> list[dict[str, Any]]:
    """The scaling curve, exact over subsets, at powers of two up to the fewest candidates that a task has.

    Of the candidates that were judged; tasks without any say nothing.
    """
    judged = [task for task in results.tasks if task.evaluations]
    largest = min((len(task.evaluations) for task in judged), default=0)
    sizes = [1 << power for power in range(largest.bit_length())]

    def success(k: int, verified: bool) -> float | None:
        if verified and not results.is_verifiable:
            return None
        counts = [(len(task.evaluations), task.n_fast(1.0, results.margin, verified=verified)) for task in judged]
        return mean(any_success(n, f, k) for n, f in counts)

    return [
        {
            "k": k,
            "fast_1": success(k, True),
            "fast_1_raw": success(k, False),
            "coin_flip": coin_flip_success(k),
        }
        for k in sizes
    ]
