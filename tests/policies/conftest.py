"""Fixtures for the tests of policies: small random models and an adapter on disk, and a stand-in for a server."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from openai_stand_in import KEY, standing_in
from random_models import OLD_NAME_IN_PEFT, REFERENCE, llama, save_tokenizer

from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Models of a few thousand numbers: threads would only wait for each other (12 s of one test, 0.25 s on one)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def task() -> Task:
    return Task(id="level1/19_ReLU", source=REFERENCE)


@pytest.fixture
def sampling() -> Sampling:
    return Sampling(k=6, temperature=0.7, max_tokens=12, answer="module")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``tiny_policy/weights/NAME`` holds, with random weights: config, fp16 safetensors, tokenizer."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tokenizer(folder)
    llama().half().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("hf")
    save_tokenizer(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token="<end>").save_pretrained(folder)
    llama().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_folder(hf_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(hf_folder, folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OLD_NAME_IN_PEFT, FutureWarning)
        adapted = get_peft_model(llama(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of an OpenAI-compatible server, where a policy looks for it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def stand_in() -> Iterator[Any]:
    """Start a server with ``stand_in(faults=[...])``."""
    with ExitStack() as stack:
        yield lambda *address, **behaviour: stack.enter_context(standing_in(*address, **behaviour))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again at once."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    monkeypatch.setattr("pytest_kernelbench.policies.openai_client.FIRST_WAIT_S", 0.001)
