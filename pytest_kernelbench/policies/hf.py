"""``hf:ID_OR_PATH[+ADAPTER]``: any causal language model that transformers loads, with a peft adapter if named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoModelForCausalLM, AutoTokenizer, Mxfp4Config

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.host import vector_math
from pytest_kernelbench.policies.adapters import adapter_files, own_tokenizer, with_adapter
from pytest_kernelbench.policies.base import version_of
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy, end_ids
from pytest_kernelbench.policies.decoding import Model
from pytest_kernelbench.policies.device_memory import memory_of, refuse_spill, refuse_spilled, weights_bytes
from pytest_kernelbench.policies.prompt_tokens import prompt_tokens
from pytest_kernelbench.prompting.prompts import build_messages
from pytest_kernelbench.records import Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec

# Some repositories hold the weights a second time, in their makers' own formats and folders.
ROOT_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
FOLDERS = ("*/*",)
WEIGHT_FILES = ("*.safetensors", "*.bin")


class HFPolicy(CausalLMPolicy):
    """``model`` in ``folder``, prompted through its chat template where its tokenizer has one.

    On a GPU bfloat16, spread over the visible GPUs for ``cuda``, over two for ``cuda:1,2``; on a CPU the
    checkpoint's own precision, float32 where it names none. A TOML file's ``dtype`` overrides both; its ``settings``
    are ``chat_template_kwargs``, ``max_tokens`` in place of the strategy's, and ``stop``: tokens that end an answer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        device: str,
        adapter: Path | None = None,
        dtype: str | None = None,
        chat_template: bool | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Load from ``folder``; raises PolicyError where transformers or peft cannot."""
        vector_math.make_ready()
        self.name = name
        self.target = "cuda" if device.startswith("cuda") else "cpu"
        self.dequantises = dtype is not None
        dtype = dtype or ("bfloat16" if self.target == "cuda" else "auto")
        try:
            tokenizer = adapter if adapter is not None and own_tokenizer(adapter) else folder
            self.tokenizer = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
            self.model = self.load_model(folder, dtype if dtype == "auto" else getattr(torch, dtype), device)
        except (OSError, ValueError, ImportError) as error:
            raise PolicyError(
                f"--policy={name}: {folder} cannot be loaded ({_first_line(error)}); "
                "it needs config.json, weights and a tokenizer that this transformers knows"
            ) from error
        if adapter is not None:
            self.model = with_adapter(self.model, adapter, name)
        self.model.eval()
        self.chat_template = self._use_chat_template(chat_template)
        settings = settings or {}
        self.template_kwargs = settings.get("chat_template_kwargs")
        self.max_tokens = settings.get("max_tokens")
        stops = [self._token_of(word) for word in settings.get("stop", ())]
        self.eos_ids = end_ids(self.model, self.tokenizer.eos_token_id, *stops)
        self.version = version_of(
            _identifying_files(folder) + (adapter_files(adapter) if adapter else []),
            dtype,
            self.chat_template,
            *([sorted(settings.items())] if settings else []),
        )

    def load_model(self, folder: Path, dtype: str | torch.dtype, device: str) -> Model:
        """The weights in ``folder``, on ``device``. Raises OSError, ValueError, ImportError or PolicyError."""
        places = gpu_places(device)
        free = {place: memory_of(torch.device(place)).free for place in places}
        if places:
            refuse_spill(self.name, weights_bytes(folder, dtype), free)
        several: dict[str, Any] = {
            "device_map": "auto",
            "max_memory": {int(place.removeprefix("cuda:")): each for place, each in free.items()},
        }
        where: dict[str, Any] = several if len(places) > 1 else {"device_map": {"": places[0] if places else device}}
        if self.dequantises:
            where |= whole_precision(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **where)
        if places:
            refuse_spilled(self.name, getattr(model, "hf_device_map", None))
        return model

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> HFPolicy:
        model, adapter = spec.argument, spec.adapter
        if not Path(model).is_dir() and "+" in model:
            model, _, named = model.rpartition("+")
            if adapter is not None:
                raise PolicyError(f'{spec.name}: adapter "{adapter}" and "+{named}" are both named; keep one')
            adapter = named
        return cls(
            folder_of(model),
            name=spec.name,
            device=device,
            adapter=None if adapter is None else folder_of(adapter),
            dtype=spec.dtype,
            chat_template=spec.chat_template,
            settings=spec.settings,
        )

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        messages = build_messages(task, answer, self.target, advice=advice)
        return prompt_tokens(
            self.tokenizer, messages, chat_template=self.chat_template, template_kwargs=self.template_kwargs
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._text(token_ids, skip_special_tokens=True)

    def spell(self, token_ids: Sequence[int]) -> str:
        return self._text(token_ids, skip_special_tokens=False)

    def _text(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        decode = self.tokenizer.decode
        ids = list(token_ids)
        return str(decode(ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False))

    def _token_of(self, word: str) -> int:
        """The one token that ends an answer; raises PolicyError where the tokenizer spells ``word`` otherwise."""
        ids = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise PolicyError(
                f'{self.name}: stop = "{word}" is {len(ids)} tokens of this tokenizer; name one of its special tokens'
            )
        return int(ids[0])

    def _use_chat_template(self, wanted: bool | None) -> bool:
        there = self.tokenizer.chat_template is not None
        if wanted and not there:
            raise PolicyError(
                f"{self.name}: chat_template = true, but the tokenizer has none; remove the line to send plain text"
            )
        return there if wanted is None else wanted


def folder_of(model: str) -> Path:
    """The folder ``model``, or a folder with the hub's files for that id, downloaded unless they are cached."""
    if Path(model).is_dir():
        return Path(model)
    try:
        cached = Path(snapshot_download(model, local_files_only=True))
        if any(file for pattern in WEIGHT_FILES for file in cached.glob(pattern)):
            return cached
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        raise PolicyError(f"hf:{model}: not a folder here, and no id of the hub (OWNER/NAME)") from None
    try:
        return Path(snapshot_download(model, allow_patterns=list(ROOT_FILES), ignore_patterns=list(FOLDERS)))
    except LocalEntryNotFoundError:
        raise PolicyError(
            f"hf:{model}: not a folder here and not in the local cache, and the hub cannot be reached; "
            "download it first or give a path"
        ) from None
    except HfHubHTTPError as error:
        raise PolicyError(
            f"hf:{model}: not a folder here, and the hub refuses it ({_first_line(error)}); "
            "correct the id, or log in with hf auth login"
        ) from None


def whole_precision(folder: Path) -> dict[str, Any]:
    """Arguments with which transformers undoes MXFP4 (gpt-oss), which cannot be trained; none for other formats."""
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else {}
    quantised = (config.get("quantization_config") or {}).get("quant_method") == "mxfp4"
    return {"quantization_config": Mxfp4Config(dequantize=True)} if quantised else {}


def gpu_places(device: str) -> list[str]:
    """``cuda:1,2`` as ``["cuda:1", "cuda:2"]``, ``cuda`` as all that are visible; nothing for the CPU."""
    if not device.startswith("cuda"):
        return []
    if device == "cuda":
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [f"cuda:{number}" for number in device.removeprefix("cuda:").split(",")]


def _identifying_files(folder: Path) -> list[Path]:
    patterns = ("*.json", "*.jinja", *WEIGHT_FILES)
    return [file for pattern in patterns for file in folder.glob(pattern)]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
