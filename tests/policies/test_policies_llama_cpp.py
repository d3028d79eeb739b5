"""A policy behind a real server, llama.cpp, of a small random model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contract import keeps_the_contract, texts
from llama_cpp import save_gguf, serving
from openai_policies import load, refusal, sampled
from openai_stand_in import KEY
from random_models import llama, save_tokenizer

from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

UNTRUNCATED = "\n[body]\ntop_k = 0\nmin_p = 0.0\n"

pytestmark = pytest.mark.usefixtures("key")


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
