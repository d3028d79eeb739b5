"""Requests to a server: their contents, how many run at once, and the settings of a policy file."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai_policies import load, load_with, refusal, sampled, slowly
from openai_stand_in import MOST_HELD_S, Reply

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.prompting.prompts import build_messages
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


def test_request_holds_the_question_a_seed_of_its_own_and_the_body(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    body = "[body]\ntop_p = 0.9\nchat_template_kwargs = { enable_thinking = false }"
    policy = load_with(server, body, tmp_path / "p.toml")
    server.requests.clear()
    sampled(policy, task, sampling)
    first = server.requests[0]
    assert first["messages"] == build_messages(task, "module", "cpu")
    assert (first["temperature"], first["max_tokens"], first["model"]) == (0.7, 12, "letters")
    assert first["top_p"] == 0.9 and first["chat_template_kwargs"] == {"enable_thinking": False}
    seeds = {request["seed"] for request in server.requests}
    assert len(seeds) == sampling.k and all(0 <= seed < 2**31 for seed in seeds)


def test_body_is_part_of_the_version(stand_in: Any, tmp_path: Path) -> None:
    server, file = stand_in(), tmp_path / "p.toml"
    plain = load_with(server, "", file)
    assert load_with(server, "concurrency = 2", file).version == plain.version
    assert load_with(server, "[body]\ntop_p = 0.9", file).version != plain.version


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_at_once_than_allowed(
    concurrency: int, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load_with(server, f"concurrency = {concurrency}", tmp_path / "p.toml")

    def once_there_were_as_many(handler: Any) -> Reply:
        deadline = time.monotonic() + 20
        while server.most_at_once < concurrency and time.monotonic() < deadline:
            time.sleep(0.01)
        return slowly(server)

    server.faults = [once_there_were_as_many] * sampling.k
    sampled(policy, task, sampling)
    assert server.most_at_once == concurrency


def test_completions_come_as_they_finish(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [lambda handler: replace(slowly(server), held=True)]
    iterator = policy.sample(task, sampling, seed=0, indices=range(6))
    first = next(iterator)
    server.let_go.set()
    assert [first.index, *(done.index for done in iterator)][-1] != first.index


def test_sampling_that_is_given_up_gives_up_its_requests(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [lambda handler: slowly(server)] + [lambda handler: replace(slowly(server), held=True)] * 5
    start = time.monotonic()
    iterator = policy.sample(task, sampling, seed=0, indices=range(6))
    next(iterator)
    iterator.close()
    assert time.monotonic() - start < MOST_HELD_S / 2


def test_several_choices_are_asked_for_at_once(stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling) -> None:
    def choices(answer: dict[str, Any]) -> None:
        one = answer["choices"][0]
        message = one["message"]["content"]
        answer["choices"] = [
            {**one, "index": index, "message": {"content": message + str(index)}} for index in (2, 0, 1)
        ]

    server = stand_in()
    policy = load_with(server, "n = 3", tmp_path / "p.toml")
    server.change = choices
    server.requests.clear()
    done = sampled(policy, task, sampling)
    assert [each.text[-1] for each in done] == list("012012") and len(server.requests) == 2
    assert all(request["n"] == 3 for request in server.requests)
    (alone,) = policy.sample(task, sampling, seed=0, indices=[4])
    assert alone.text == done[4].text


def test_a_prompt_that_cannot_fit_is_refused_before_the_first_request(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load_with(server, "context = 300", tmp_path / "p.toml")
    server.requests.clear()
    with pytest.raises(PolicyError) as error:
        list(policy.sample(task, replace(sampling, max_tokens=250), seed=0, indices=[0]))
    assert "and an answer may have 250, and the model's context holds 300; lower max_tokens" in str(error.value)
    assert server.requests == []


def test_what_a_policy_file_says_is_asked_for(stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    said = 'max_tokens = 3\nstop = ["END"]\nchat_template_kwargs = {enable_thinking = false}'
    policy = load_with(server, said, tmp_path / "p.toml")
    sampled(policy, task, sampling)
    last = server.requests[-1]
    assert (last["max_tokens"], last["stop"]) == (3, ["END"])
    assert last["chat_template_kwargs"] == {"enable_thinking": False}
    assert policy.version != load_with(server, "", tmp_path / "q.toml").version


@pytest.mark.parametrize("opened", [True, False])
def test_answers_that_begin_inside_the_reasoning_are_known_by_declaration(
    opened: bool, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load_with(server, f"opens_reasoning = {str(opened).lower()}", tmp_path / "p.toml")
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    assert (done.text == "") is opened and (done.reasoning is not None) is opened


def test_a_server_whose_first_token_is_reasoning_keeps_what_is_declared(stand_in: Any, tmp_path: Path) -> None:
    def thinks(answer: dict[str, Any]) -> None:
        answer["choices"][0] |= {"message": {"content": None, "reasoning_content": "a"}, "logprobs": None}

    server = stand_in(change=thinks)
    assert load_with(server, 'logprobs = "raw"', tmp_path / "p.toml").gives_logprobs
    assert "cannot tell whether its logprobs are those of temperature 1" in refusal(f"openai:letters@{server.url}")
