"""What servers of different makers do that OpenAI's does not: each behaviour, and what becomes of a request.

vLLM, SGLang, TGI, llama.cpp, LM Studio, Ollama, LiteLLM, OpenRouter, Azure, Fireworks, Together, DeepSeek, Gemini, and
proxies before them. Their bodies are after their documentation and public reports, cut down to what is read.
"""

import gzip
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from openai_stand_in import Reply, StandIn, standing_in

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.openai_answers import ServerError, read_answer
from pytest_kernelbench.policies.openai_server import OpenAIPolicy
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling

RIGHT = "class ModelNew:\n    def forward(self, a):\n        return a.relu()"
FENCED = f"```python\n{RIGHT}\n```"
PIECES = [FENCED[start : start + 5] for start in range(0, len(FENCED), 5)]
N = len(PIECES)
CONTENT = [{"token": piece, "bytes": list(piece.encode()), "logprob": -0.5, "top_logprobs": []} for piece in PIECES]
LISTED = {"tokens": PIECES, "token_logprobs": [-0.5] * N, "top_logprobs": [{piece: -0.5} for piece in PIECES]}


def body(message: Any, finish_reason: Any = "stop", *, logprobs: Any = None, usage: Any = None, **more: Any) -> str:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    return json.dumps({"object": "chat.completion", "model": "letters", "choices": [choice], "usage": usage, **more})


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-4c1d0f")


@pytest.fixture
def stand_in() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda *address, **behaviour: stack.enter_context(standing_in(*address, **behaviour))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    monkeypatch.setattr("pytest_kernelbench.policies.openai_client.FIRST_WAIT_S", 0.001)


def load(spec: str) -> OpenAIPolicy:
    policy = load_policy(spec, device="cpu")
    assert isinstance(policy, OpenAIPolicy)
    return policy


def one_of(server: StandIn, fault: Any, task: Task, sampling: Sampling) -> Completion:
    """The completion that a server's reply becomes, once the policy is loaded."""
    policy = load(f"openai:letters@{server.url}")
    server.faults = [fault]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    return done


def error_of(server: StandIn, fault: Reply, task: Task, sampling: Sampling) -> KernelBenchError:
    policy = load(f"openai:letters@{server.url}")
    server.faults = [fault] * 9
    with pytest.raises(KernelBenchError) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    return error.value


# Bodies


@pytest.mark.parametrize(
    ("kind", "text", "reasoning"),
    [
        ({"message": {"content": FENCED, "reasoning_content": None, "reasoning": "Hm."}}, FENCED, "Hm."),
        ({"message": {"content": FENCED, "reasoning_content": "", "reasoning": None, "tool_calls": []}}, FENCED, None),
        (
            {"message": {"content": FENCED, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}},
            FENCED,
            "Hm.",
        ),
        (
            {"message": {"content": FENCED, "reasoning_details": [{"type": "reasoning.encrypted", "data": "e3"}]}},
            FENCED,
            "",
        ),
        ({"message": {"content": {"type": "text", "text": FENCED}}}, FENCED, None),
        ({"message": {"content": [{"type": "output_text", "text": FENCED}]}}, FENCED, None),
        ({"message": {"role": "assistant", "content": None, "reasoning": "Hm."}}, "", "Hm."),
        ({"message": {"content": None, "thinking": "Hm."}}, "", "Hm."),
    ],
    ids=[
        "vLLM's newer key",
        "SGLang without reasoning",
        "OpenRouter's details",
        "OpenRouter's hidden details",
        "a part alone",
        "parts of a response",
        "reasoning alone",
        "Ollama's key",
    ],
)
def test_reasoning_is_found_under_each_makers_key(kind: Any, text: str, reasoning: str | None) -> None:
    read = read_answer(body(**kind))
    assert (read.text, read.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("said", "stop_reason", "cut_off"),
    [
        ("eos_token", "stop", False),  # TGI
        ("eos", "stop", False),  # Together
        ("stop_sequence", "stop", False),  # TGI
        ("end_turn", "stop", False),  # Anthropic, by a proxy
        ("STOP", "stop", False),  # Gemini, by a proxy
        ("length", "length", True),
        ("MAX_TOKENS", "length", True),  # Gemini, by a proxy
        ("max_tokens", "length", True),
        ("max_output_tokens", "length", True),
        ("model_length", "length", True),  # Mistral
        ("model_context_window_exceeded", "length", True),
        ("function_call", "tool_calls", False),
        ("tool_use", "tool_calls", False),
        ("SAFETY", "content_filter", False),
        ("content_filter: RECITATION", "content_filter", False),
        ("something new", "something new", False),
        (None, None, None),  # Ollama's older versions
    ],
)
def test_the_end_of_an_answer_is_known_by_each_makers_word(said: Any, stop_reason: Any, cut_off: Any) -> None:
    read = read_answer(body({"content": FENCED}, said))
    assert read.stop_reason == stop_reason and read.read(answer="module").cut_off is cut_off


