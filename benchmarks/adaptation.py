"""Sampling and one training step of an 8 B-parameter model, beside transformers' own generate and TRL.

    python benchmarks/adaptation.py            one GPU with 80 GB or more: Llama-3-8B's shape, random weights
    python benchmarks/adaptation.py --small    the same code on a CPU, with a toy

Speed and memory depend on shapes, not on what the weights say. No token ends an answer, so every row runs to its full
length. The work: K completions of one prompt, then one step on rollouts of five prompts. TRL, where it is installed,
gets the same tokens and advantages in micro-batches of ``--trl-rows``; it recomputes what it needs, as we do.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from pytest_kernelbench.adaptation.learner import Learner, TrainingRow
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Sampling

SHAPES = {
    "8B": {
        **{"vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{"num_key_value_heads": 8, "intermediate_size": 14336, "max_position_embeddings": 8192},
    },
    "small": {
        **{"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 1024},
    },
}
PROMPTS = 5
TEMPERATURE = 1.0


class RandomPolicy(CausalLMPolicy):
    """A prompt is ``prompt_tokens`` random tokens, other ones for each task."""

    def __init__(self, model: Any, prompt_tokens: int) -> None:
        self.name, self.version, self.model = "random", "random", model
        self.eos_ids = frozenset()
        self.prompt_tokens = prompt_tokens

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        generator = torch.Generator().manual_seed(int(task.name))
        vocabulary = self.model.config.vocab_size
        return torch.randint(vocabulary, (self.prompt_tokens,), generator=generator).tolist()

    def decode(self, token_ids: Sequence[int]) -> str:
        return ""


class Meter:
    """Seconds and peak memory of a stage, and its tokens a second."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"

    def __call__(self, name: str, tokens: int, work: Callable[[], Any]) -> Any:
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        start = time.perf_counter()
        try:
            result = work()
        except torch.OutOfMemoryError:
            print(f"{name:44} out of memory")
            return None
        if self.on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:6.1f} GiB" if self.on_gpu else ""
        print(f"{name:44} {seconds:8.1f} s  {tokens / seconds:10.0f} tokens/s  {peak}", flush=True)
        return result


def random_model(shape: str, device: str) -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(**SHAPES[shape], eos_token_id=None, bos_token_id=None, pad_token_id=None))
    torch.set_default_dtype(torch.float32)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def generate(model: Any, prompt: Sequence[int], rows: int, tokens: int) -> Any:
    """transformers' own loop on as many copies of the prompt; it keeps no log-probabilities."""
    ids = torch.tensor([list(prompt)] * rows, device=model.device)
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )


def training_rows(policy: RandomPolicy, answers: Sequence[tuple[int, ...]]) -> list[TrainingRow]:
    """The answers after each of five prompts, with advantages of both signs."""
    rows = []
    for number in range(PROMPTS):
        task = Task(id=f"level0/{number}", source="")
        prompt = tuple(policy.prompt_ids(task, "module"))
        behaviour = policy.score(task, "module", answers, temperature=TEMPERATURE)
        for place, (answer, logprobs) in enumerate(zip(answers, behaviour, strict=True)):
            advantage = 1.0 if place % 2 else -1.0
            rows.append(
                TrainingRow(
                    prompt_ids=prompt, token_ids=answer, behaviour=logprobs, advantages=(advantage,) * len(answer)
                )
            )
    return rows


