"""Self-distillation: the teacher's prompt, and a teacher with the student's prompt teaches nothing."""

import pytest
import torch
from made_up_policies import WordPolicy
from policies.random_models import llama

from pytest_kernelbench.adaptation import sdpo
from pytest_kernelbench.adaptation.sdpo import Student, advice_for, feedback_on, student_of, teach
from pytest_kernelbench.policies.causal_lm import distributions
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Task
from pytest_kernelbench.strategy import Adaptation, Sdpo

TASK = Task(id="level1/1_Task", source="class Model: ...")
ROWS = ((5, 6, 7, 0), (8, 0), (9, 10, 0))
CORRECT = Evaluation(
    source_sha256="a", outcome=Outcome.CORRECT, speedup=1.234, speedup_low=1.2, reference_ms=2.0, candidate_ms=1.62
)
FAILED = Evaluation(source_sha256="b", outcome=Outcome.RUNTIME_ERROR, detail="one\ntwo\nthree\nfour")


def group(*evaluations):
    return [
        Judged(
            candidate=Candidate(
                completion=Completion(task=TASK.id, index=place, text="", policy="p", token_ids=ROWS[place]),
                source=f"source {place}",
            ),
            evaluation=evaluation,
        )
        for place, evaluation in enumerate(evaluations)
    ]


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_a_teacher_that_is_and_reads_what_the_student_does_gives_exactly_0(temperature, monkeypatch):
    monkeypatch.setattr(sdpo, "ASK_AGAIN", "")
    policy = WordPolicy(llama())
    student = Student(policy.score(TASK, "module", ROWS, temperature=temperature), temperature=temperature)
    taught = teach(
        policy,
        TASK,
        "module",
        group(CORRECT, FAILED, FAILED),
        student,
        Adaptation(sdpo=Sdpo(feedback=False)),
    )
    assert taught.advantages == [(0.0,) * len(row) for row in ROWS]
    assert taught.teacher_tokens == 3 * len(TASK.source) + sum(map(len, ROWS))


def test_advantages_are_teacher_s_minus_student_s_log_probabilities_at_one_temperature():
    policy = WordPolicy(llama())
    student = Student(policy.score(TASK, "module", ROWS, temperature=0.5), temperature=0.5)
    settings = Adaptation(sdpo=Sdpo(feedback=True))
    judged = group(CORRECT, FAILED, FAILED)
    taught = teach(policy, TASK, "module", judged, student, settings)
    for place, row in enumerate(ROWS):
        advice = advice_for(judged, place, settings)
        (scored,) = policy.score(TASK, "module", [row], temperature=0.5, advice=advice)
        expected = [t - s for t, s in zip(scored, student.logprobs[place], strict=True)]
        assert taught.advantages[place] == pytest.approx(expected, abs=1e-5)
        assert any(taught.advantages[place])


def test_with_the_mask_a_rollout_without_advice_is_not_trained_on():
    policy = WordPolicy(llama())
    student = Student(policy.score(TASK, "module", ROWS))
    settings = Adaptation(sdpo=Sdpo(feedback=False, demonstrations=True, mask=True))
    taught = teach(policy, TASK, "module", group(CORRECT, FAILED, FAILED), student, settings)
    assert not any(taught.advantages[0])  # the only correct answer is its own
    assert any(taught.advantages[1]) and any(taught.advantages[2])
    alone = teach(policy, TASK, "module", group(FAILED, FAILED, FAILED), student, settings)
    assert alone == ([(0.0,) * len(row) for row in ROWS], [None] * 3, 0)


def test_the_teacher_reads_the_verdict_and_another_s_solution_never_the_attempt_s_own():
    settings = Adaptation(sdpo=Sdpo(feedback=True, demonstrations=True))
    judged = group(FAILED, CORRECT, CORRECT)
    assert advice_for(judged, 0, settings) == (
        "Correct solution:\nsource 1\n\n"
        "This is what became of an earlier attempt:\noutcome: runtime_error\none\ntwo\nthree\n\n"
        "Correctly solve the original question."
    )
    assert "source 2" in advice_for(judged, 1, settings) and "source 1" not in advice_for(judged, 1, settings)
    assert advice_for(judged, 1, Adaptation(sdpo=Sdpo(feedback=False))) == "Correctly solve the original question."


def test_a_teacher_may_read_a_solution_alone_and_feedback_only_where_there_is_none():
    settings = Adaptation(sdpo=Sdpo(demonstrations=True, feedback_beside_solution=False))
    judged = group(FAILED, CORRECT, FAILED)
    assert advice_for(judged, 0, settings) == "Correct solution:\nsource 1\n\nCorrectly solve the original question."
    assert advice_for(judged, 1, settings).startswith("This is what became of an earlier attempt:\noutcome: correct\n")


def test_lessons_are_the_teacher_s_log_probabilities_of_the_student_s_likeliest_tokens():
    policy = WordPolicy(llama())
    settings = Adaptation(sdpo=Sdpo(distil="distribution", top_k=3))
    student = student_of(policy, TASK, "module", ROWS, settings, temperature=0.5)
    judged = group(CORRECT, FAILED, FAILED)
    taught = teach(policy, TASK, "module", judged, student, settings)
    for place, row in enumerate(ROWS):
        of_student, of_teacher = (
            torch.cat(
                list(distributions(policy.model, policy.prompt_ids(TASK, "module", advice=advice), [row])), dim=1
            )[0]
            for advice in ("", advice_for(judged, place, settings))
        )
        lesson = taught.lessons[place]
        assert lesson.tokens.tolist() == of_student.topk(3).indices.tolist()
        expected = (of_teacher / 0.5).log_softmax(-1).gather(1, lesson.tokens)
        assert torch.allclose(lesson.logprobs, expected, atol=1e-4)
    drawn = teach(policy, TASK, "module", judged, Student(student.logprobs, temperature=0.5), settings)
    assert (drawn.advantages, drawn.lessons) == (taught.advantages, [None] * 3)


def test_feedback_has_units_and_is_cut():
    assert feedback_on(CORRECT) == "outcome: correct\nspeed-up: 1.23x\ntime: 1.62 ms; reference: 2 ms"
    long = Evaluation(source_sha256="b", outcome=Outcome.BUILD_ERROR, detail="x" * 1000)
    assert feedback_on(long) == "outcome: build_error\n" + "x" * 300
