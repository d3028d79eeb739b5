"""An item's kernel beside its baseline: its times for pytest-benchmark, and whether it was lost or became slower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.records import Judged, Outcome, Selection, sha256_of

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.clock.gates import Comparison
    from pytest_kernelbench.pipeline import ItemOutcome
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
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """What the kernels of a session are compared with: ``saved`` by item id; empty where no gate was asked for.

    A kernel may take ``max_slowdown`` times as long as its baseline; None where no gate limits that.
    """

    saved: Mapping[str, Baseline] = field(default_factory=dict)
    max_slowdown: float | None = None

    def of(self, task: str, strategy: str) -> Baseline | None:
        """The baseline of the kernel that ``strategy`` chooses for ``task``."""
        return self.saved.get(id_of(task, strategy))

    def tasks(self, strategy: str) -> list[str]:
        """Tasks that must have a kernel under ``strategy``, because a gate compares with it."""
        named = ((name, each.task) for name, each in self.saved.items() if each.task is not None)
        return [task for name, task in named if name == id_of(task, strategy)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """An item's outcome beside its baseline.

    ``entry`` is for pytest-benchmark, builtin values only; ``failure`` is the line with which the item fails. Either is
    None where there is none.
    """

    outcome: ItemOutcome
    entry: dict[str, Any] | None = None
    failure: str | None = None

    @property
    def selection(self) -> Selection:
        """What the strategy chose."""
        return self.outcome.selection


def id_of(task: str, strategy: str) -> str:
    """``level1/19_ReLU[pinned]``: the same wherever the files lie and however many workers there are."""
    return f"{task}[{strategy}]"


def result_of(outcome: ItemOutcome, baselines: Baselines, bench: Workbench, *, kept: Path | None = None) -> ItemResult:
    """``outcome`` beside the baseline of its kernel. ``kept`` is the file of a pinned kernel.

    A kernel that is in the baseline and was not chosen now is lost, and so is any under ``[gate] solved = 1``.
    """
    name = id_of(outcome.task.id, outcome.strategy.name)
    baseline, limit = baselines.of(outcome.task.id, outcome.strategy.name), baselines.max_slowdown
    if outcome.selection.index is None:
        if baseline is None and outcome.strategy.gate.get("solved", 0.0) < 1:
            return ItemResult(outcome=outcome)
        lost = f" (it is in {baseline.file})" if baseline else ""
        return ItemResult(outcome=outcome, failure=f"{name}: {why_unsolved(outcome.group, kept)}{lost}")
    entry = entry_of(outcome)
    if entry is None or outcome.source is None or baseline is None or baseline.source is None or limit is None:
        return ItemResult(outcome=outcome, entry=entry)
    if outcome.source == baseline.source:
        return ItemResult(outcome=outcome, entry={**entry, "compared": SAME_TEXT})
    comparison = compare(outcome, baseline.source, limit, bench)
    if comparison.verdict is None:
        why = f"the {comparison.failed} fails beside the other: {comparison.detail}"
        return ItemResult(outcome=outcome, entry={**entry, "not_compared": why})
    said = shown(comparison)
    over = f"{name}: {said}, over the limit of {limit:g}x ({baseline.file})"
    return ItemResult(outcome=outcome, entry={**entry, "compared": said}, failure=over if comparison.slower else None)


def entry_of(outcome: ItemOutcome) -> dict[str, Any] | None:
    """The chosen kernel's single calls of the second timing; None where they were not recorded."""
    again, selection = outcome.confirmation, outcome.selection
    if again is None or not again.candidate_times_ms:
        return None
    name = id_of(outcome.task.id, outcome.strategy.name)
    return {
        "name": name,
        "fullname": name,
        "group": None,
        "params": {"task": outcome.task.id, "strategy": outcome.strategy.name},
        "times_ms": list(again.candidate_times_ms),
        "extra_info": {
            "index": selection.index,
            "candidate_ms": again.candidate_ms,
            "reference_ms": again.reference_ms,
            "speedup": selection.confirmed_speedup,
            "speedup_low": selection.confirmed_low,
            "speedup_high": selection.confirmed_high,
            "source": outcome.source,
            "device": outcome.device,
        },
    }


def why_unsolved(group: Sequence[Judged], kept: Path | None = None) -> str:
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


def compare(outcome: ItemOutcome, baseline_source: str, max_slowdown: float, bench: Workbench) -> Comparison:
    """Both kernels in turns, recorded; what the run has recorded already is not timed again."""
    from pytest_kernelbench.evaluation.clock.gates import Comparison

    task, strategy, source = outcome.task, outcome.strategy, outcome.source
    assert source is not None
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