def trl_step(model: Any, rows: Sequence[TrainingRow], rows_at_once: int, folder: Path) -> Callable[[], None]:
    """One step of TRL's ``dr_grpo`` on ``rows`` with our adapter, gradient checkpointing on."""
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({"x": 1, "<end>": 0}, unk_token="x"))
    answer_tokens = len(rows[0].token_ids)
    trainer = GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=str(folder),
            loss_type="dr_grpo",
            temperature=TEMPERATURE,
            beta=0.0,
            max_completion_length=answer_tokens,
            per_device_train_batch_size=rows_at_once,
            num_generations=rows_at_once,
            bf16=next(model.parameters()).device.type == "cuda",
            use_cpu=next(model.parameters()).device.type == "cpu",
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            report_to=[],
        ),
        train_dataset=Dataset(InMemoryTable.from_pydict({"prompt": ["x"]}), fingerprint="one prompt"),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<end>", eos_token="<end>"),
    )
    trainer.current_gradient_accumulation_steps = -(-len(rows) // rows_at_once)  # its own loop sets this
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-5)
    device = trained[0].device

    def step() -> None:
        model.train()
        for start in range(0, len(rows), rows_at_once):
            batch = rows[start : start + rows_at_once]
            prompts = torch.tensor([row.prompt_ids for row in batch], device=device)
            answers = torch.tensor([row.token_ids for row in batch], device=device)
            inputs = {
                "prompt_ids": prompts,
                "prompt_mask": torch.ones_like(prompts),
                "completion_ids": answers,
                "completion_mask": torch.ones_like(answers),
                "advantages": torch.tensor([row.advantages[0] for row in batch], device=device),
                "num_items_in_batch": torch.tensor(answers.numel(), device=device),
            }
            trainer.accelerator.backward(trainer.compute_loss(model, inputs))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a toy model on the CPU")
    parser.add_argument("--k", type=int, help="completions of one prompt (default: 64)")
    parser.add_argument("--tokens", type=int, help="tokens a completion (default: 1024)")
    parser.add_argument("--prompt-tokens", type=int, help="tokens a prompt (default: 768)")
    parser.add_argument("--rollouts", type=int, help="of the training step, over five prompts (default: 160)")
    parser.add_argument("--trl-rows", type=int, default=4, help="TRL's micro-batch (default: 4)")
    options = parser.parse_args()
    shape, device = ("small", "cpu") if options.small else ("8B", "cuda")
    k = options.k or (8 if options.small else 64)
    tokens = options.tokens or (32 if options.small else 1024)
    prompt_tokens = options.prompt_tokens or (24 if options.small else 768)
    rollouts = options.rollouts or (20 if options.small else 160)

    model = random_model(shape, device)
    policy, meter = RandomPolicy(model, prompt_tokens), Meter(device)
    parameters = sum(each.numel() for each in model.parameters())
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{parameters / 1e9:.2f} B parameters, {model.dtype}, {where}, torch {torch.__version__}")
    task = Task(id="level0/0", source="")
    sampling = Sampling(k=k, temperature=TEMPERATURE, max_tokens=tokens)

    def sample(n: int, max_tokens: int) -> list[tuple[int, ...]]:
        short = Sampling(k=n, temperature=TEMPERATURE, max_tokens=max_tokens)
        return [each.token_ids or () for each in policy.sample(task, short, seed=0, indices=range(n))]

    sample(2, 4)
    answers = meter(f"sampling {k} x {tokens}, shared prefill", k * tokens, lambda: sample(k, sampling.max_tokens))
    prompt = policy.prompt_ids(task, "module")
    generate(model, prompt, 2, 4)
    meter(f"transformers.generate {k} x {tokens}", k * tokens, lambda: generate(model, prompt, k, tokens))

    answers = answers[: rollouts // PROMPTS]
    n = len(answers) * PROMPTS
    read = n * (prompt_tokens + tokens)
    rows = meter(f"scoring {n} rollouts, shared prefill", read, lambda: training_rows(policy, answers))
    settings = Adaptation(learning_rate=1e-5, lora_rank=16, reduction="constant")
    with Learner(policy, settings, temperature=TEMPERATURE, max_tokens=tokens, seed=0) as learner:
        update = meter(f"one step on {n} rollouts", read, lambda: learner.update(rows, step=1))
        print("  importance ratios {ratio_min:.4f} to {ratio_max:.4f}, mean {ratio_mean:.6f}".format(**(update or {})))
        if find_spec("trl") is None:
            print("TRL is not installed: pip install trl")
            return
        learner.use_adapted("benchmark")
        with TemporaryDirectory() as folder:
            step = trl_step(learner.model, rows, options.trl_rows, Path(folder))
            meter(f"TRL, dr_grpo, {options.trl_rows} rows at once", read, step)


if __name__ == "__main__":
    main()
