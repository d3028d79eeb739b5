"""What an item comes to: the kernel chosen, its times, and whether it falls behind what it was in a saved run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.ledger import read_run
from pytest_kernelbench.records import Evaluation, Judged, Outcome, Selection, Task, sha256_of
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.clock.gates import Comparison
    from pytest_kernelbench.workbench import Workbench

SAME_TEXT = "the same text as its baseline"
# What a candidate's file is called where it runs, and so in what it complains of.
NAME_IN_WORKER = "candidate.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a saved file says of one kernel: ``stats`` in seconds, as pytest-benchmark writes them."""

    file: str
    stats: Mapping[str, float]
    source: str | None
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """``entry`` is for pytest-benchmark, builtin values only; ``failure`` is the line with which the item fails.

    Either is None where there is none.
    """

    selection: Selection
    entry: dict[str, Any] | None = None
    failure: str | None = None


def id_of(task: str, strategy: str) -> str:
    """``level1/19_ReLU[pinned]``: the same wherever the files lie and however many workers there are."""
    return f"{task}[{strategy}]"


def result_of(
    task: Task,
    strategy: Strategy,
    selection: Selection,
    bench: Workbench,
    *,
    baseline: Baseline | None = None,
    max_slowdown: float | None = None,
    kept: Path | None = None,
) -> ItemResult:
    """``selection`` beside its ``baseline``, which it may exceed in time by a factor of ``max_slowdown``.

    ``kept`` is the file of a pinned kernel.

    A kernel that is in the baseline and was not chosen now is lost, and so is any under ``[gate] solved = 1``.
    """
    name = id_of(task.id, strategy.name)
    from pytest_kernelbench.pipeline import pool

    group = pool(task, strategy, bench)
    if selection.index is None:
        if baseline is None and strategy.gate.get("solved", 0.0) < 1:
            return ItemResult(selection=selection)
        lost = f" (it is in {baseline.file})" if baseline else ""
        return ItemResult(selection=selection, failure=f"{name}: {why_unsolved(group, kept)}{lost}")
    source = next((each.candidate.source for each in group if each.candidate.index == selection.index), None)
    entry = entry_of(task, strategy, selection, source, bench)
    if entry is None or source is None or baseline is None or baseline.source is None or max_slowdown is None:
        return ItemResult(selection=selection, entry=entry)
    if source == baseline.source:
        return ItemResult(selection=selection, entry={**entry, "compared": SAME_TEXT})
    comparison = compare(task, strategy, source, baseline.source, max_slowdown, bench)
    if comparison.verdict is None:
        why = f"the {comparison.failed} fails beside the other: {comparison.detail}"
        return ItemResult(selection=selection, entry={**entry, "not_compared": why})
    said = shown(comparison)
    over = f"{name}: {said}, over the limit of {max_slowdown:g}x ({baseline.file})"
    return ItemResult(
        selection=selection, entry={**entry, "compared": said}, failure=over if comparison.slower else None
    )


def entry_of(
    task: Task, strategy: Strategy, selection: Selection, source: str | None, bench: Workbench
) -> dict[str, Any] | None:
    """The chosen kernel's single calls of the second timing; None where they were not recorded."""
    again = _confirmation(task, strategy, selection, source, bench)
    if again is None or not again.candidate_times_ms:
        return None
    name = id_of(task.id, strategy.name)
    return {
        "name": name,
        "fullname": name,
        "group": None,
        "params": {"task": task.id, "strategy": strategy.name},
        "times_ms": list(again.candidate_times_ms),
        "extra_info": {
            "index": selection.index,
            "candidate_ms": again.candidate_ms,
            "reference_ms": again.reference_ms,
            "speedup": selection.confirmed_speedup,
            "speedup_low": selection.confirmed_low,
            "speedup_high": selection.confirmed_high,
            "source": source,
            "device": (read_run(bench.ledger.folder) or {}).get("device"),
        },
    }


def _confirmation(
    task: Task, strategy: Strategy, selection: Selection, source: str | None, bench: Workbench
) -> Evaluation | None:
    confirmations = bench.ledger.evaluations(task.id, strategy, "confirmations")
    if source is not None:
        return confirmations.get(sha256_of(source))
    speedup = selection.confirmed_speedup
    return next((each for each in confirmations.values() if each.counted_speedup == speedup), None)


def why_unsolved(group: list[Judged], kept: Path | None = None) -> str:
    """``incorrect: signed inputs: ...`` of a single candidate, which may be the file ``kept``; counts of more."""
    if not group:
        return "there is no candidate"
    if len(group) > 1:
        return f"none of {len(group)} candidates was chosen, {sum(each.evaluation.correct for each in group)} correct"
    evaluation = group[0].evaluation
    if evaluation.correct:
        return "correct at first, and not when it was timed again"
    if kept is not None and evaluation.outcome is Outcome.NO_SOURCE:
        return f"{kept} has no class ModelNew"
    said = f"{evaluation.outcome.value}: {evaluation.detail}"
    return said if kept is None else said.replace(NAME_IN_WORKER, str(kept))


def compare(
    task: Task, strategy: Strategy, source: str, baseline_source: str, max_slowdown: float, bench: Workbench
) -> Comparison:
    """Both kernels in turns, recorded; what the run has recorded already is not timed again."""
    from pytest_kernelbench.evaluation.clock.gates import Comparison

    hashes = {
        "source_sha256": sha256_of(source),
        "baseline_sha256": sha256_of(baseline_source),
        "evaluation_sha256": strategy.evaluation_sha256,
        "max_slowdown": f"{max_slowdown:g}",
    }
    recorded = bench.ledger.comparison(task.id, hashes)
    # A run of an earlier version was measured by another procedure.
    if recorded is not None and "verdict" in recorded:
        return Comparison.from_json(recorded)
    bench.say(f"{task.short_id}: in turns with its baseline")
    comparison = bench.evaluator_for(strategy).compare(task, source, baseline_source, max_slowdown=max_slowdown)
    bench.ledger.add_comparison(task.id, hashes, comparison.to_json())
    return comparison


def shown(comparison: Comparison) -> str:
    """``1.102x the time of its baseline [1.094, 1.110]``, and whether that is undecided."""
    undecided = f", undecided ({comparison.detail})" if comparison.verdict == "undecided" else ""
    if comparison.slowdown is None:
        return f"beside its baseline{undecided}"
    high = "unbounded" if comparison.high is None else f"{comparison.high:.3f}"
    return f"{comparison.slowdown:.3f}x the time of its baseline [{comparison.low:.3f}, {high}]{undecided}"
