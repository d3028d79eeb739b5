"""The ``tinker`` policy on the real SDK and a local service: log-probabilities, versions, keys and refusals."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract import keeps_the_contract, texts
from random_models import llama

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.causal_lm import score_rows
from pytest_kernelbench.prompting.extraction import code_place
from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling

if sys.version_info < (3, 11):
    pytest.skip("the Tinker SDK needs Python 3.11", allow_module_level=True)

from tinker_stand_in import TinkerStandIn, tinker_service

from pytest_kernelbench.policies.tinker_service import TinkerPolicy

# The SDK drops connections without closing them.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

KEY = "tml-secret-7b2e"
Load = Callable[..., TinkerPolicy]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    monkeypatch.setenv("HOME", str(tmp_path))  # where a key of one's own may be stored
    yield
    gc.collect()  # those connections here, and not in a test that forbids such warnings


@pytest.fixture
def service() -> Iterator[Any]:
    """Start a service with ``service(fails={...})``."""
    with ExitStack() as stack:
        yield lambda **behaviour: stack.enter_context(tinker_service(llama(), KEY, **behaviour))


@pytest.fixture
def load(tmp_path: Path, hf_folder: Path) -> Load:
    def loaded(server: TinkerStandIn, model: str = "tests/random", tokenizer: Path = hf_folder) -> TinkerPolicy:
        file = tmp_path / "policy.toml"
        file.write_text(f'policy = "tinker:{model}"\ntokenizer = "{tokenizer}"\nbase_url = "{server.url}"\n')
        policy = load_policy(str(file), device="cpu")
        assert isinstance(policy, TinkerPolicy)
        policy.name = "tinker:tests/random"
        return policy

    return loaded


@pytest.fixture
def sample_one(load: Load, task: Task, sampling: Sampling) -> Callable[[TinkerStandIn], Completion]:
    """Load a policy of a server, and sample one answer."""

    def sampled(server: TinkerStandIn) -> Completion:
        (done,) = load(server).sample(task, sampling, seed=0, indices=[0])
        return done

    return sampled


def refusal(kind: type[KernelBenchError], action: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        action()
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value)


def test_tinker_keeps_the_contract(service: Any, load: Load, task: Task, sampling: Sampling) -> None:
    policy = load(service())
    completions = keeps_the_contract(policy, task, sampling)
    assert len({done.text for done in completions}) == sampling.k
    assert texts(policy, task, sampling, [0], seed=1)[0] != completions[0].text
    assert {done.stop_reason for done in completions} <= {"stop", "length"}


def test_logprobs_are_scored_again_at_temperature_1(service: Any, load: Load, task: Task, sampling: Sampling) -> None:
    server = service()
    policy = load(server)
    prompt = policy.prompt_ids(task, "module")
    assert policy.tokenizer.decode(prompt) == as_plain_text(build_messages(task, "module", "cpu"))
    for done in policy.sample(task, sampling, seed=0, indices=range(3)):
        assert done.token_ids is not None
        (raw,) = score_rows(server.model, prompt, [done.token_ids])
        (tempered,) = score_rows(server.model, prompt, [done.token_ids], temperature=sampling.temperature)
        assert done.logprobs == pytest.approx(raw, abs=1e-4)
        assert done.sampling_logprobs == pytest.approx(tempered, abs=1e-4)
    drawn = [request for request in server.asked if "prompt_logprobs_last_n" not in request]
    assert len(drawn) == 3 and len(server.asked) == 6
    assert len({request["sampling_params"]["seed"] for request in drawn}) == 3


def test_temperature_1_needs_no_second_scoring(service: Any, load: Load, task: Task, sampling: Sampling) -> None:
    server = service()
    policy = load(server)
    (done,) = policy.sample(task, replace(sampling, temperature=1.0), seed=0, indices=[0])
    assert len(server.asked) == 1 and done.sampling_logprobs is None
    (raw,) = score_rows(server.model, policy.prompt_ids(task, "module"), [done.token_ids or ()])
    assert done.logprobs == pytest.approx(raw, abs=1e-4)


def test_end_token_is_counted_and_not_shown(service: Any, load: Load, task: Task, sampling: Sampling) -> None:
    policy = load(service())
    ended = [
        done
        for done in policy.sample(task, replace(sampling, max_tokens=200), seed=0, indices=range(4))
        if done.stop_reason == "stop"
    ]
    assert ended
    for done in ended:
        assert done.token_ids is not None and done.token_ids[-1] == 0
        assert done.text == policy.tokenizer.decode(done.token_ids[:-1]) and "<end>" not in done.text


def test_an_answer_has_tokens_of_code_where_it_holds_code(
    service: Any, load: Load, task: Task, sampling: Sampling
) -> None:
    policy = load(service())
    for done in policy.sample(task, replace(sampling, answer="forward_body"), seed=0, indices=range(4)):
        place = code_place(done.text, answer="forward_body")
        code = None if place is None else done.text[slice(*place)]
        assert done.token_ids is not None and (done.code_tokens is None) == (code is None)
        if done.code_tokens is None:
            continue  # a model of random weights seldom writes what can be code
        first, end = done.code_tokens
        assert code and code in policy.tokenizer.decode(done.token_ids[first:end])
        assert end <= len(done.token_ids) - (done.stop_reason == "stop")


def test_chat_template_is_applied(service: Any, load: Load, chat_folder: Path, task: Task, sampling: Sampling) -> None:
    policy = load(service(), tokenizer=chat_folder)
    system, user = build_messages(task, "forward_body", "cpu")
    prompt = policy.tokenizer.decode(policy.prompt_ids(task, "forward_body"))
    assert prompt == f"<|system|>{system['content']}<|user|>{user['content']}<|assistant|>"


def test_saved_weights_are_another_version(service: Any, load: Load) -> None:
    server = service()
    saved = load(server, "tinker://run/sampler_weights/final")
    assert saved.client.get_base_model() == "tests/random"
    assert saved.version != load(server).version


def test_tokenizer_that_cannot_be_had_is_named(service: Any, load: Load, tmp_path: Path) -> None:
    server = service()
    said = refusal(PolicyError, lambda: load(server, tokenizer=tmp_path / "none"))
    assert said.startswith(f"--policy={tmp_path / 'policy.toml'}: no tokenizer for {tmp_path / 'none'} (")
    assert said.endswith('name a folder or an id that has it, tokenizer = "..." in a policy file')


def test_model_that_tinker_does_not_have_is_refused(service: Any, load: Load, tmp_path: Path) -> None:
    server = service()
    assert refusal(PolicyError, lambda: load(server, "tests/other")) == (
        f"--policy={tmp_path / 'policy.toml'}: Tinker refuses the request (Error code: 404 - "
        "{'error': 'no base model tests/other'}); correct the model's name or the strategy's [sampling]"
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "tml-other",
            "Tinker refuses the key (401); set TINKER_API_KEY to one that it accepts, or log in with tinker auth login",
        ),
        (
            "sk-other",
            "no key for Tinker (The api_key must start with the 'tml-' prefix); "
            "set TINKER_API_KEY, or log in with tinker auth login",
        ),
    ],
)
def test_wrong_key_is_refused(
    key: str, message: str, service: Any, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = service()
    monkeypatch.setenv("TINKER_API_KEY", key)
    assert refusal(PolicyError, lambda: load(server)) == f"--policy={tmp_path / 'policy.toml'}: {message}"


@pytest.mark.parametrize(
    ("category", "kind", "message"),
    [
        ("user", PolicyError, "correct the model's name or the strategy's [sampling]"),
        ("server", HarnessError, "run again to resume"),
    ],
)
def test_sample_that_failed_is_blamed_on_whose_fault_it_was(
    category: str, kind: type[KernelBenchError], message: str, service: Any, sample_one: Callable[..., Completion]
) -> None:
    server = service(failed_sample={"error": "prompt too long", "category": category})
    said = refusal(kind, lambda: sample_one(server))
    assert said.startswith("--policy=tinker:tests/random: Tinker ") and "prompt too long" in said
    assert said.endswith(f"; {message}")


@pytest.mark.parametrize("end", ["create_session", "asample", "retrieve_future"])
@pytest.mark.parametrize("status", [401, 404])
def test_key_that_the_service_quotes_is_nowhere(
    end: str,
    status: int,
    service: Any,
    sample_one: Callable[..., Completion],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    server = service(fails={end: (status, "what is KEY?")})
    said = refusal(KernelBenchError, lambda: sample_one(server))
    assert str(status) in said
    assert KEY not in said + caplog.text + "".join(capfd.readouterr())
