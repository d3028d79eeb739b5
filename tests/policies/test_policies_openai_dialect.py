"""Parameters that a server refuses are renamed or left out."""

from pathlib import Path
from typing import Any

import pytest
from openai_policies import load, load_with, sampled
from openai_stand_in import Reply, StandIn

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


def refusing(*names: str, status: int = 400, words: str = "Unsupported parameter: '{}' is not supported.") -> Any:
    """Faults of a server that refuses these parameters, and else answers as it does."""

    def reply(server: StandIn) -> Any:
        def answer(handler: Any) -> Reply:
            request = server.requests[-1]
            found = [name for name in names if name in request]
            if found:
                return Reply(status, {"error": {"message": words.format(found[0]), "param": found[0]}})
            renamed = {**request, "max_tokens": request.get("max_tokens", request.get("max_completion_tokens", 1))}
            renamed.setdefault("seed", 0)
            renamed.setdefault("temperature", 1)
            return Reply(body=server.answer(renamed, chat=True))

        return answer

    return reply


NEW_NAME = "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead."


def requests_with(names: list[str], server: StandIn) -> int:
    return len([request for request in server.requests if any(name in request for name in names)])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["max_tokens"], NEW_NAME),
        (["seed"], "Unsupported parameter: '{}'"),
        (["max_tokens", "seed", "top_p"], "Unrecognized request argument supplied: {}"),
    ],
)
def test_parameters_that_a_server_refuses_are_renamed_or_left_out(
    names: list[str], words: str, stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    server.faults = [refusing(*names, words=words)(server)] * 20
    policy = load(f"openai:letters@{server.url}")
    assert requests_with(names, server) == len(names)
    assert len(sampled(policy, task, sampling)) == sampling.k
    assert requests_with(names, server) == len(names)
    if "max_tokens" in names:
        assert server.requests[-1]["max_completion_tokens"] == sampling.max_tokens


@pytest.mark.parametrize(
    ("name", "declared"),
    [("max_tokens", 'rename = {max_tokens = "max_completion_tokens"}'), ("seed", 'omit = ["seed"]')],
)
def test_a_parameter_that_a_policy_file_renames_or_leaves_out_is_never_sent(
    name: str, declared: str, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    server.faults = [refusing(name, words=NEW_NAME)(server)] * 20
    policy = load_with(server, declared, tmp_path / "p.toml")
    assert len(sampled(policy, task, sampling)) == sampling.k
    assert requests_with([name], server) == 0
    if name == "max_tokens":
        assert server.requests[-1]["max_completion_tokens"] == sampling.max_tokens


def test_the_words_of_fastapi_name_a_parameter_too(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
    server.faults = [Reply(422, {"detail": detail}), *[refusing("nothing")(server)] * 2]
    load(f"openai:letters@{server.url}")
    assert ["seed" in request for request in server.requests[:2]] == [True, False]


def test_fewer_alternatives_are_asked_for_where_five_are_too_many(stand_in: Any) -> None:
    server = stand_in(faults=[Reply(400, {"error": {"message": "top_logprobs must be at most 3", "param": None}})])
    assert load(f"openai:letters@{server.url}").logprobs == "raw"
    assert [request.get("top_logprobs") for request in server.requests] == [5, 3, 3]


def test_a_value_that_is_refused_is_the_strategys_to_correct(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    fixed = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is supported."
    server.faults = [Reply(400, {"error": {"message": fixed, "param": "temperature"}})]
    with pytest.raises(PolicyError) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value).endswith(
        f"refuses the request (400: {fixed}); set sampling.temperature=1, the only one that it takes"
    )
