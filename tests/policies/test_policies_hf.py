"""The ``hf`` policy: chat templates, precision, adapters, policy files, and models that cannot be loaded."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from contract import keeps_the_contract, texts
from random_models import OLD_NAME_IN_PEFT, llama

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


TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>"


def tuned(base: Path, folder: Path, *, grow: bool) -> Path:
    """An adapter as trl saves it: with a tokenizer and a template of its own, and with tokens of its own."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    tokenizer.chat_template = TEMPLATE
    if grow:
        tokenizer.add_special_tokens({"additional_special_tokens": [f"<|t{n}|>" for n in range(3)]})
        model.resize_token_embeddings(model.config.vocab_size + 3)
    modules = ["embed_tokens", "lm_head"] if grow else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OLD_NAME_IN_PEFT, FutureWarning)
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", "Setting `save_embedding_layers` to `True`")
        config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=modules)
        get_peft_model(model, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("grow", [False, True])
def test_an_adapter_brings_its_own_tokenizer(
    grow: bool, hf_folder: Path, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    policy = load(f"hf:{hf_folder}+{tuned(hf_folder, tmp_path / 'adapter', grow=grow)}")
    assert policy.chat_template and policy.tokenizer.chat_template == TEMPLATE
    assert policy.tokenizer.decode(policy.prompt_ids(task, "module")).endswith("<|assistant|>")
    assert policy.model.get_input_embeddings().weight.shape[0] == 320 + 3 * grow
    assert len(list(policy.sample(task, sampling, seed=0, indices=range(2)))) == 2


def test_an_adapter_of_another_shape_is_refused_with_the_sizes(tmp_path: Path, hf_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OLD_NAME_IN_PEFT, FutureWarning)
        wide = get_peft_model(llama(hidden_size=64), LoraConfig(r=2, target_modules=["q_proj"]))
        wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(PolicyError) as error:
        load(f"hf:{hf_folder}+{tmp_path / 'wide'}")
    assert "does not fit (size mismatch for base_model" in str(error.value)
    assert "torch.Size([2, 64])" in str(error.value)


def test_a_policy_file_sets_template_length_and_stop(chat_folder: Path, tmp_path: Path, task: Task) -> None:
    folder, file = tmp_path / "model", tmp_path / "mine.toml"
    shutil.copytree(chat_folder, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE + "{% if not enable_thinking %}<think></think>{% endif %}")
    file.write_text(
        f'policy = "hf:{folder}"\nmax_tokens = 5\nstop = ["a"]\nchat_template_kwargs = {{enable_thinking = false}}\n'
    )
    policy = load(str(file))
    prompt = policy.tokenizer.decode(policy.prompt_ids(task, "module"))
    assert prompt.endswith("<|assistant|><think></think>")
    assert policy.tokenizer("a")["input_ids"][0] in policy.eos_ids and policy.version != load(f"hf:{folder}").version
    (done,) = policy.sample(task, Sampling(k=1, max_tokens=12), seed=0, indices=[0])
    assert (
        len(done.token_ids or ()) <= 5
        and done.prompt_sha256
        and done.prompt_tokens == len(policy.prompt_ids(task, "module"))
    )


def test_a_word_that_is_no_token_cannot_stop(hf_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'policy = "hf:{hf_folder}"\nstop = ["@@@"]\n')
    with pytest.raises(PolicyError) as error:
        load(str(file))
    assert str(error.value) == f'{file}: stop = "@@@" is 3 tokens of this tokenizer; name one of its special tokens'


REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def test_a_template_without_a_system_message_gets_its_text_with_the_question(
    chat_folder: Path, tmp_path: Path, task: Task
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(chat_folder, folder)
    (folder / "chat_template.jinja").write_text(REFUSES_SYSTEM + TEMPLATE)
    policy = load(f"hf:{folder}")
    prompt = policy.tokenizer.decode(policy.prompt_ids(task, "module"))
    system, user = build_messages(task, "module", "cpu")
    assert prompt == f"<|user|>{system['content']}\n\n{user['content']}<|assistant|>"
    (folder / "chat_template.jinja").write_text("{{ raise_exception('Never') }}")
    with pytest.raises(PolicyError) as error:
        load(f"hf:{folder}").prompt_ids(task, "module")
    assert str(error.value) == (
        f"the chat template of {folder} refuses the question (Never); write chat_template = false into a policy file"
    )
