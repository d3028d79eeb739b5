"""gpt-oss here, at a server and at Tinker: its reasoning and its answer are told apart, also when cut off."""

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harmony import ANALYSIS, FINAL, SPECIAL, save_harmony, saying
from openai_stand_in import Reply, standing_in

from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.hf import HFPolicy
from pytest_kernelbench.prompting.candidates import candidate_of
from pytest_kernelbench.records import Candidate, Completion, Task
from pytest_kernelbench.strategy import Sampling

DRAFT = "```python\nclass ModelNew:\n    def forward(self, a):\n        return a  # draft\n```"
RIGHT = "class ModelNew:\n    def forward(self, a):\n        return a.relu()"
ANSWER = f"Here:\n```python\n{RIGHT}\n```"
SAID = {
    "answers": f"{ANALYSIS}Hm.<|end|>{FINAL}{ANSWER}<|return|>",
    "drafts": f"{ANALYSIS}Say {DRAFT}?<|end|>{FINAL}{ANSWER}<|return|>",
    "answers at once": f"<|channel|>final<|message|>{ANSWER}<|return|>",
    "cut off thinking": f"{ANALYSIS}Say {DRAFT}? {'Hm. ' * 400}",
    "cut off answering": f"{ANALYSIS}Hm.<|end|>{FINAL}Let me say it: {'well, ' * 400}",
    "ends thinking": f"{ANALYSIS}Say {DRAFT}?<|return|>",
}
REASONS = {
    "cut off thinking": "is cut off at 360 tokens in its reasoning",
    "cut off answering": "is cut off at 360 tokens",
    "ends thinking": "ends in its reasoning",
}
MAX_TOKENS = 360
PROMPT = "<|start|>user<|message|>Hm?<|end|><|start|>assistant"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # Two threads for layers of 32 wait for each other.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt-oss")
    save_harmony(folder)
    return folder


@pytest.fixture
def sampling() -> Sampling:
    return Sampling(k=1, temperature=0.7, max_tokens=MAX_TOKENS)


def scripted(folder: Path, task: Task, said: str) -> HFPolicy:
    policy = HFPolicy(folder, name="gpt-oss", device="cpu")
    prompt = policy.tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    # The question itself has 1,000 tokens of bytes.
    policy.prompt_ids = lambda task, answer, *, advice="": prompt  # type: ignore[method-assign]
    script = policy.tokenizer(said, add_special_tokens=False)["input_ids"]
    saying(policy.model, script, len(prompt))
    return policy


def judged(completion: Completion, task: Task) -> Candidate:
    return candidate_of(completion, task, answer="module", max_tokens=MAX_TOKENS)


def check(completion: Completion, task: Task, what: str) -> None:
    """Source, reasoning and spans are those of what was said."""
    candidate = judged(completion, task)
    if what in REASONS:
        assert (candidate.source, candidate.missing) == (None, REASONS[what])
        assert completion.cut_off is what.startswith("cut off")
    else:
        assert (candidate.source, completion.cut_off, completion.text) == (RIGHT, False, ANSWER)
        assert completion.answer_tokens is not None and completion.code_tokens is not None
    thought = {"answers at once": None, "answers": "Hm.", "cut off answering": "Hm."}.get(what, "Say ")
    assert completion.reasoning is thought or (completion.reasoning or "").startswith(thought or "?")
    assert not any(token in completion.text for token in SPECIAL)


@pytest.mark.parametrize("what", list(SAID))
def test_what_it_says_here_is_read_rightly(what: str, folder: Path, task: Task, sampling: Sampling) -> None:
    policy = scripted(folder, task, SAID[what])
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    check(done, task, what)
    if done.answer_tokens is not None and done.token_ids is not None:
        spelled = policy.spell(done.token_ids[slice(*done.answer_tokens)])
        assert spelled.removesuffix("<|return|>") == done.text
        assert RIGHT in policy.spell(done.token_ids[slice(*(done.code_tokens or (0, 0)))]) or what in REASONS
        assert done.score("answer", "sum") == pytest.approx(sum((done.logprobs or ())[done.answer_tokens[0] :]))


def test_the_draft_costs_surprisal_nothing(folder: Path, task: Task, sampling: Sampling) -> None:
    """Reasoning at 9 nats a token would rank the thinking and not the answer."""
    (done,) = scripted(folder, task, SAID["drafts"]).sample(task, sampling, seed=0, indices=[0])
    first = (done.answer_tokens or (0, 0))[0]
    surprising = tuple(-9.0 if place < first else value for place, value in enumerate(done.logprobs or ()))
    changed = replace(done, logprobs=surprising)
    assert changed.score("answer", "mean") == done.score("answer", "mean")
    assert (changed.score("all", "mean") or 0) < (done.score("all", "mean") or 0) - 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the Tinker SDK needs Python 3.11")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("what", ["drafts", "cut off thinking"])
