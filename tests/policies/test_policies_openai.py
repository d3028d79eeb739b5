import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract import keeps_the_contract, texts
from llama_cpp import save_gguf, serving
from openai_stand_in import Reply, StandIn, logprobs_at, standing_in
from project import PLUGIN
from random_models import llama, save_tokenizer

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies import load_policy, require_logprobs
from pytest_kernelbench.policies.openai_server import OpenAIPolicy
from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling

KEY = "sk-secret-4c1d0f"
UNTRUNCATED = "\n[body]\ntop_k = 0\nmin_p = 0.0\n"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def stand_in() -> Iterator[Any]:
    """Start a server with ``stand_in(faults=[...])``."""
    with ExitStack() as stack:
        yield lambda **behaviour: stack.enter_context(standing_in(**behaviour))


def load(spec: str) -> OpenAIPolicy:
    policy = load_policy(spec, device="cpu")
    assert isinstance(policy, OpenAIPolicy)
    return policy


def load_with(server: StandIn, settings: str, file: Path, model: str = "letters") -> OpenAIPolicy:
    file.write_text(f'policy = "openai:{model}@{server.url}"\n{settings}\n')
    return load(str(file))


def sampled(policy: OpenAIPolicy, task: Task, sampling: Sampling) -> list[Completion]:
    found = policy.sample(task, sampling, seed=0, indices=range(sampling.k))
    return sorted(found, key=lambda done: done.index)


def error_of(kind: type[KernelBenchError], server: StandIn, task: Task, sampling: Sampling) -> str:
    """What sampling one completion raises, the server's address written as URL."""
    faults, server.faults = server.faults, []
    policy = load(f"openai:letters@{server.url}")
    server.faults = faults
    with pytest.raises(kind) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert error.value.__cause__ is None and error.value.__context__ is None
    return str(error.value).replace(server.url, "URL")


def refusal(spec: str) -> str:
    with pytest.raises(PolicyError) as error:
        load(spec)
    assert error.value.__cause__ is None and error.value.__context__ is None
    return str(error.value)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    monkeypatch.setattr("pytest_kernelbench.policies.openai_client.FIRST_WAIT_S", 0.001)


# A real server


@pytest.fixture(scope="module")
def gguf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    save_tokenizer(folder, ascii_only=True)
    save_gguf(llama(), folder / "tokenizer.json", folder / "random.gguf")
    return folder


