"""THE STORY: one task under one strategy. Whatever is recorded already is not done again."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_kernelbench.errors import CandidateFault, HarnessError
from pytest_kernelbench.policies import require_given
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import (
    Candidate,
    Completion,
    Evaluation,
    Forecast,
    Judged,
    Outcome,
    Selection,
    Task,
    sha256_of,
)
from pytest_kernelbench.search import advice_for, turns_of
from pytest_kernelbench.search.stopping import Stop, reason_to_stop, stop_of
from pytest_kernelbench.selection import ranked_and_not, select
from pytest_kernelbench.selection.asking import ask, question_about
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.workbench import Workbench

NO_TRAINING = {"steps": 0, "teacher_tokens": 0, "update_tokens": 0, "adaptation_seconds": 0.0}


def run_item(task: Task, strategy: Strategy, bench: Workbench) -> Selection:
    """Sample, extract, judge, select, confirm; raises HarnessError and PolicyError, never for a candidate's fault."""
    draws = adapt(task, strategy, bench) if strategy.adaptation else Draws([strategy])
    with bench.ledger.sole_owner(task.id):
        selection = bench.ledger.selection(task.id, strategy)
        if selection is None:
            group = [judged for each in draws.versions for judged in judge(task, each, bench)]
            selection = choose(task, strategy, group, draws, bench)
            bench.ledger.add_selection(selection, strategy)
        if bench.null or (bench.null is None and strategy.evaluation.protocol == "full"):
            evaluate_null(task, strategy, bench)
    return selection


def pool(task: Task, strategy: Strategy, bench: Workbench) -> list[Judged]:
    """The candidates that the strategy chooses among, each with its evaluation, in order of index.

    Those of a strategy that adapts come from every step that counts. Drawn and judged now, or read from the records.
    """
    draws = adapt(task, strategy, bench) if strategy.adaptation else Draws([strategy])
    with bench.ledger.sole_owner(task.id):
        return [judged for each in draws.versions for judged in judge(task, each, bench)]


@dataclass(frozen=True, slots=True)
class Draws:
    """Whose candidates a choice is made among: the policy as loaded, or some of its adapted ``versions``.

    ``checkpoint_step`` is the one that adaptation settled on, None where it takes them all. ``others`` drew candidates
    for the task on the way; ``training`` is its share of what making the versions cost beside these.
    """

    versions: Sequence[Strategy]
    checkpoint_step: int | None = None
    others: Sequence[Strategy] = ()
    training: Mapping[str, float] = field(default_factory=dict)


def adapt(task: Task, strategy: Strategy, bench: Workbench) -> Draws:
    """The back edge: rewards make the next version of the weights, once for all tasks that learn together."""
    from pytest_kernelbench.adaptation.lineage import lineage_of
    from pytest_kernelbench.adaptation.loop import take_steps, training_share
    from pytest_kernelbench.selection.steps import candidates_of

    assert strategy.adaptation is not None
    lineage = lineage_of(task, strategy, bench.ledger, tasks=bench.tasks, seed=bench.seed)

    def judge_alone(task: Task, at: Strategy) -> list[Judged]:
        with bench.ledger.sole_owner(task.id):
            return judge(task, at, bench)

    steps = take_steps(lineage, bench.around(strategy, judge_alone))
    chosen, settled = candidates_of(task.id, steps, strategy.adaptation)
    drawn = [step.step for step in steps if task.id in step.tasks]
    return Draws(
        versions=[lineage.at(step) for step in chosen],
        checkpoint_step=settled,
        others=[lineage.at(step) for step in drawn if step not in chosen],
        training=training_share(lineage, steps, bench.ledger),
    )


def judge(task: Task, strategy: Strategy, bench: Workbench) -> list[Judged]:
    """The candidates of one version of the policy, each with its evaluation, in order of index.

    A strategy with ``[search]`` or ``[stopping]`` draws them in turns: each may depend on the verdicts before it.
    """
    known = dict[int, Judged]()
    for indices in turns_of(strategy):
        advice = advice_for(indices, strategy, known)
        known |= {each.candidate.index: each for each in judge_some(task, strategy, bench, indices, advice)}
        if strategy.stopping and reason_to_stop(
            strategy.stopping, [each.evaluation for each in known.values()], bench.margin_of(strategy)
        ):
            break
    return list(known.values())


def stop_where(strategy: Strategy, group: Sequence[Judged], bench: Workbench) -> Stop | None:
    """Where a strategy that stops by itself did, and why; None for one that does not."""
    if strategy.stopping is None:
        return None
    known = {judged.candidate.index: judged for judged in group}
    found = stop_of(strategy.stopping, turns_of(strategy), known, margin=bench.margin_of(strategy))
    return found or Stop(strategy.sampling.k, f"all {strategy.sampling.k} were asked for")


def judge_some(
    task: Task, strategy: Strategy, bench: Workbench, indices: Sequence[int], advice: Mapping[int, str]
) -> list[Judged]:
    """Candidates ``indices``; the prompt of each ends with its ``advice``, if it has any."""
    completions = sample(task, strategy, bench, indices, advice)
    candidates = [extract(completion, task, strategy) for completion in completions]
    evaluations = evaluate(task, strategy, candidates, bench)
    return [
        Judged(candidate=candidate, evaluation=evaluations.get(hash_of(candidate)) or no_source(candidate))
        for candidate in candidates
    ]


def sample(
    task: Task, strategy: Strategy, bench: Workbench, indices: Sequence[int], advice: Mapping[int, str]
) -> list[Completion]:
    """Completions ``indices`` of the strategy, in that order; fewer where a replay holds fewer."""
    drawn = bench.ledger.completions(task.id, strategy)
    missing: dict[str, list[int]] = {}
    for index in indices:
        if index not in drawn:
            missing.setdefault(advice.get(index, ""), []).append(index)
    if missing:
        policy = bench.policy_for(strategy)
        with bench.spending("sampling"):
            for text, some in missing.items():
                draw(task, strategy, bench, policy, some, text, drawn)
    return [drawn[index] for index in indices if index in drawn]


