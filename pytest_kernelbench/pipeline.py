"""THE STORY: one task under one strategy. Whatever is recorded already is not done again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Selection, Task, sha256_of
from pytest_kernelbench.selection import select
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.workbench import Workbench

NO_SOURCE = Evaluation(source_sha256=None, outcome=Outcome.NO_SOURCE, detail="the answer holds no ModelNew")


def run_item(task: Task, strategy: Strategy, bench: Workbench) -> Selection:
    """Sample, extract, judge, select, confirm; raises HarnessError and PolicyError, never for a candidate's fault."""
    with bench.ledger.sole_owner(task.id):
        selection = bench.ledger.selection(task.id, strategy)
        if selection is None:
            completions = sample(task, strategy, bench)
            candidates = [extract(completion, task, strategy) for completion in completions]
            evaluations = evaluate(task, strategy, candidates, bench)
            group = [
                Judged(candidate=candidate, evaluation=evaluations[hash_of(candidate)]) for candidate in candidates
            ]
            selection = choose(task, strategy, group, bench)
            bench.ledger.add_selection(selection, strategy)
        if bench.null or (bench.null is None and strategy.evaluation.protocol == "full"):
            evaluate_null(task, strategy, bench)
    return selection


def sample(task: Task, strategy: Strategy, bench: Workbench) -> list[Completion]:
    """The strategy's K completions in order of index; fewer where a replay holds fewer."""
    drawn = bench.ledger.completions(task.id, strategy)
    missing = [index for index in range(strategy.sampling.k) if index not in drawn]
    if missing:
        policy = bench.policy_for(strategy)
        with bench.spending("sampling"):
            for completion in policy.sample(task, strategy.sampling, seed=bench.seed, indices=missing):
                bench.ledger.add_completion(completion, strategy)
                drawn[completion.index] = completion
                bench.say(f"{task.short_id}: sampled {len(drawn)}/{strategy.sampling.k}")
    return [drawn[index] for index in sorted(drawn)]


def extract(completion: Completion, task: Task, strategy: Strategy) -> Candidate:
    """The module in an answer, if there is one."""
    source = extract_source(completion.text, answer=strategy.sampling.answer, task=task)
    return Candidate(completion=completion, source=source)


def evaluate(
    task: Task, strategy: Strategy, candidates: Sequence[Candidate], bench: Workbench
) -> dict[str | None, Evaluation]:
    """A verdict on each distinct source, by its hash, and a row of evaluations.jsonl for each candidate."""
    known = {**bench.ledger.evaluations(task.id, strategy), None: NO_SOURCE}
    recorded = bench.ledger.judged_indices(task.id, strategy)
    waiting: dict[str | None, list[int]] = {}
    for candidate in candidates:
        if candidate.index not in recorded:
            waiting.setdefault(hash_of(candidate), []).append(candidate.index)
    sources = {hash_of(candidate): candidate.source for candidate in candidates}

    def record(evaluation: Evaluation) -> None:
        known[evaluation.source_sha256] = evaluation
        for index in waiting.pop(evaluation.source_sha256, ()):
            bench.ledger.add_evaluation(task.id, index, strategy, evaluation)

    for source_hash in [source_hash for source_hash in waiting if source_hash in known]:
        record(known[source_hash])
    if waiting:
        with closing(bench.evaluator_for(strategy).evaluate(task, [sources[each] for each in waiting])) as judged:
            for evaluation in judged:
                record(evaluation)
                done = [known[each] for each in sources if each in known and each is not None]
                bench.say(
                    f"{task.short_id}: sampled {len(candidates)}, evaluated {len(done)}/{len(sources.keys() - {None})} "
                    f"distinct, {sum(each.correct for each in done)} correct"
                )
    return known


def choose(task: Task, strategy: Strategy, group: Sequence[Judged], bench: Workbench) -> Selection:
    """The strategy's choice, timed again on fresh inputs: ``fast`` is decided on that second timing alone.

    A choice that is not correct the second time is no choice: ``confirmations.jsonl`` says why.
    """
    choice = select(group, strategy.selection, seed=bench.seed)
    cost = {"rollouts": len(group), "timed": len(choice.considered)}
    nothing = Selection(task=task.id, strategy=strategy.name, index=None, considered=choice.considered, cost=cost)
    if choice.index is None:
        return nothing
    chosen = next(judged for judged in group if judged.candidate.index == choice.index)
    again = confirm(task, strategy, chosen.candidate, bench)
    if not again.correct:
        return nothing
    return replace(
        nothing,
        index=choice.index,
        speedup=chosen.evaluation.speedup,
        speedup_low=chosen.evaluation.speedup_low,
        speedup_high=chosen.evaluation.speedup_high,
        confirmed_speedup=again.speedup,
        confirmed_low=again.speedup_low,
        confirmed_high=again.speedup_high,
        fast=again.fast(margin=bench.margin_of(strategy)),
        fast_raw=chosen.evaluation.fast_raw(),
    )


def confirm(task: Task, strategy: Strategy, candidate: Candidate, bench: Workbench) -> Evaluation:
    """The chosen source judged once more; strategies that chose the same source share it."""
    known = bench.ledger.evaluations(task.id, strategy, "confirmations")
    if hash_of(candidate) not in known:
        bench.say(f"{task.short_id}: timing #{candidate.index} again")
        (again,) = bench.evaluator_for(strategy).evaluate(task, [candidate.source])
        bench.ledger.add_evaluation(task.id, candidate.index, strategy, again, "confirmations")
        return again
    return known[hash_of(candidate)]


def evaluate_null(task: Task, strategy: Strategy, bench: Workbench) -> None:
    """The reference as a candidate, once a task: however often that counts as fast, the clock is wrong as often."""
    if bench.ledger.evaluations(task.id, strategy, "null"):
        return
    from pytest_kernelbench.evaluation import reference_as_candidate

    bench.say(f"{task.short_id}: timing the reference against itself")
    (null,) = bench.evaluator_for(strategy).evaluate(task, [reference_as_candidate(task)])
    bench.ledger.add_evaluation(task.id, None, strategy, null, "null")


def hash_of(candidate: Candidate) -> str | None:
    return None if candidate.source is None else sha256_of(candidate.source)
