"""Behaviours of servers that differ from OpenAI's: for each, the result of a request.

vLLM, SGLang, TGI, llama.cpp, LM Studio, Ollama, LiteLLM, OpenRouter, Azure, Fireworks, Together, DeepSeek, Gemini, and
proxies before them. Their bodies are after their documentation and public reports, cut down to what is read.
"""

import gzip
import re
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from openai_policies import load
from openai_stand_in import FENCED, Reply, StandIn, body

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


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

    def in_two_seconds(handler: Any) -> Reply:
        return Reply(
            429, {"error": {"message": "slow down"}}, {"Retry-After": formatdate(time.time() + 2, usegmt=True)}
        )

    server.faults = [in_two_seconds]
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


@pytest.mark.usefixtures("no_waiting")
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
        all_sent = threading.Barrier(sampling.k, timeout=20)

        def refusal(handler: Any, words: str = words, all_sent: threading.Barrier = all_sent) -> Reply:
            all_sent.wait()
            return Reply(400, {"error": {"message": words}})

        server.faults = [refusal] * sampling.k
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
