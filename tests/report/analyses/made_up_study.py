"""Studies from a few numbers: what each candidate's log-probability, length and speed-up were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_kernelbench.records import Completion, Evaluation, Outcome, Selection
from pytest_kernelbench.report.analyses import Study
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun

MARGIN = 0.01


class Drawn(NamedTuple):
    """``speedup`` is None for an incorrect candidate; ``half_width`` is of its interval, relatively."""

    speedup: float | None
    sum_logprob: float | None = -1.0
    n_tokens: int = 10
    source: str | None = None
    half_width: float = 0.001
    floor_ms: float | None = None


def evaluation_of(drawn: Drawn, source: str) -> Evaluation:
    if drawn.speedup is None:
        return Evaluation(source_sha256=source, outcome=Outcome.INCORRECT, seconds={"total": 1.0})
    return Evaluation(
        source_sha256=source,
        outcome=Outcome.CORRECT,
        speedup=drawn.speedup,
        speedup_low=drawn.speedup * (1 - drawn.half_width),
        speedup_high=drawn.speedup * (1 + drawn.half_width),
        reference_ms=1.0,
        candidate_ms=1 / drawn.speedup,
        floor_ms=drawn.floor_ms,
        seconds={"total": 2.0},
    )


def records_of(
    tasks: Mapping[str, Sequence[Drawn]],
    *,
    strategies: Sequence[str] = ("search",),
    selections: Mapping[tuple[str, str], Selection] | None = None,
    nulls: Sequence[float] | None = None,
    k: int = 64,
) -> RunRecords:
    """A run in which every strategy shares the candidates of ``tasks``."""
    completions, evaluations = {}, {}
    for task, group in tasks.items():
        for index, drawn in enumerate(group):
            completions["s", task, index] = Completion(
                task=task,
                index=index,
                text="",
                policy="made up",
                sum_logprob=drawn.sum_logprob,
                n_tokens=drawn.n_tokens,
                seconds=2.0,
            )
            evaluations["s", "e", task, index] = evaluation_of(drawn, drawn.source or f"{task} {index}")
    return RunRecords(
        options={"seed": 0, "margin": MARGIN},
        tasks=tuple(tasks),
        strategies=tuple(
            StrategyOfRun(name=name, k=k, margin=MARGIN, sampling_sha256="s", evaluation_sha256="e")
            for name in strategies
        ),
        completions=completions,
        evaluations=evaluations,
        selections=selections or {},
        nulls=None if nulls is None else tuple(evaluation_of(Drawn(each), "null") for each in nulls),
    )


def study_of(tasks: Mapping[str, Sequence[Drawn]], **more: object) -> Study:
    return Study.of(records_of(tasks, **more))
