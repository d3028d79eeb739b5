"""An item's kernel beside its baseline: its times for pytest-benchmark, and whether it was lost or became slower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.pinned.gates import Gated, GateOptions, Kept, gate
from pytest_kernelbench.records import Judged, Outcome, Selection

if TYPE_CHECKING:
    from pytest_kernelbench.pipeline import ItemOutcome
    from pytest_kernelbench.workbench import Workbench

SAME_TEXT = "the same text as its baseline"
# Name of a candidate's file where it runs, and so in its error messages.
NAME_IN_WORKER = "candidate.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The entry of one kernel in a saved file: ``stats`` in seconds, as pytest-benchmark writes them."""

    file: str
    stats: Mapping[str, float]
    source: str | None
    device: str | None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """The baselines of a session's kernels: ``saved`` by item id; empty without a gate.

    A kernel may take ``max_slowdown`` times as long as its baseline; None: no limit.
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

    ``entry`` is for pytest-benchmark, builtin values only; ``failure`` is the line with which the item fails;
    ``gated``: the kernel's results at the sizes of its gate. Each field is None if there is none.
    """

    outcome: ItemOutcome
    entry: dict[str, Any] | None = None
    failure: str | None = None
    gated: Gated | None = None

    @property
    def selection(self) -> Selection:
        """The strategy's choice."""
        return self.outcome.selection


def id_of(task: str, strategy: str) -> str:
    """``level1/19_ReLU[pinned]``: the same wherever the files lie and however many workers there are."""
    return f"{task}[{strategy}]"


def result_of(
    outcome: ItemOutcome, baselines: Baselines, bench: Workbench, *, gates: GateOptions, kept: Path | None = None
) -> ItemResult:
    """``outcome`` beside the baseline of its kernel. ``kept`` is the file of a pinned kernel.

    A pinned kernel is gated at all sizes of its task, any other at the run's own. A kernel that is in the baseline and
    was not chosen now is lost, and so is any under ``[gate] solved = 1``.
    """
    name = id_of(outcome.task.id, outcome.strategy.name)
    baseline, limit = baselines.of(outcome.task.id, outcome.strategy.name), baselines.max_slowdown
    if outcome.selection.index is None:
        if baseline is None and outcome.strategy.gate.get("solved", 0.0) < 1:
            return ItemResult(outcome=outcome)
        lost = f" (it is in {baseline.file})" if baseline else ""
        return ItemResult(outcome=outcome, failure=f"{name}: {why_unsolved(outcome.group, kept)}{lost}")
    entry = entry_of(outcome)
    if outcome.source is None:
        return ItemResult(outcome=outcome, entry=entry)
    asked = Kept(
        task=outcome.task,
        strategy=outcome.strategy,
        source=outcome.source,
        baseline=baseline.source if baseline and entry and limit else None,
        max_slowdown=limit or 1.0,
    )
    gated = gate(asked, gates, bench, further=kept is not None)
    failure = gated.failure(asked, gates, file=baseline.file if baseline else "")
    return ItemResult(
        outcome=outcome,
        entry=entry and {**entry, **_compared(asked, gated)},
        failure=failure and f"{name}: {failure}",
        gated=gated,
    )


def _compared(asked: Kept, gated: Gated) -> dict[str, str]:
    """The comparison in an entry; empty if seconds are to be compared."""
    if asked.baseline is None:
        return {}
    if asked.baseline == asked.source:
        return {"compared": SAME_TEXT}
    own = gated.at[0]
    if not gated.compared:
        return {"not_compared": own.shown()}
    return {"compared": own.shown() if len(gated.at) == 1 else f"{len(gated.at)} sizes, {gated.verdict}"}


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
        # One candidate alone is chosen without a second timing, unless the strategy cannot rank it.
        return "correct, and not chosen: its answer has no number that the strategy ranks by"
    if kept is not None and evaluation.outcome is Outcome.NO_SOURCE:
        return f"{kept} has no class ModelNew"
    said = f"{evaluation.outcome.value}: {evaluation.detail}"
    return said if kept is None else said.replace(NAME_IN_WORKER, str(kept))
