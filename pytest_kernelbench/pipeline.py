"""THE STORY: one task under one strategy, from the sample to the confirmed choice.

Whatever is recorded already is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.records import Candidate, Evaluation, Forecast, Judged, Selection, Task, sha256_of
from pytest_kernelbench.rollouts import hash_of, judge, judged_by
from pytest_kernelbench.search import turns_of
from pytest_kernelbench.search.stopping import Stop, stop_of
from pytest_kernelbench.selection import ranked_and_not, select
from pytest_kernelbench.selection.asking import ask, question_about
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.stage import Stage
    from pytest_kernelbench.workbench import Workbench

NO_TRAINING = {"steps": 0, "teacher_tokens": 0, "update_tokens": 0, "adaptation_seconds": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """All that is known of one task under one strategy once its item has run.

    ``group`` are the candidates that the strategy chose among, in order of index. ``chosen`` is the one of them that
    was selected, with its first evaluation, and ``confirmation`` the evaluation that decides whether it is fast: a
    second one on fresh inputs where timings chose it, else the first. Both are None where none was selected. A choice
    that was not correct the second time is none. ``device`` is the name of the hardware
    that judged, as in ``run.json``; None where nothing was judged. ``seconds`` is the wall time of this call.
    """

    task: Task
    strategy: Strategy
    selection: Selection
    group: tuple[Judged, ...]
    chosen: Judged | None
    confirmation: Evaluation | None
    device: str | None
    seconds: float

    @property
    def source(self) -> str | None:
        """The text of the chosen candidate."""
        return None if self.chosen is None else self.chosen.candidate.source


def run_item(task: Task, strategy: Strategy, bench: Workbench) -> ItemOutcome:
    """Sample, extract, judge, select, confirm; raises HarnessError and PolicyError, never for a candidate's fault."""
    start = time.perf_counter()
    draws = draws_of(task, strategy, bench)
    with bench.ledger.sole_owner(task.id):
        group = group_of(task, draws, bench)
        decision = recorded_decision(task, strategy, group, bench)
        if decision is None:
            decision = decide(task, strategy, group, draws, bench)
            bench.ledger.add_selection(decision.selection, strategy)
        if decision.chosen is not None and decision.chosen.candidate.source is not None:
            time_against_baselines(task, strategy, decision.chosen.candidate.source, bench, baselines=bench.baselines)
        if bench.null or (bench.null is None and strategy.evaluation.protocol == "full"):
            evaluate_null(task, strategy, bench)
        if bench.null:
            # Dear, and by the clock that the other null is about: only where it was asked for.
            evaluate_null_of_baselines(task, strategy, bench)
    return ItemOutcome(
        task=task,
        strategy=strategy,
        selection=decision.selection,
        group=tuple(group),
        chosen=decision.chosen,
        confirmation=decision.confirmation,
        device=bench.device_name,
        seconds=round(time.perf_counter() - start, 3),
    )


def pool(task: Task, strategy: Strategy, bench: Workbench) -> list[Judged]:
    """The candidates that the strategy chooses among, each with its evaluation, in order of index.

    Those of a strategy that adapts come from every step that counts. Drawn and judged now, or read from the records.
    """
    draws = draws_of(task, strategy, bench)
    with bench.ledger.sole_owner(task.id):
        return group_of(task, draws, bench)


@dataclass(frozen=True, slots=True)
class Draws:
    """The candidates that a choice is made among: of the policy as loaded, or of some of its adapted ``versions``.

    ``checkpoint_step`` is the one that adaptation settled on, None where it takes them all. ``others`` drew candidates
    for the task on the way; ``training`` is its share of what making the versions cost beside these. ``stage`` has the
    weights of the versions, None where no version is adapted.
    """

    versions: Sequence[Strategy]
    checkpoint_step: int | None = None
    others: Sequence[Strategy] = ()
    training: Mapping[str, float] = field(default_factory=dict)
    stage: Stage | None = None


def draws_of(task: Task, strategy: Strategy, bench: Workbench) -> Draws:
    """The policy as loaded, or the versions of it that adaptation makes first, if the strategy adapts."""
    return adapt(task, strategy, bench) if strategy.adaptation else Draws([strategy])