def draw(
    task: Task,
    strategy: Strategy,
    bench: Workbench,
    policy: Policy,
    indices: Sequence[int],
    advice: str,
    drawn: dict[int, Completion],
) -> None:
    """Ask the policy for completions that are not there yet; each is recorded, and added to ``drawn``, as it comes."""
    start = time.perf_counter()
    # A policy that only ever answers the task's own prompt need not know of advice.
    read = {"advice": advice} if advice else {}
    for completion in policy.sample(task, strategy.sampling, seed=bench.seed, indices=indices, **read):
        now = time.perf_counter()
        # What was drawn elsewhere took as long as was recorded there.
        seconds = completion.seconds if isinstance(policy, ReplayPolicy) else round(now - start, 4)
        if not drawn and not isinstance(policy, ReplayPolicy):
            require_given(completion, strategy)
        part = extract(completion, task, strategy).completion.answer_part
        drawn[completion.index] = replace(completion, seconds=seconds, answer_part=part)
        start = now
        bench.ledger.add_completion(drawn[completion.index], strategy)
        bench.say(f"{task.short_id}: sampled {len(drawn)}/{len(strategy.indices)}")


def extract(completion: Completion, task: Task, strategy: Strategy) -> Candidate:
    """The module in an answer, or why there is none."""
    settings = strategy.sampling
    return candidate_of(completion, task, answer=settings.answer, max_tokens=settings.max_tokens)


def no_source(candidate: Candidate) -> Evaluation:
    """The verdict on an answer that holds no module, with the reason."""
    return Evaluation(source_sha256=None, outcome=Outcome.NO_SOURCE, detail=f"the answer {candidate.missing}")


def evaluate(
    task: Task, strategy: Strategy, candidates: Sequence[Candidate], bench: Workbench
) -> dict[str | None, Evaluation]:
    """A verdict on each distinct source, by its hash, and a row of evaluations.jsonl for each candidate."""
    known = bench.ledger.evaluations(task.id, strategy)
    known.pop(None, None)
    recorded = bench.ledger.judged_indices(task.id, strategy)
    waiting: dict[str | None, list[int]] = {}
    for candidate in candidates:
        if candidate.index in recorded:
            continue
        if candidate.source is None:
            bench.ledger.add_evaluation(task.id, candidate.index, strategy, no_source(candidate))
        else:
            waiting.setdefault(hash_of(candidate), []).append(candidate.index)
    sources = {hash_of(candidate): candidate.source for candidate in candidates}

    def record(evaluation: Evaluation) -> None:
        known[evaluation.source_sha256] = evaluation
        for index in waiting.pop(evaluation.source_sha256, ()):
            bench.ledger.add_evaluation(task.id, index, strategy, evaluation)

    for source_hash in [source_hash for source_hash in waiting if source_hash in known]:
        record(known[source_hash])
    if waiting:
        with closing(judged_by(bench, strategy, task, [sources[each] for each in waiting])) as judged:
            for evaluation in judged:
                record(evaluation)
                done = [known[each] for each in sources if each in known and each is not None]
                bench.say(
                    f"{task.short_id}: sampled {len(candidates)}, evaluated {len(done)}/{len(sources.keys() - {None})} "
                    f"distinct, {sum(each.correct for each in done)} correct"
                )
    return known


def judged_by(
    bench: Workbench, strategy: Strategy, task: Task, sources: Sequence[str | None]
) -> Generator[Evaluation, None, None]:
    """An evaluation of each source; where the harness fails on some, those of all others first, then HarnessError."""
    evaluator = bench.evaluator_for(strategy)
    try:
        yield from evaluator.evaluate(task, sources)
    except CandidateFault as fault:
        for source_sha256, error in fault.faults.items():
            bench.ledger.add_fault(task.id, source_sha256, strategy, error)
        yield from fault.evaluations
        raise
    except HarnessError as error:
        bench.ledger.add_fault(task.id, None, strategy, error)
        raise
    finally:
        if task.id in evaluator.findings:
            bench.ledger.add_findings(evaluator.findings[task.id], strategy)


def choose(task: Task, strategy: Strategy, group: Sequence[Judged], draws: Draws, bench: Workbench) -> Selection:
    """The strategy's choice, timed again on fresh inputs: ``fast`` is decided on that second timing alone.

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
        return nothing
    chosen = next(judged for judged in group if judged.candidate.index == choice.index)
    at = next(version for version in draws.versions if choice.index in version.indices)
    again = confirm(task, at, chosen.candidate, bench)
    if not again.correct:
        return nothing
    return replace(
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
        fast=again.fast(margin=bench.margin_of(strategy)),
        fast_raw=chosen.evaluation.fast_raw(),
    )


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
    own = bench.ledger.spent((task.id, each) for each in (*draws.versions, *draws.others))
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


def evaluate_null(task: Task, strategy: Strategy, bench: Workbench) -> None:
    """The reference as a candidate, once a task: however often that counts as fast, the clock is wrong as often."""
    if bench.ledger.evaluations(task.id, strategy, "null"):
        return
    from pytest_kernelbench.evaluation import reference_as_candidate

    bench.say(f"{task.short_id}: timing the reference against itself")
    (null,) = judged_by(bench, strategy, task, [reference_as_candidate(task)])
    bench.ledger.add_evaluation(task.id, None, strategy, null, "null")


def hash_of(candidate: Candidate) -> str | None:
    return None if candidate.source is None else sha256_of(candidate.source)
