"""``tiny``: the embedded default, a Llama of about 5 M parameters that writes kernels for the packaged tasks.

Start-up on 2 CPU cores: 1 s for torch, 2.5 s for transformers' Llama, 0.1 s for the weights. 64 completions of the
main job (89 tokens on average, 12 to 23 of them different) take 0.7 to 1.5 s on one thread.

Where another program runs, more threads wait for each other: before equal beginnings were computed once, 32
completions of 85 tokens on average took 7 s with one thread and 65 s with two, beside six other processes on 2 cores.
So a process that loads it computes on one thread from then on; the judge gets ready on the other core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.host.resources import PACKAGE
from pytest_kernelbench.policies.adapters import adapter_files, with_adapter
from pytest_kernelbench.policies.base import version_of
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy, end_ids
from pytest_kernelbench.prompting.question import Question, question_of
from pytest_kernelbench.records import Task
from pytest_kernelbench.tiny_policy.prompt import prompt_for

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec

WEIGHTS = PACKAGE / "tiny_policy" / "weights"
FILES = ("config.json", "model.safetensors", "tokenizer.json")
LABEL = (
    "tiny is trained on this project's own solutions of these very tasks: its scores test the plumbing "
    "and say nothing about any other model"
)


class TinyPolicy(CausalLMPolicy):
    """The weights in ``folder``, in float32 on ``device``; asks for kernels for ``cpu`` or ``cuda`` accordingly."""

    label = LABEL

    def __init__(self, folder: Path, *, name: str, device: str = "cpu", adapter: Path | None = None) -> None:
        """Load ``FILES``; raises PolicyError where a file is missing, or the adapter does not fit."""
        for file in FILES:
            if not (folder / file).is_file():
                raise PolicyError(f"--policy={name}: no {file} in {folder}; install pytest-kernelbench again")
        self.name = name
        self.target = "cuda" if device.startswith("cuda") else "cpu"
        self.version = version_of([folder / file for file in FILES] + (adapter_files(adapter) if adapter else []))
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self.model.to(device.partition(",")[0])  # the first of several
        if adapter is not None:
            self.model = with_adapter(self.model, adapter, name)
        self.model.eval()
        self.eos_ids = end_ids(self.model)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> TinyPolicy:
        adapter = Path(spec.adapter) if spec.adapter else None
        torch.set_num_threads(1)
        return cls(WEIGHTS / spec.kind, name=spec.name, device=device, adapter=adapter)

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        question = question_of(answer)
        if question != Question(answer=question.answer):
            raise PolicyError(
                f"--policy={self.name}: reads the prompt that it was trained on and no other; "
                "leave [prompt] out of the strategy, or choose another policy"
            )
        # A forecast is asked for in the same prompt, which is the only prompt that the model knows.
        if question.answer not in ("module", "forecast"):
            raise PolicyError(
                f'--policy={self.name}: writes whole modules only, and the strategy asks for "{question.answer}"; '
                'set answer = "module" in [sampling], or choose another policy'
            )
        # In training it has never read a comment, so a teacher's advice is noise to it, as it is to any small model.
        comments = "".join(f"# {line}\n" for line in advice.splitlines())
        ids: list[int] = self.tokenizer.encode(prompt_for(task.source, self.target) + comments).ids
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text