@pytest.fixture(scope="module")
def llama_cpp(gguf_folder: Path) -> Iterator[str]:
    with serving(gguf_folder / "random.gguf", KEY) as url:
        yield url


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_llama_cpp_keeps_the_contract(
    endpoint: str, llama_cpp: str, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    file = tmp_path / "served.toml"
    file.write_text(f'policy = "openai:random@{llama_cpp}"\nendpoint = "{endpoint}"{UNTRUNCATED}')
    policy = load(str(file))
    assert policy.logprobs == "raw" and policy.gives_logprobs
    completions = keeps_the_contract(policy, task, sampling)
    assert len({done.text for done in completions}) == sampling.k
    assert texts(policy, task, sampling, [0], seed=1)[0] != completions[0].text
    assert {done.stop_reason for done in completions} <= {"stop", "length"}
    assert policy.version == load(str(file)).version


def test_logprobs_of_llama_cpp_are_those_of_the_weights_at_temperature_1(
    llama_cpp: str, gguf_folder: Path, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    from tokenizers import Tokenizer

    from pytest_kernelbench.policies.causal_lm import score_rows

    file = tmp_path / "served.toml"
    file.write_text(f'policy = "openai:random@{llama_cpp}"\nendpoint = "completions"{UNTRUNCATED}')
    completions = sampled(load(str(file)), task, sampling)
    tokenizer = Tokenizer.from_file(str(gguf_folder / "tokenizer.json"))
    prompt = tokenizer.encode(as_plain_text(build_messages(task, "module", "cpu"))).ids
    scores = score_rows(llama(), prompt, [done.token_ids or () for done in completions])
    for done, scored in zip(completions, scores, strict=True):
        assert done.logprobs == pytest.approx(scored, abs=1e-3)


def test_llama_cpp_serves_no_model_of_another_name(llama_cpp: str) -> None:
    assert refusal(f"openai:large@{llama_cpp}") == (
        f'--policy=openai:large@{llama_cpp}: serves "random", not "large"; there is random; '
        'if this is a deployment\'s name, write served = "random" into a policy file'
    )


def test_wrong_key_is_refused_by_llama_cpp_and_not_shown(llama_cpp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"openai:random@{llama_cpp}"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    assert refusal(spec) == (
        f"--policy={spec}: refuses the key in OPENAI_API_KEY (401); set it to one that the server accepts"
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    assert refusal(spec) == f"--policy={spec}: wants a key; set OPENAI_API_KEY (401)"


def test_characters_that_llama_cpp_gives_no_logprob_for_leave_a_completion_without_logprobs(
    tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    # Every byte a token: most characters drawn at random are halves of some other.
    save_tokenizer(tmp_path)
    save_gguf(llama(), tmp_path / "tokenizer.json", tmp_path / "bytes.gguf")
    file = tmp_path / "served.toml"
    with serving(tmp_path / "bytes.gguf", KEY) as url:
        file.write_text(f'policy = "openai:bytes@{url}"\nlogprobs = "raw"\nendpoint = "completions"{UNTRUNCATED}')
        completions = sampled(load(str(file)), task, replace(sampling, k=4))
    assert any(done.logprobs is None for done in completions)


# Which tokens are code


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_the_code_of_an_answer_is_known_by_its_tokens(
    endpoint: str, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load_with(server, f'endpoint = "{endpoint}"', tmp_path / "policy.toml")
    done, *_ = sampled(policy, task, replace(sampling, answer="forward_body"))
    assert done.code_tokens == (0, len(done.text)) and done.logprobs is not None
    done, *_ = sampled(policy, task, sampling)
    assert done.code_tokens is None  # four letters hold no ModelNew


# What log-probabilities mean


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_raw_logprobs_are_told_from_scaled_ones(
    endpoint: str, temperature: float, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    sampling = replace(sampling, temperature=temperature)
    raw = load_with(stand_in(), f'endpoint = "{endpoint}"', tmp_path / "raw.toml")
    scaled = load_with(stand_in(scaled=True), f'endpoint = "{endpoint}"', tmp_path / "scaled.toml")
    assert (raw.logprobs, scaled.logprobs) == ("raw", "scaled")
    for done in keeps_the_contract(raw, task, sampling):
        assert done.logprobs == tuple(logprobs_at(1)[token] for token in done.text)
        assert done.sampling_logprobs is None
    for done in keeps_the_contract(scaled, task, sampling):
        assert done.logprobs is None
        assert done.sampling_logprobs == tuple(logprobs_at(temperature)[token] for token in done.text)


def test_scaled_logprobs_are_refused_where_surprisal_is_needed(stand_in: Any) -> None:
    server = stand_in(scaled=True)
    policy = load(f"openai:letters@{server.url}")
    with pytest.raises(PolicyError) as error:
        require_logprobs(policy, "surprisal")
    assert str(error.value) == (
        f"--policy=openai:letters@{server.url}: gives log-probabilities of the temperature sampled at and not of "
        'temperature 1 (docs/policies.md), which strategy "surprisal" needs; choose another policy, or a strategy '
        "that needs none (random, best-of-64)"
    )


def test_server_without_logprobs_serves_strategies_that_need_none(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in(gives_logprobs=False)
    policy = load(f"openai:letters@{server.url}")
    assert all(done.logprobs is None for done in keeps_the_contract(policy, task, sampling))
    with pytest.raises(PolicyError, match='gives no logprobs, which strategy "surprisal" needs'):
        require_logprobs(policy, "surprisal")


def test_server_that_refuses_the_question_for_logprobs_is_asked_without(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in(faults=[Reply(422, {"detail": "Unsupported fields in the request: {'logprobs'}"})])
    policy = load(f"openai:letters@{server.url}")
    assert policy.logprobs == "none"
    assert len(sampled(policy, task, sampling)) == sampling.k
    assert all("logprobs" not in request for request in server.requests[1:])


def test_policy_file_overrides_the_measurement(stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load_with(server, 'logprobs = "scaled"', tmp_path / "p.toml")
    assert len(server.requests) == 1 and not policy.gives_logprobs
    assert all(done.sampling_logprobs for done in sampled(policy, task, sampling))


def test_logprobs_that_a_policy_file_promises_must_come(stand_in: Any, tmp_path: Path) -> None:
    server, file = stand_in(gives_logprobs=False), tmp_path / "p.toml"
    with pytest.raises(PolicyError) as error:
        load_with(server, 'logprobs = "raw"', file)
    assert str(error.value) == (
        f'--policy={file}: {server.url}: gives no logprobs, and the policy file says logprobs = "raw"; '
        "remove the line, or make the server return them"
    )


def test_logprobs_without_alternatives_cannot_be_measured(stand_in: Any) -> None:
    def without_alternatives(answer: dict[str, Any]) -> None:
        for entry in answer["choices"][0]["logprobs"]["content"]:
            entry["top_logprobs"] = []

    server = stand_in(change=without_alternatives)
    spec = f"openai:letters@{server.url}"
    assert refusal(spec) == (
        f"--policy={spec}: cannot tell whether its logprobs are those of temperature 1; "
        'say logprobs = "raw" or "scaled" in a policy file (docs/policies.md)'
    )


# Requests


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
    server.faults = [lambda handler: slowly(server)] * sampling.k
    sampled(policy, task, sampling)
    assert server.most_at_once == concurrency


def slowly(server: StandIn) -> Reply:
    request = {"temperature": 1, "seed": 0, "max_tokens": 1, "model": "letters", "logprobs": True}
    return Reply(body=server.answer(request, chat=True), after_s=0.1)


def test_completions_come_as_they_finish(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [lambda handler: replace(slowly(server), after_s=1.0)]
    start = time.monotonic()
    iterator = policy.sample(task, sampling, seed=0, indices=range(6))
    first = next(iterator)
    assert time.monotonic() - start < 0.9
    assert [first.index, *(done.index for done in iterator)][-1] != first.index


def test_sampling_that_is_given_up_gives_up_its_requests(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.faults = [lambda handler: slowly(server)] + [lambda handler: replace(slowly(server), after_s=3.0)] * 5
    start = time.monotonic()
    iterator = policy.sample(task, sampling, seed=0, indices=range(6))
    next(iterator)
    iterator.close()
    assert time.monotonic() - start < 2.0


# Failures


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
    no_waiting: None,
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
    server.faults = [lambda handler: slowly(server), replace(Reply(400, "no"), after_s=0.4)] + [Reply(after_s=3.0)] * 4
    found, start = [], time.monotonic()
    with pytest.raises(PolicyError):
        for done in policy.sample(task, sampling, seed=0, indices=range(6)):
            found.append(done)
    assert len(found) == 1 and time.monotonic() - start < 2.0


def test_server_that_is_not_there_is_named() -> None:
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


# The key


def echo(handler: Any, status: int) -> Reply:
    seen = handler.headers["Authorization"]
    assert KEY in seen
    return Reply(status, {"error": {"message": f"bad request; your headers: {seen}"}}, {"X-Echo": seen})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_key_that_a_server_quotes_is_nowhere(
    status: int,
    stand_in: Any,
    task: Task,
    sampling: Sampling,
    caplog: pytest.LogCaptureFixture,
    no_waiting: None,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = stand_in(faults=[lambda handler: echo(handler, status)] * 9)
    said = error_of(KernelBenchError, server, task, sampling)
    assert KEY not in said and str(status) in said
    assert ("Bearer ***" in said) is (status not in (401, 403))
    assert KEY not in caplog.text


def in_text(answer: dict[str, Any]) -> None:
    answer["choices"][0]["message"]["content"] = f"Authorization: Bearer {KEY}"


def in_stop_reason(answer: dict[str, Any]) -> None:
    answer["choices"][0]["finish_reason"] = KEY


def in_model(answer: dict[str, Any]) -> None:
    answer["model"] = f"letters-{KEY}"


@pytest.mark.parametrize("change", [in_text, in_stop_reason, in_model])
def test_answer_that_repeats_the_key_is_not_recorded(
    change: Any, stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.change = change
    with pytest.raises(PolicyError) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value) == (
        f"--policy=openai:letters@{server.url}: repeats the key in OPENAI_API_KEY in its answer, so that it would be "
        "recorded; ask a server that keeps it to itself"
    )


def test_names_of_models_are_shown_without_the_key(stand_in: Any) -> None:
    fault = Reply(404, {"error": {"message": "The model `letters` does not exist."}})
    server = stand_in(models=(f"for-{KEY}",), faults=[fault] * 2)
    spec = f"openai:letters@{server.url}"
    assert refusal(spec) == f'--policy={spec}: has no model "letters"; there is for-***'


def test_short_key_of_a_server_of_one_s_own_may_occur_in_an_answer(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch, task: Task, sampling: Sampling
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    policy = load(f"openai:letters@{stand_in().url}")
    assert any("a" in done.text for done in sampled(policy, task, sampling))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"Bearer {KEY}", f"{KEY}\N{HORIZONTAL ELLIPSIS}"])
def test_key_that_no_header_carries_is_refused_and_not_shown(
    key: str, stand_in: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert refusal(f"openai:letters@{stand_in().url}") == (
        "OPENAI_API_KEY: holds a space, a line end or another character that no key has; set it again"
    )
    assert KEY not in caplog.text


def test_key_is_in_no_traceback_record_or_terminal(stand_in: Any, tmp_path: Path) -> None:
    """The whole plugin, with every local variable shown, on a server that quotes its headers."""
    server = stand_in()
    server.faults = [lambda handler: slowly(server)] * 2 + [lambda handler: echo(handler, 400)] * 9
    command = [
        *(sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider"),
        *("--strategy=best-of-64", "--tasks=level1/19", "--kernelbench-device=cpu", "--kernelbench-run=run"),
        *(f"--policy=openai:letters@{server.url}", "--showlocals", "--full-trace", "--log-level=DEBUG", "-vv"),
        *("--kernelbench-set", "sampling.k=2", "--junitxml=junit.xml"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENAI_LOG": "debug"},
        capture_output=True,
        text=True,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 1 and "Bearer ***" in shown
    assert KEY not in shown
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"run.json", "junit.xml"} <= {file.name for file in written}
    assert not [file for file in written if KEY.encode() in file.read_bytes()]


# What a server takes


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


@pytest.mark.parametrize(
    ("names", "words", "declared"),
    [
        (["max_tokens"], NEW_NAME, ""),
        (["max_tokens"], NEW_NAME, 'rename = {max_tokens = "max_completion_tokens"}'),
        (["seed"], "Unsupported parameter: '{}'", ""),
        (["seed"], "Unsupported parameter: '{}'", 'omit = ["seed"]'),
        (["max_tokens", "seed", "top_p"], "Unrecognized request argument supplied: {}", ""),
    ],
)
def test_parameters_that_a_server_refuses_are_renamed_or_left_out(
    names: list[str], words: str, declared: str, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    server.faults = [refusing(*names, words=words)(server)] * 20
    policy = load_with(server, declared, tmp_path / "p.toml")
    refused = len([request for request in server.requests if any(name in request for name in names)])
    assert refused == (0 if declared else len(names))
    assert len(sampled(policy, task, sampling)) == sampling.k
    assert not any(name in request for request in server.requests[-sampling.k :] for name in names)
    if "max_tokens" in names:
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