def test_what_it_says_at_tinker_is_read_rightly(
    what: str, folder: Path, task: Task, sampling: Sampling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinker_stand_in import tinker_service

    from pytest_kernelbench.policies.tinker_service import TinkerPolicy

    monkeypatch.setenv("TINKER_API_KEY", "tml-secret-7b2e")
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    monkeypatch.setenv("HOME", str(tmp_path))
    here = scripted(folder, task, SAID[what])
    model, prompt = here.model, here.prompt_ids(task, "module")
    monkeypatch.setattr(TinkerPolicy, "prompt_ids", lambda self, task, answer, *, advice="": prompt)
    with tinker_service(model, "tml-secret-7b2e") as server:
        file = tmp_path / "policy.toml"
        file.write_text(f'policy = "tinker:tests/random"\ntokenizer = "{folder}"\nbase_url = "{server.url}"\n')
        (done,) = load_policy(str(file), device="cpu").sample(task, sampling, seed=0, indices=[0])
    check(done, task, what)
    gc.collect()  # the SDK's connections here, and not in a test that forbids such warnings


# A server

Entry = dict[str, Any]


def entries(text: str, logprob: float) -> list[Entry]:
    pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
    return [{"token": piece, "bytes": list(piece.encode()), "logprob": logprob, "top_logprobs": []} for piece in pieces]


def served(what: str, covers: str) -> Reply:
    """As vLLM's reasoning parser hands it over; ``covers``: which tokens have log-probabilities."""
    said = SAID[what].removesuffix("<|return|>").removeprefix(ANALYSIS)
    thought, _, content = said.partition("<|start|>assistant<|channel|>final<|message|>")
    if what == "answers at once":
        thought, content = "", said.removeprefix("<|channel|>final<|message|>")
    thought = thought.removesuffix("<|end|>")
    listed = entries(content, -0.25)
    if covers == "both":
        listed = entries(thought, -9.0) + entries(FINAL, 0.0) + listed
    stop_reason = "length" if what.startswith("cut off") else "stop"
    message = {"content": content or None, "reasoning_content": thought or None}
    n = len(entries(thought + FINAL + content, 0.0)) + 2
    usage = {"completion_tokens": len(listed) if covers == "both" else n, "prompt_tokens": 9}
    choice = {"finish_reason": stop_reason, "message": message, "logprobs": {"content": listed}}
    return Reply(body={"model": "letters", "choices": [choice], "usage": usage})


@pytest.fixture
def server() -> Iterator[Any]:
    with ExitStack() as stack:
        yield stack.enter_context(standing_in())


@pytest.mark.parametrize("covers", ["content", "both"])
@pytest.mark.parametrize("what", list(SAID))
def test_what_it_says_at_a_server_is_read_rightly(
    what: str, covers: str, server: Any, task: Task, sampling: Sampling
) -> None:
    policy = load_policy(f"openai:letters@{server.url}", device="cpu")
    server.faults = [served(what, covers)]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    candidate = judged(done, task)
    if what in REASONS:
        assert candidate.source is None and ("in its reasoning" in (candidate.missing or "")) is ("thinking" in what)
        assert done.cut_off is what.startswith("cut off")
        return
    assert (candidate.source, done.text, done.prompt_tokens) == (RIGHT, ANSWER, 9)
    assert (done.reasoning or None) == {"answers": "Hm.", "drafts": f"Say {DRAFT}?"}.get(what)
    assert done.score("answer", "mean") == pytest.approx(-0.25)
    assert done.score("code", "mean") == pytest.approx(-0.25)


@pytest.mark.parametrize("special", [True, False], ids=["with special tokens", "without"])
@pytest.mark.parametrize("what", list(SAID))
def test_what_it_says_at_a_server_without_a_parser_is_read_rightly(
    what: str, special: bool, server: Any, task: Task, sampling: Sampling
) -> None:
    said = SAID[what].removesuffix("<|return|>")
    for token in () if special else SPECIAL:
        said = said.replace(token, "")
    stop_reason = "length" if what.startswith("cut off") else "stop"
    choice = {"finish_reason": stop_reason, "message": {"content": said}, "logprobs": None}
    policy = load_policy(f"openai:letters@{server.url}", device="cpu")
    server.faults = [Reply(body={"model": "letters", "choices": [choice]})]
    (done,) = policy.sample(task, sampling, seed=0, indices=[0])
    candidate = judged(done, task)
    assert candidate.source == (None if what in REASONS else RIGHT)
    assert done.cut_off is what.startswith("cut off")
    if what in REASONS:
        assert ("in its reasoning" in (candidate.missing or "")) is ("thinking" in what)


CALL = f"{ANALYSIS}Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.run <|constrain|>json<|message|>"


def test_a_draft_in_a_tools_call_is_no_answer(folder: Path, task: Task, sampling: Sampling) -> None:
    calls = f"{CALL}{DRAFT}<|call|><|start|>functions.run to=assistant<|channel|>commentary<|message|>1<|end|>"
    for said, source in ((calls, None), (f"{calls}{FINAL}{ANSWER}<|return|>", RIGHT)):
        whole = replace(sampling, max_tokens=len(said))
        (done,) = scripted(folder, task, said).sample(task, whole, seed=0, indices=[0])
        assert judged(done, task).source == source
