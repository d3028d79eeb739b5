"""The one line with which an item fails."""

from pathlib import Path

import pytest

from pytest_kernelbench.pinned.regressions import why_unsolved
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome

KEPT = Path("kernels/level1/19_ReLU.py")


def judged(outcome, detail=""):
    candidate = Candidate(completion=Completion(task="level1/19", index=0, text="", policy="p"), source="x")
    return Judged(candidate=candidate, evaluation=Evaluation(source_sha256="0", outcome=outcome, detail=detail))


@pytest.mark.parametrize(
    ("outcome", "detail", "line"),
    [
        (Outcome.INCORRECT, "signed inputs: error 2", "incorrect: signed inputs: error 2"),
        (Outcome.NO_SOURCE, "the answer holds no ModelNew", "kernels/level1/19_ReLU.py has no class ModelNew"),
        (Outcome.BUILD_ERROR, "SyntaxError (candidate.py:4)", "build_error: SyntaxError (kernels/level1/19_ReLU.py:4)"),
        (Outcome.CORRECT, "", "correct, and not chosen: its answer has no number that the strategy ranks by"),
    ],
)
def test_a_kept_kernel_that_is_not_chosen_is_named_by_its_file(outcome, detail, line):
    assert why_unsolved([judged(outcome, detail)], KEPT) == line


def test_candidates_of_a_policy_have_no_file():
    assert why_unsolved([judged(Outcome.NO_SOURCE, "the answer holds no ModelNew")]) == (
        "no_source: the answer holds no ModelNew"
    )
    assert why_unsolved([judged(Outcome.INCORRECT), judged(Outcome.CORRECT)]) == (
        "none of 2 candidates was chosen, 1 correct"
    )
    assert why_unsolved([]) == "there is no candidate"
