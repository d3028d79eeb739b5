"""Policies that are asked which program is the fastest: every kind of policy gets the same question."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from openai_stand_in import standing_in

from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.tiny import TinyPolicy
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Task
from pytest_kernelbench.selection.asking import INDEX, ask, question_about
from pytest_kernelbench.strategy import Sampling, SelectionSettings, Strategy

STRATEGY = Strategy(
    name="forecast", sampling=Sampling(k=3, max_tokens=8), selection=SelectionSettings(by="forecast", logprob="mean")
)


def correct(n: int) -> Sequence[Judged]:
    return [
        Judged(
            candidate=Candidate(
                completion=Completion(
                    task="level1/19_ReLU", index=index, text="", policy="p", sum_logprob=-float(index), n_tokens=1
                ),
                source=f"x = {index}",
            ),
            evaluation=Evaluation(source_sha256=str(index), outcome=Outcome.CORRECT, speedup=1.0),
        )
        for index in range(n)
    ]


def test_a_model_here_is_asked_with_as_many_programs_as_its_context_holds(tiny_folder: Path, task: Task) -> None:
    tiny = TinyPolicy(tiny_folder, name="tiny")
    question = question_about(task, correct(3), STRATEGY, tiny)
    left = tiny.tokens_left(task, "forecast", question.text)
    assert left is not None and (left >= 32 if question.shown else True)
    forecast = ask(question, tiny, seed=0)
    assert forecast.text == ask(question, tiny, seed=0).text
    if question.shown:
        prompt = len(tiny.prompt_ids(task, "forecast", advice=question.text))
        assert forecast.tokens is not None and prompt < forecast.tokens <= prompt + 8
    assert (forecast.named is None) == (forecast.missing is not None)


def test_a_model_of_the_hub_reads_the_reference_the_programs_and_the_question(hf_folder: Path, task: Task) -> None:
    policy = load_policy(f"hf:{hf_folder}", device="cpu")
    policy.model.config.max_position_embeddings = 4096
    question = question_about(task, correct(3), STRATEGY, policy)
    assert question.shown == (0, 1, 2)
    prompt = policy.decode(policy.prompt_ids(task, "forecast", advice=question.text))
    for word in ("Program 3:", "x = 2", "Which of these is fastest?"):
        assert word.replace(" ", "") in prompt.replace(" ", "")
    assert "self-contained" not in prompt


@pytest.mark.parametrize(("says", "named"), [("Program 2", 1), ("aabb", None)])
def test_a_server_is_asked_for_one_more_answer(task: Task, tmp_path: Path, says: str, named: int | None) -> None:
    with standing_in() as server:
        file = tmp_path / "p.toml"
        file.write_text(f'policy = "openai:letters@{server.url}"\n')
        policy = load_policy(str(file), device="cpu")
        server.change = lambda answer: (
            answer["choices"][0]["message"].update(content=says),
            answer["usage"].update(prompt_tokens=40),
        )
        before = len(server.requests)
        forecast = ask(question_about(task, correct(3), STRATEGY, policy), policy, seed=0)
    (request,) = server.requests[before:]
    assert "Which of these is fastest?" in request["messages"][-1]["content"]
    assert (forecast.named, forecast.text) == (named, says)
    assert forecast.tokens == 40 + STRATEGY.sampling.max_tokens
    assert INDEX not in forecast.shown