@pytest.mark.parametrize("said", ["abort", "error", "load", "insufficient_system_resource", "cancelled"])
def test_an_answer_that_the_server_broke_off_is_no_answer(said: str) -> None:
    with pytest.raises(ServerError) as error:
        read_answer(body({"content": "class Mo"}, said))
    assert error.value.passing and str(error.value) == f'an answer that it broke off ("{said}")'


@pytest.mark.parametrize("choices", [[], None])
def test_an_answer_without_a_choice_may_pass(choices: Any) -> None:
    with pytest.raises(ServerError) as error:
        read_answer(json.dumps({"model": "letters", "choices": choices, "usage": {"prompt_tokens": 3}}))
    assert error.value.passing and str(error.value) == "an answer without a choice"


@pytest.mark.parametrize(
    ("logprobs", "end"),
    [
        ({"content": CONTENT, "refusal": None}, "stop"),  # OpenAI, vLLM, SGLang
        ({"content": [{**each, "sampling_logprob": -0.4} for each in CONTENT], "token_logprobs": None}, "stop"),
        ({**LISTED, "text_offset": [0] * N, "token_ids": list(range(N))}, "stop"),  # Fireworks, in a chat
        ({**LISTED, "top_logprobs": None, "token_ids": list(range(N))}, "eos"),  # Together
        (CONTENT, "stop"),  # a list alone, by a proxy
    ],
)
def test_log_probabilities_of_each_shape_are_read(logprobs: Any, end: str) -> None:
    usage = {"completion_tokens": N + 1, "prompt_tokens": 9}  # with the end token, which has no entry
    read = read_answer(body({"content": FENCED}, end, logprobs=logprobs, usage=usage))
    assert read.logprobs == (-0.5,) * N
    reading = read.read(answer="module")
    assert reading.answer_tokens == (0, N) and reading.code_tokens == (2, N - 1)


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": []}, {"tokens": [], "token_logprobs": []}]
)
def test_an_empty_table_holds_no_log_probabilities(logprobs: Any) -> None:
    read = read_answer(body({"content": FENCED}, logprobs=logprobs))
    assert (read.logprobs, read.missing) == (None, "none were given")


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": 0}, "none"])
def test_usage_may_be_missing(usage: Any) -> None:
    text = json.loads(body({"content": FENCED}, logprobs={"content": CONTENT}))
    assert read_answer(json.dumps({**text, "usage": usage})).logprobs == (-0.5,) * N


STREAM = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "model": "letters"},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "."}}]},
    *(
        {"choices": [{"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each]}}]}
        for each in CONTENT
    ),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"completion_tokens": N + 3, "prompt_tokens": 9}},
]