def adapt(task: Task, strategy: Strategy, bench: Workbench) -> Draws:
    """The back edge: rewards make the next version of the weights, once for all tasks that learn together."""
    from pytest_kernelbench.adaptation.lineage import lineage_of
    from pytest_kernelbench.adaptation.loop import take_steps, training_share
    from pytest_kernelbench.adaptation.stage import Stage
    from pytest_kernelbench.selection.steps import candidates_of

    assert strategy.adaptation is not None
    lineage = lineage_of(task, strategy, bench.ledger, tasks=bench.tasks, seed=bench.seed)
    stage = Stage(strategy, bench)
    steps = take_steps(lineage, stage)
    chosen, settled = candidates_of(task.id, steps, strategy.adaptation)
    drawn = [step.step for step in steps if task.id in step.tasks]
    return Draws(
        versions=[lineage.at(step) for step in chosen],
        checkpoint_step=settled,
        others=[lineage.at(step) for step in drawn if step not in chosen],
        training=training_share(lineage, steps, bench.ledger),
        stage=stage,
    )


def group_of(task: Task, draws: Draws, bench: Workbench) -> list[Judged]:
    """The candidates of every version, sampled, extracted and judged."""
    if draws.stage:
        return [judged for version in draws.versions for judged in draws.stage.judged(task, version)]
    return [judged for version in draws.versions for judged in judge(task, version, bench)]


class Decision(NamedTuple):
    """What a strategy decided for one task: ``chosen`` and its ``confirmation`` are None where it chose none."""

    selection: Selection
    chosen: Judged | None = None
    confirmation: Evaluation | None = None


def recorded_decision(task: Task, strategy: Strategy, group: Sequence[Judged], bench: Workbench) -> Decision | None:
    """The decision that an earlier session recorded in the run folder; None where there is none."""
    selection = bench.ledger.selection(task.id, strategy)
    if selection is None or selection.index is None:
        return None if selection is None else Decision(selection)
    chosen = next((each for each in group if each.candidate.index == selection.index), None)
    if chosen is None:
        return Decision(selection)
    if not selection.retimed:
        return Decision(selection, chosen, chosen.evaluation)
    known = bench.ledger.evaluations(task.id, strategy, "confirmations")
    return Decision(selection, chosen, known.get(hash_of(chosen.candidate)))


def decide(task: Task, strategy: Strategy, group: Sequence[Judged], draws: Draws, bench: Workbench) -> Decision:
    """The strategy's choice; one that timings made is timed again on fresh inputs, and that timing alone decides.

    A choice that is not correct the second time is no choice: ``confirmations.jsonl`` says why.
    """
    forecast = forecast_of(task, strategy, group, bench) if strategy.asks_for_a_forecast else None
    choice = select(group, strategy.selection, seed=bench.seed, named=forecast.named if forecast else None)
    stop = stop_where(strategy, group, bench)
    if stop:
        # Another strategy that shares the candidates may have drawn more.
        draws = replace(draws, versions=[replace(strategy, sampling=replace(strategy.sampling, k=stop.asked))])
    nothing = Selection(
        task=task.id,
        strategy=strategy.name,
        index=None,
        considered=choice.considered,
        unranked=choice.unranked,
        cost=cost_of(task, draws, timed=len(choice.considered), forecast=forecast, bench=bench),
        checkpoint_step=draws.checkpoint_step,
        asked=stop.asked if stop else None,
        stopped=stop.because if stop else None,
        unread=forecast.missing if forecast else None,
    )
    if choice.index is None:
        return Decision(nothing)
    chosen = next(judged for judged in group if judged.candidate.index == choice.index)
    at = next(version for version in draws.versions if choice.index in version.indices)
    again = confirm(task, at, chosen.candidate, bench) if choice.by_timing else chosen.evaluation
    if not again.correct:
        return Decision(nothing)
    selection = replace(
        nothing,
        index=choice.index,
        policy_version=chosen.candidate.completion.policy_version,
        step=at.version.step if at.version else None,
        speedup=chosen.evaluation.counted_speedup,
        speedup_low=chosen.evaluation.counted_low,
        speedup_high=chosen.evaluation.counted_high,
        confirmed_speedup=again.counted_speedup,
        confirmed_low=again.counted_low,
        confirmed_high=again.counted_high,
        retimed=choice.by_timing,
        fast=again.fast(margin=bench.margin_of(strategy)),
        fast_raw=chosen.evaluation.fast_raw(),
    )
    return Decision(selection, chosen, again)


