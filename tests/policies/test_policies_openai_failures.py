"""Failures of a server: those that are tried again, and the errors for those that last."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from openai_policies import error_of, load, load_with, refusal, sampled, slowly
from openai_stand_in import MOST_HELD_S, Reply

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


def test_retry_after_is_honoured(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})]
    server.requests.clear()
    (done,) = policy.sample(task, sampling, seed=0, indices=[3])
    refused, answered = server.requests
    assert done.index == 3 and answered["at"] - refused["at"] >= 1.0
    assert answered["seed"] == refused["seed"]


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500, {"error": {"message": "out of memory"}}),
        Reply(503, "<html>starting</html>"),
        Reply(200, '{"choices": [{"mess', length=4000),
        Reply(200, '{"choices": [{"mess'),
        Reply(200, {"error": {"message": "overloaded", "code": 502}, "choices": []}),
        Reply(200, {"choices": [{"finish_reason": "error", "error": "overloaded"}]}),
    ],
    ids=["error", "page", "cut off", "cut off in good order", "an error inside", "an error in a choice"],
)
def test_passing_failures_are_tried_again(
    fault: Reply, stand_in: Any, task: Task, sampling: Sampling, no_waiting: None
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [fault] * 3
    assert len(sampled(policy, task, sampling)) == sampling.k


HERE = "--policy=openai:letters@URL"


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            Reply(500, {"error": {"message": "CUDA out of memory\nTraceback"}}),
            HarnessError,
            "keeps failing (500: CUDA out of memory); see the server's log, and run again to resume",
        ),
        (
            Reply(429, {"error": {"message": "too many requests"}}),
            HarnessError,
            "keeps failing (429: too many requests); lower concurrency in a policy file, and run again to resume",
        ),
        (
            Reply(400, {"error": {"message": "this model's context is 512 tokens"}}),
            PolicyError,
            "refuses the request (400: this model's context is 512 tokens); "
            "correct the strategy's [sampling] or the policy file's body",
        ),
        (
            Reply(200, '{"choices": [{"message": {"content": "x'),
            HarnessError,
            'keeps failing (200: a body that is cut off: "{"choices": [{"message": {"content": "x"); '
            "see the server's log, and run again to resume",
        ),
        (
            Reply(200, "<html>a page</html>"),
            PolicyError,
            "answered with no JSON that a completion has; correct BASE_URL, which usually ends in /v1",
        ),
        (
            Reply(200, {"error": {"message": "upstream overloaded", "type": "overloaded_error"}}),
            HarnessError,
            'keeps failing (200: "upstream overloaded"); see the server\'s log, and run again to resume',
        ),
        (
            Reply(200, {"error": {"message": "no such model", "code": 404}}),
            PolicyError,
            "refuses the request (200: \"no such model\"); correct the strategy's [sampling] or the policy file's body",
        ),
        (
            Reply(200, {"choices": [{"message": {"content": [{"type": "image_url"}]}}]}),
            PolicyError,
            "answered with a content in parts that hold no text (image_url), which cannot be read; "
            "have the server answer in text",
        ),
        (
            Reply(200, {"object": "list"}),
            PolicyError,
            'answered with no "choices" that a completion has; correct BASE_URL, which usually ends in /v1',
        ),
    ],
    ids=["500", "429", "400", "truncated", "page", "error inside", "refusal inside", "parts", "other"],
)
def test_lasting_failures_are_said_in_one_line(
    fault: Reply,
    kind: type[KernelBenchError],
    message: str,
    stand_in: Any,
    task: Task,
    sampling: Sampling,
) -> None:
    server = stand_in(faults=[fault] * 9)
    assert error_of(kind, server, task, sampling) == f"{HERE}: {message}"


def test_silence_ends_with_the_timeout(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling, no_waiting: None
) -> None:
    server = stand_in()
    policy = load_with(server, "timeout_s = 0.2", tmp_path / "p.toml")
    server.faults = [Reply(after_s=0.6)] * 9
    with pytest.raises(HarnessError) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value) == (
        f"--policy={tmp_path / 'p.toml'}: {server.url}: no answer in 0.2 s, however often it was asked; "
        "raise timeout_s or lower concurrency in a policy file"
    )


def test_one_failure_leaves_what_was_finished_and_ends_the_rest(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    one_came = threading.Event()

    def failure(handler: Any) -> Reply:
        one_came.wait(MOST_HELD_S)
        return Reply(400, "no")

    server.faults = [lambda handler: slowly(server), failure, *[Reply(held=True)] * 4]
    found, start = [], time.monotonic()
    with pytest.raises(PolicyError):
        for done in policy.sample(task, sampling, seed=0, indices=range(6)):
            found.append(done)
            one_came.set()
    assert len(found) == 1 and time.monotonic() - start < MOST_HELD_S / 2


def test_server_that_is_not_there_is_named(no_waiting: None) -> None:
    spec = "openai:letters@http://127.0.0.1:9/v1"
    assert refusal(spec) == (f"--policy={spec}: cannot be reached (ConnectError); start the server or correct BASE_URL")


def test_address_without_v1_and_unknown_models_are_told_apart(stand_in: Any) -> None:
    server = stand_in(models=None)
    short = server.url.removesuffix("/v1")
    assert refusal(f"openai:letters@{short}") == (
        f"--policy=openai:letters@{short}: has no /chat/completions (404: no /chat/completions here); "
        "correct BASE_URL, which usually ends in /v1"
    )
    many = tuple(f"m{index}" for index in range(7))
    fault = Reply(404, {"error": {"message": "The model `letters` does not exist."}})
    server = stand_in(models=many, faults=[fault] * 2)
    spec = f"openai:letters@{server.url}"
    assert refusal(spec) == (f'--policy={spec}: has no model "letters"; there are m0, m1, m2, m3, m4, ...')
