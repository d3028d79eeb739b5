"""Self-certainty: one number a completion where whole distributions are at hand, a truncated one where a server lists
alternatives, and a refusal in one line elsewhere."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from openai_stand_in import StandIn, logprobs_at, standing_in

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import (
    load_policy,
    require_given_self_certainty,
    require_self_certainty,
)
from pytest_kernelbench.policies.rows import distributions, draw
from pytest_kernelbench.policies.tiny import TinyPolicy
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling


@pytest.fixture
def stand_in() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda **behaviour: stack.enter_context(standing_in(**behaviour))


def served(server: StandIn, file: Path, settings: str = "") -> Any:
    file.write_text(f'policy = "openai:letters@{server.url}"\n{settings}\n')
    return load_policy(str(file), device="cpu")


def first(policy: Any, task: Task, sampling: Sampling) -> Completion:
    return next(iter(policy.sample(task, sampling, seed=0, indices=[0])))


@pytest.mark.parametrize("temperature", [0.0, 0.25, 1.0])
def test_it_is_the_divergence_from_uniform_of_what_came_before_each_token(
    tiny_folder: Path, task: Task, temperature: float
) -> None:
    tiny = TinyPolicy(tiny_folder, name="tiny")
    sampling = Sampling(k=2, temperature=temperature, max_tokens=12)
    for done in tiny.sample(task, sampling, seed=0, indices=[0, 1]):
        assert done.token_ids is not None
        prompt = tiny.prompt_ids(task, "module")
        logprobs = torch.cat(list(distributions(tiny.model, prompt, [done.token_ids])), dim=1)[0]
        divergences = -logprobs.mean(-1) - math.log(logprobs.shape[-1])
        assert done.self_certainty == pytest.approx(float(divergences.mean()), abs=1e-4)


def test_an_entry_that_a_model_masks_leaves_it_finite() -> None:
    logits = torch.tensor([[0.0, 1.0, -math.inf], [0.0, 0.0, 0.0]])
    certainty = draw(logits, torch.tensor([0.5, 0.5], dtype=torch.float64), 1.0).certainty
    assert certainty[0].isfinite() and certainty[0] > 30
    assert float(certainty[1]) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_server_s_is_taken_over_the_alternatives_that_it_lists(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling, endpoint: str
) -> None:
    server = stand_in()
    policy = served(server, tmp_path / "p.toml", f'endpoint = "{endpoint}"\nalternatives = 4')
    require_self_certainty(policy, "certain")
    # The same four letters with the same probabilities in each place.
    expected = -sum(logprobs_at(1).values()) / 4 - math.log(4)
    assert first(policy, task, sampling).self_certainty == pytest.approx(expected)
    asked = server.requests[-1]
    assert asked["top_logprobs" if endpoint == "chat" else "logprobs"] == 4


def test_how_many_are_asked_for_is_no_part_of_the_policy_s_version(stand_in: Any, tmp_path: Path) -> None:
    server = stand_in()
    plain = served(server, tmp_path / "plain.toml")
    assert served(server, tmp_path / "more.toml", "alternatives = 20").version == plain.version


def test_a_server_that_was_not_asked_for_alternatives_is_refused(stand_in: Any, tmp_path: Path) -> None:
    server = stand_in()
    with pytest.raises(PolicyError) as error:
        require_self_certainty(served(server, tmp_path / "p.toml"), "certain")
    assert str(error.value).replace(str(tmp_path), "DIR") == (
        "--policy=DIR/p.toml: records the log-probabilities of the tokens drawn and not their distributions, which "
        'strategy "certain" needs; set alternatives = 20 in a policy file, where the server gives log-probabilities of '
        "temperature 1, or choose another strategy"
    )


def test_a_server_that_lists_none_is_refused_at_its_first_answer(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    def without(answer: dict[str, Any]) -> None:
        for entry in answer["choices"][0]["logprobs"]["content"] if len(server.requests) > 2 else ():
            entry.pop("top_logprobs")

    server = stand_in(change=without)
    policy = served(server, tmp_path / "p.toml", "alternatives = 4")
    answer = first(policy, task, sampling)
    assert answer.logprobs is not None and answer.self_certainty is None
    with pytest.raises(PolicyError) as error:
        require_given_self_certainty(answer, "certain")
    assert str(error.value).replace(str(tmp_path), "DIR") == (
        "--policy=DIR/p.toml: gave no alternatives to the tokens of its first answer, which strategy "
        '"certain" needs; serve top_logprobs, or choose another strategy'
    )


def test_a_replay_has_what_its_rows_have(tmp_path: Path, task: Task, sampling: Sampling) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"task": "level1/19", "text": "x", "self_certainty": 3.5}\n')
    policy = load_policy(f"replay:{file}", device="cpu")
    require_self_certainty(policy, "certain")
    assert first(policy, task, sampling).self_certainty == 3.5
    file.write_text('{"task": "level1/19", "text": "x", "sum_logprob": -1, "n_tokens": 2}\n')
    with pytest.raises(PolicyError) as error:
        require_self_certainty(load_policy(f"replay:{file}", device="cpu"), "certain")
    assert str(error.value).endswith(
        'which strategy "certain" needs; use tiny or hf:ID_OR_PATH, or choose another strategy'
    )
