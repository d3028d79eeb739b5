from dataclasses import replace
from pathlib import Path

import pytest
import torch
from contract import keeps_the_contract, texts

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.hf import HFPolicy, folder_of
from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling


def load(spec: str) -> HFPolicy:
    policy = load_policy(spec, device="cpu")
    assert isinstance(policy, HFPolicy)
    return policy


def test_model_without_chat_template_keeps_the_contract(hf_folder: Path, task: Task, sampling: Sampling) -> None:
    policy = load(f"hf:{hf_folder}")
    keeps_the_contract(policy, task, sampling)
    prompt = policy.tokenizer.decode(policy.prompt_ids(task, "module"))
    assert prompt == as_plain_text(build_messages(task, "module", "cpu"))


def test_chat_template_is_applied_where_there_is_one(chat_folder: Path, task: Task, sampling: Sampling) -> None:
    policy = load(f"hf:{chat_folder}")
    keeps_the_contract(policy, task, replace(sampling, answer="forward_body"))
    system, user = build_messages(task, "forward_body", "cpu")
    prompt = policy.tokenizer.decode(policy.prompt_ids(task, "forward_body"))
    assert prompt == f"<|system|>{system['content']}<|user|>{user['content']}<|assistant|>"


def test_toml_file_sets_precision_and_plain_text(chat_folder: Path, tmp_path: Path, task: Task) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'policy = "hf:{chat_folder}"\ndtype = "bfloat16"\nchat_template = false\n')
    policy = load(str(file))
    assert policy.name == str(file)
    assert policy.model.dtype is torch.bfloat16
    assert policy.tokenizer.decode(policy.prompt_ids(task, "module")).endswith("\n\nAnswer:\n")
    assert policy.version != load(f"hf:{chat_folder}").version


def test_precision_on_a_cpu_is_the_checkpoints(hf_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    assert load(f"hf:{hf_folder}").model.dtype is torch.float32


def test_adapter_saved_by_peft_changes_texts_and_version(
    hf_folder: Path, adapter_folder: Path, task: Task, sampling: Sampling
) -> None:
    base, adapted = load(f"hf:{hf_folder}"), load(f"hf:{hf_folder}+{adapter_folder}")
    completions = keeps_the_contract(adapted, task, sampling)
    assert {done.index: done.text for done in completions} != texts(base, task, sampling, range(sampling.k))
    assert adapted.version != base.version
    scores = adapted.score(task, "module", [done.token_ids or () for done in completions])
    for done, scored in zip(completions, scores, strict=True):
        assert scored == pytest.approx(done.logprobs, abs=1e-4)


def test_adapter_named_twice_is_refused(hf_folder: Path, adapter_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'policy = "hf:{hf_folder}+{adapter_folder}"\nadapter = "other"\n')
    with pytest.raises(PolicyError) as error:
        load(str(file))
    assert str(error.value) == f'{file}: adapter "other" and "+{adapter_folder}" are both named; keep one'


def test_model_that_is_nowhere_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PolicyError) as error:
        folder_of("foo")
    assert str(error.value) == (
        "hf:foo: not a folder here and not in the local cache, and the hub cannot be reached; "
        "download it first or give a path"
    )


def test_path_that_does_not_exist_is_no_id_of_the_hub() -> None:
    with pytest.raises(PolicyError) as error:
        folder_of("./no/such/folder")
    assert str(error.value) == "hf:./no/such/folder: not a folder here, and no id of the hub (OWNER/NAME)"


def test_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"cannot be loaded \(.+\); it needs config.json, weights and a tokenizer"):
        load(f"hf:{tmp_path}")


def test_folder_that_holds_no_adapter_is_refused(hf_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"does not fit \(.+\); it must be saved by peft for this very model$"):
        load(f"hf:{hf_folder}+{tmp_path}")


def test_chat_template_cannot_be_demanded_of_a_tokenizer_without_one(hf_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'policy = "hf:{hf_folder}"\nchat_template = true\n')
    with pytest.raises(PolicyError) as error:
        load(str(file))
    assert str(error.value) == (
        f"{file}: chat_template = true, but the tokenizer has none; remove the line to send plain text"
    )
