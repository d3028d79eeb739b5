"""Candidates with a reward and nothing else."""

from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome


def judged(index, speedup, *, source=None, evaluation=None):
    """A candidate; ``speedup`` None: incorrect."""
    completion = Completion(task="level1/1_x", index=index, text="", policy="made-up")
    if evaluation is None:
        outcome = Outcome.INCORRECT if speedup is None else Outcome.CORRECT
        evaluation = Evaluation(source_sha256=str(index), outcome=outcome, speedup=speedup)
    return Judged(
        candidate=Candidate(completion=completion, source=source or f"program {index}"), evaluation=evaluation
    )