def stop_where(strategy: Strategy, group: Sequence[Judged], bench: Workbench) -> Stop | None:
    """Where a strategy that stops by itself did, and why; None for one that does not."""
    if strategy.stopping is None:
        return None
    known = {judged.candidate.index: judged for judged in group}
    found = stop_of(strategy.stopping, turns_of(strategy), known, margin=bench.margin_of(strategy))
    return found or Stop(strategy.sampling.k, f"all {strategy.sampling.k} were asked for")


def forecast_of(task: Task, strategy: Strategy, group: Sequence[Judged], bench: Workbench) -> Forecast | None:
    """Which candidate the policy itself takes for the fastest, asked once; None where there is no choice to make."""
    ranked, _ = ranked_and_not(group, strategy.selection)
    if len(ranked) < 2:
        return None
    policy = bench.policy_for(strategy)
    question = question_about(task, ranked, strategy, policy)
    forecast = bench.ledger.forecast(task.id, question.sha256)
    if forecast is None:
        bench.say(f"{task.short_id}: asking which of {len(question.shown)} is fastest")
        with bench.spending("sampling"):
            forecast = ask(question, policy, seed=bench.seed)
        bench.ledger.add_forecast(forecast)
    return forecast


def cost_of(
    task: Task, draws: Draws, *, timed: int, forecast: Forecast | None = None, bench: Workbench
) -> dict[str, float | None]:
    """All that the choice took, whoever drew or judged it first; None where a part of it is not known.

    ``device_seconds`` are those of sampling, evaluation and adaptation one after the other.
    """
    own = bench.ledger.spent([(task.id, each) for each in (*draws.versions, *draws.others)])
    cost: dict[str, float | None] = {**NO_TRAINING, **own, "timed": timed}
    if forecast:
        cost |= {"forecast_tokens": forecast.tokens, "forecast_seconds": forecast.seconds}
    cost = {key: value if value is None else value + draws.training.get(key, 0) for key, value in cost.items()}
    seconds = [value for key, value in cost.items() if key.endswith("_seconds")]
    return {**cost, "device_seconds": None if None in seconds else sum(each for each in seconds if each is not None)}


def confirm(task: Task, strategy: Strategy, candidate: Candidate, bench: Workbench) -> Evaluation:
    """The chosen source judged once more; strategies that chose the same source share it."""
    known = bench.ledger.evaluations(task.id, strategy, "confirmations")
    if hash_of(candidate) not in known:
        bench.say(f"{task.short_id}: timing #{candidate.index} again")
        (again,) = judged_by(bench, strategy, task, [candidate.source])
        bench.ledger.add_evaluation(task.id, candidate.index, strategy, again, "confirmations")
        return again
    return known[hash_of(candidate)]


def time_against_baselines(
    task: Task, strategy: Strategy, source: str, bench: Workbench, *, baselines: Sequence[str], null: bool = False
) -> None:
    """A source beside stronger baselines; strategies that chose the same one share it. ``null``: it is the baseline."""
    known = bench.ledger.against(task.id, strategy, sha256_of(source))
    for baseline in baselines:
        if baseline not in known:
            bench.say(f"{task.short_id}: timing {baseline if null else 'the choice'} against {baseline}")
            found = bench.evaluator_for(strategy).against(task, source, baseline)
            bench.ledger.add_against(task.id, strategy, sha256_of(source), found, null=null)


def evaluate_null(task: Task, strategy: Strategy, bench: Workbench) -> None:
    """The reference as a candidate, once a task: however often that counts as fast, the clock is wrong as often."""
    if bench.ledger.evaluations(task.id, strategy, "null"):
        return
    from pytest_kernelbench.evaluation import reference_as_candidate

    bench.say(f"{task.short_id}: timing the reference against itself")
    (null,) = judged_by(bench, strategy, task, [reference_as_candidate(task)])
    bench.ledger.add_evaluation(task.id, None, strategy, null, "null")


def evaluate_null_of_baselines(task: Task, strategy: Strategy, bench: Workbench) -> None:
    """Each stronger baseline beside itself, once a task."""
    from pytest_kernelbench.evaluation import reference_as_candidate

    for baseline in bench.baselines:
        source = reference_as_candidate(task, baseline)
        time_against_baselines(task, strategy, source, bench, baselines=[baseline], null=True)