@pytest.mark.parametrize("end", ["data: [DONE]\n\n", ""])
def test_a_stream_that_was_not_asked_for_is_read(end: str) -> None:
    text = ": keep-alive\n\n" + "".join(f"data: {json.dumps(each)}\n\n" for each in STREAM) + end
    read = read_answer(text)
    assert (read.text, read.reasoning, read.stop_reason, read.model) == (FENCED, "Hm.", "stop", "letters")
    assert read.logprobs == (-0.5,) * N and read.prompt_tokens == 9


def test_a_stream_that_ends_early_is_asked_for_again() -> None:
    text = "".join(f"data: {json.dumps(each)}\n\n" for each in STREAM[:6])
    with pytest.raises(ServerError) as error:
        read_answer(text)
    assert error.value.passing and str(error.value) == "a stream that ends early"


def test_an_error_in_a_stream_is_an_error() -> None:
    text = f"data: {json.dumps(STREAM[0])}\n\ndata: {json.dumps({'error': {'message': 'overloaded'}})}\n\n"
    with pytest.raises(ServerError, match="overloaded"):
        read_answer(text)


@pytest.mark.parametrize(
    "before",
    ["\n\n\n", ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n", "\ufeff"],
    ids=["lines", "comments", "mark"],
)
def test_what_keeps_a_connection_alive_is_no_part_of_the_answer(before: str) -> None:
    assert read_answer(before + body({"content": FENCED})).text == FENCED


# Transport


def test_a_compressed_answer_is_read(stand_in: Any, task: Task, sampling: Sampling) -> None:
    reply = Reply(body=gzip.compress(body({"content": FENCED}).encode()), headers={"Content-Encoding": "gzip"})
    assert one_of(stand_in(), reply, task, sampling).text == FENCED


def test_an_answer_in_chunks_is_read_and_one_that_breaks_off_is_asked_for_again(
    stand_in: Any, task: Task, sampling: Sampling, no_waiting: None
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    whole = Reply(body=body({"content": FENCED}), chunked=True)
    server.faults = [Reply(body=whole.body, chunked=True, length=0), whole]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    assert done.text == FENCED and not server.faults
    broken = error_of(server, Reply(body=whole.body, chunked=True, length=0), task, sampling)
    assert isinstance(broken, HarnessError)
    assert str(broken).endswith(
        "breaks off its answers (RemoteProtocolError); see the server's log, and run again to resume"
    )


def test_a_date_in_retry_after_is_waited_for(stand_in: Any, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.requests.clear()
    server.faults = [
        Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": formatdate(time.time() + 2, usegmt=True)})
    ]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    first, second = server.requests
    assert done.text and second["at"] - first["at"] >= 0.9


def test_an_address_of_ipv6_with_a_slash_at_its_end_is_an_address(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in("::1")
    assert server.url.startswith("http://[::1]:")
    plain, slash = load(f"openai:letters@{server.url}"), load(f"openai:letters@{server.url}/")
    assert plain.version == slash.version and len(list(slash.sample(task, sampling, seed=0, indices=[0]))) == 1


@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/chat/completions/"])
def test_the_whole_address_of_an_endpoint_is_an_address(path: str, stand_in: Any) -> None:
    server = stand_in()
    assert load(f"openai:letters@{server.url}{path}").version == load(f"openai:letters@{server.url}").version


# Errors


PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1>\r\n</body></html>"


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            Reply(502, PAGE, {"Content-Type": "text/html"}),
            HarnessError,
            "keeps failing (502: 502 Bad Gateway); see the server's log, and run again to resume",
        ),
        (
            Reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            HarnessError,
            "keeps failing (529: Overloaded); see the server's log, and run again to resume",
        ),
        (
            Reply(429, {"error": {"message": "daily limit"}}, {"Retry-After": "7200"}),
            HarnessError,
            "keeps failing (429: daily limit); it asks to wait for 7200 s: run again then to resume",
        ),
        (
            Reply(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
            HarnessError,
            "has no credit left (429: You exceeded your current quota); add some, and run again to resume",
        ),
        (
            Reply(402, {"error": {"message": "Insufficient credits", "code": 402}}),
            HarnessError,
            "has no credit left (402: Insufficient credits); add some, and run again to resume",
        ),
        (
            Reply(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
            HarnessError,
            "keeps failing (503: Loading model); see the server's log, and run again to resume",
        ),
        (
            Reply(413, "<html><title>413 Request Entity Too Large</title></html>", {"Content-Type": "text/html"}),
            PolicyError,
            "refuses the request (413: 413 Request Entity Too Large); "
            "correct the strategy's [sampling] or the policy file's body",
        ),
        (
            Reply(200, {"error": "Unexpected endpoint or method. (POST /chat/completions). Returning 200 anyway"}),
            PolicyError,
            'has no /chat/completions (200: "Unexpected endpoint or method. (POST /chat/completions). '
            'Returning 200 anyway"); correct BASE_URL, which usually ends in /v1',
        ),
        (
            Reply(
                422,
                {
                    "error": "Input validation error: `inputs` must have less than 4096 tokens",
                    "error_type": "validation",
                },
            ),
            PolicyError,
            "refuses the request (422: Input validation error: `inputs` must have less than 4096 tokens); "
            "correct the strategy's [sampling] or the policy file's body",
        ),
    ],
    ids=["page", "529", "a long wait", "quota", "402", "loading", "413", "LM Studio", "TGI"],
)
def test_a_lasting_error_of_each_maker_is_said_with_its_remedy(
    fault: Reply,
    kind: type[KernelBenchError],
    message: str,
    stand_in: Any,
    task: Task,
    sampling: Sampling,
    no_waiting: None,
) -> None:
    server = stand_in()
    error = error_of(server, fault, task, sampling)
    assert type(error) is kind
    assert str(error) == f"--policy=openai:letters@{server.url}: {message}"


def test_a_date_that_is_far_away_is_said_in_seconds(stand_in: Any, task: Task, sampling: Sampling) -> None:
    date = {"Retry-After": formatdate(time.time() + 7200, usegmt=True)}
    error = error_of(stand_in(), Reply(503, {"error": {"message": "maintenance"}}, date), task, sampling)
    found = re.search(r"it asks to wait for (\d+) s: run again then to resume$", str(error))
    assert found and 7100 < int(found[1]) <= 7200


def test_a_prompt_that_a_filter_stops_is_an_answer_without_a_source(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    said = {
        "error": {"message": "The response was filtered", "code": "content_filter", "status": 400, "param": "prompt"}
    }
    done = one_of(stand_in(), Reply(400, said), task, sampling)
    assert (done.text, done.stop_reason, done.logprobs) == ("", "content_filter", None)
    assert candidate_of(done, task, answer="module", max_tokens=12).missing == "is a refusal"


# Parameters


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Input validation error: `top_p` must be > 0.0 and < 1.0", "top_p"),  # TGI
        ("litellm.UnsupportedParamsError: gemini does not support parameters: ['seed'], for model=letters", "seed"),
        ("temperature and top_p cannot both be specified for this model. Please use only one.", "top_p"),
        ('Unknown name "seed": Cannot find field.', "seed"),  # Gemini
    ],
)
def test_parameters_of_their_usual_value_are_left_out_where_a_server_refuses_them(
    words: str, name: str, stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in(faults=[Reply(400, {"error": {"message": words, "param": "None"}})])
    policy = load(f"openai:letters@{server.url}")
    assert name in server.requests[0] and name not in server.requests[1]
    if name != "seed":
        assert len(list(policy.sample(task, sampling, seed=0, indices=range(2)))) == 2


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",  # vLLM with Gemma 2's template
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Developer instruction is not enabled for models/letters",  # Google
        "Conversation roles must alternate user/assistant/user/assistant/...",  # Mistral's first template
    ],
)
def test_a_server_that_refuses_a_system_message_gets_its_text_with_the_question(
    words: str, stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.requests.clear()
    server.faults = [Reply(400, {"error": {"message": words}})]
    assert len(list(policy.sample(task, sampling, seed=0, indices=[0]))) == 1
    refused, taken = [[each["role"] for each in request["messages"]] for request in server.requests]
    assert (refused, taken) == (["system", "user"], ["user"])
    first, second = server.requests
    assert second["messages"][0]["content"] == "\n\n".join(each["content"] for each in first["messages"])


def test_what_one_refusal_teaches_is_learnt_by_all_requests_of_that_time(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    for words in ("System role not supported", "Unsupported parameter: 'seed'"):
        # As many as are under way at once, each answered after all were sent.
        server.faults = [Reply(400, {"error": {"message": words}}, after_s=0.3)] * sampling.k
        done = list(policy.sample(task, sampling, seed=0, indices=range(sampling.k)))
        assert len(done) == sampling.k and not server.faults


def test_a_parameter_of_the_policy_file_that_is_refused_is_the_files_to_correct(
    stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server, file = stand_in(), tmp_path / "p.toml"
    file.write_text(f'policy = "openai:letters@{server.url}"\n[body]\ntop_p = 1\n')
    policy = load(str(file))
    server.faults = [Reply(400, {"error": {"message": "top_p is not supported"}})] * 3
    with pytest.raises(PolicyError, match="correct the strategy's \\[sampling\\] or the policy file's body"):
        list(policy.sample(task, sampling, seed=0, indices=[0]))


def test_a_server_that_takes_a_number_for_logprobs_is_given_one(stand_in: Any, task: Task, sampling: Sampling) -> None:
    said = {"error": {"message": "logprobs: Input should be a valid integer", "type": "invalid_request_error"}}

    def answer(handler: Any) -> Reply:
        request = server.requests[-1]
        return Reply(400, said) if request["logprobs"] is True else Reply(body=server.answer(request, chat=True))

    server = stand_in()
    server.faults = [answer] * 9
    policy = load(f"openai:letters@{server.url}")
    assert policy.gives_logprobs and [each["logprobs"] for each in server.requests[:2]] == [True, 5]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    assert done.logprobs and "top_logprobs" not in server.requests[-1]


# Models


@pytest.mark.parametrize(
    "listing",
    [
        Reply(body=[{"id": "letters"}, {"id": "other"}]),  # Together: a list alone
        Reply(body={"object": "list", "data": None}),
        Reply(404, "<html>nginx</html>"),
        Reply(401, {"error": "no"}),
        Reply(body="no JSON"),
    ],
    ids=["list", "null", "404", "401", "text"],
)
def test_a_list_of_models_of_any_kind_stops_nobody(listing: Reply, stand_in: Any) -> None:
    assert load(f"openai:letters@{stand_in(listing=listing).url}").logprobs == "raw"


def test_a_list_without_an_envelope_is_read(stand_in: Any) -> None:
    listing = Reply(body=[{"id": "letters", "max_model_len": 4000}, {"id": "other"}])
    assert load(f"openai:letters@{stand_in(listing=listing).url}").context == 4000


def test_a_variant_of_a_model_is_that_model(stand_in: Any) -> None:
    """OpenRouter's ``model:nitro`` is answered as ``model``, and is in no list."""
    assert load(f"openai:letters:nitro@{stand_in().url}").logprobs == "raw"


def test_a_deployment_is_another_models_name_where_the_policy_file_says_so(stand_in: Any, tmp_path: Path) -> None:
    """Azure answers with the name of the model, and lists no deployments."""
    server, file = stand_in(), tmp_path / "p.toml"
    file.write_text(f'policy = "openai:my-deployment@{server.url}"\n')
    with pytest.raises(PolicyError) as error:
        load(str(file))
    assert str(error.value) == (
        f'--policy={file}: {server.url}: serves "letters", not "my-deployment"; there is letters; '
        'if this is a deployment\'s name, write served = "letters" into a policy file'
    )
    file.write_text(f'policy = "openai:my-deployment@{server.url}"\nserved = "letters"\n')
    assert load(str(file)).logprobs == "raw"
