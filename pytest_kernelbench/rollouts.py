"""One version of the policy on one task: sample, extract, judge. Recorded results are used again.

Each completion and each evaluation is recorded at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pytest_kernelbench.errors import CandidateFault, HarnessError
from pytest_kernelbench.policies import require_given
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Task, sha256_of
from pytest_kernelbench.search import advice_for, turns_of
from pytest_kernelbench.search.stopping import reason_to_stop
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.ledger import Ledger
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.workbench import Workbench


class Sampler(Protocol):
    """The part of a ``Workbench`` that sampling uses: the run folder, a policy, and progress."""

    ledger: Ledger
    seed: int
    say: Callable[[str], None]

    def policy_for(self, strategy: Strategy) -> Policy:
        """The policy that answers under ``strategy``, with the weights as loaded."""

    def spending(self, stage: str) -> AbstractContextManager[None]:
        """Count the seconds of the block to ``stage``."""


def judge(task: Task, strategy: Strategy, bench: Workbench, policy: Policy | None = None) -> list[Judged]:
    """The candidates of one version of the policy, each with its evaluation, in order of index.

    A strategy with ``[search]`` or ``[stopping]`` draws them in turns: each may depend on the verdicts before it.
    ``policy`` samples the completions that are not recorded yet; None: taken from ``bench`` when it is needed.
    """
    known = dict[int, Judged]()
    for indices in turns_of(strategy):
        advice = advice_for(indices, strategy, known)
        known |= {each.candidate.index: each for each in judge_some(task, strategy, bench, indices, advice, policy)}
        if strategy.stopping and reason_to_stop(
            strategy.stopping, [each.evaluation for each in known.values()], bench.margin_of(strategy)
        ):
            break
    return list(known.values())


def all_sampled(task: Task, strategy: Strategy, ledger: Ledger) -> bool:
    """Whether every completion of ``task`` under ``strategy`` is recorded."""
    return set(strategy.indices) <= set(ledger.completions(task.id, strategy))


def judge_some(
    task: Task,
    strategy: Strategy,
    bench: Workbench,
    indices: Sequence[int],
    advice: Mapping[int, str],
    policy: Policy | None = None,
) -> list[Judged]:
    """Candidates ``indices``; the prompt of each ends with its ``advice``, if it has any."""
    sampled = set(indices) <= set(bench.ledger.completions(task.id, strategy))
    with nullcontext() if sampled else bench.judge_gets_ready(task, strategy):
        completions = sample(task, strategy, bench, indices, advice, policy)
    candidates = [extract(completion, task, strategy) for completion in completions]
    evaluations = evaluate(task, strategy, candidates, bench)
    return [
        Judged(candidate=candidate, evaluation=evaluations.get(hash_of(candidate)) or no_source(candidate))
        for candidate in candidates
    ]


def sample(
    task: Task,
    strategy: Strategy,
    bench: Sampler,
    indices: Sequence[int],
    advice: Mapping[int, str],
    policy: Policy | None = None,
) -> list[Completion]:
    """Completions ``indices`` of the strategy, in that order; fewer where a replay holds fewer.

    The prompt of a completion ends with its ``advice``, if it has any.
    """
    drawn = bench.ledger.completions(task.id, strategy)
    missing: dict[str, list[int]] = {}
    for index in indices:
        if index not in drawn:
            missing.setdefault(advice.get(index, ""), []).append(index)
    if missing:
        policy = policy or bench.policy_for(strategy)
        with bench.spending("sampling"):
            for text, some in missing.items():
                for completion in answers(task, strategy, policy, some, text, bench.seed):
                    if not drawn and not isinstance(policy, ReplayPolicy):
                        require_given(completion, strategy)
                    drawn[completion.index] = completion
                    bench.ledger.add_completion(completion, strategy)
                    bench.say(f"{task.short_id}: sampled {len(drawn)}/{len(strategy.indices)}")
    return [drawn[index] for index in indices if index in drawn]


def answers(
    task: Task, strategy: Strategy, policy: Policy, indices: Sequence[int], advice: str, seed: int
) -> Iterator[Completion]:
    """Completions that ``policy`` samples now, each as it comes, with its seconds and the part that holds the code."""
    start = time.perf_counter()
    # A policy that only ever answers the task's own prompt need not know of advice.
    read = {"advice": advice} if advice else {}
    for completion in policy.sample(task, strategy.sampling, seed=seed, indices=indices, **read):
        now = time.perf_counter()
        # A completion that another session drew has its recorded seconds.
        seconds = completion.seconds if isinstance(policy, ReplayPolicy) else round(now - start, 4)
        part = extract(completion, task, strategy).completion.answer_part
        yield replace(completion, seconds=seconds, answer_part=part)
        start = time.perf_counter()


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
    """An evaluation of each source. If the harness fails on some, the others are yielded first, then it raises."""
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


def hash_of(candidate: Candidate) -> str | None:
    return None if candidate.source is None else sha256_of(candidate.source)
