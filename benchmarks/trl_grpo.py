"""One step of TRL's own GRPO trainer on a model, for comparison in ``adaptation.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Sizes of the step: ``k`` completions of ``tokens`` tokens after one prompt, learned in micro-batches of
    ``rows_at_once``, with LoRA of ``rank`` and ``alpha``.
    """

    k: int
    tokens: int
    prompt_tokens: int
    rows_at_once: int
    temperature: float
    rank: int
    alpha: int


@dataclass(slots=True)
class Moments(TrainerCallback):  # type: ignore[misc]
    """When the step began and ended, and when its rewards were asked for; in seconds of ``time.perf_counter``."""

    on_gpu: bool
    at: dict[str, float] = field(default_factory=dict)

    def note(self, moment: str) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        self.at[moment] = time.perf_counter()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.note("begin")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.note("end")


def step(model: Any, work: Work, *, on_gpu: bool, settle: Callable[[], None]) -> tuple[float, float]:
    """Seconds of sampling and of learning. ``settle`` frees memory before each.

    TRL's sampling ends when it asks for rewards, its learning when the step ends.
    """
    moments = Moments(on_gpu)

    def rewards(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        moments.note("drawn")
        settle()
        moments.note("learning")
        assert {len(each) for each in completion_ids} == {work.tokens}, "an answer of TRL's ended early"
        return [float(place % 2) for place in range(len(completion_ids))]

    with TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model,
            reward_funcs=rewards,
            args=_settings(work, folder, on_gpu=on_gpu),
            train_dataset=Dataset.from_dict({"prompt": ["x " * work.prompt_tokens]}),
            processing_class=_tokenizer(),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=work.rank, lora_alpha=work.alpha, target_modules="all-linear"
            ),
            callbacks=[moments],
        )
        settle()
        trainer.train()
    return moments.at["drawn"] - moments.at["begin"], moments.at["end"] - moments.at["learning"]


def _settings(work: Work, folder: str, *, on_gpu: bool) -> Any:
    return GRPOConfig(
        output_dir=folder,
        max_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        loss_type="dr_grpo",
        temperature=work.temperature,
        beta=0.0,
        learning_rate=1e-5,
        max_completion_length=work.tokens,
        num_generations=work.k,
        per_device_train_batch_size=work.rows_at_once,
        gradient_accumulation_steps=work.k // work.rows_at_once,
        generation_kwargs={"min_new_tokens": work.tokens},
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )


def _tokenizer() -> Any:
    """Two tokens: the word of the prompt, and the end."""
    words = Tokenizer(models.WordLevel({"x": 1, "<end>": 0}, unk_token="x"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<end>", eos_token="<end>")
