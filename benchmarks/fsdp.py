"""One training step of a model that one GPU cannot hold with its optimizer, sharded over several by FSDP2.

    torchrun --standalone --nproc-per-node 2 benchmarks/fsdp.py --json fsdp.jsonl    two GPUs with 80 GB
    torchrun --standalone --nproc-per-node 2 benchmarks/fsdp.py --small              the same code on a CPU, with a toy

Speed and memory depend on shapes, not on what the weights say, so they are random and none are fetched. In bfloat16
43 B parameters take 80 GiB, so each of two GPUs holds 40 and gathers one layer at a time. The work: rollouts of random
tokens are sampled from one prompt, scored, and learnt from with a LoRA adapter on every linear layer, as
``--policy=FILE`` with ``shards`` has it done. Before that a toy's gradient over all processes is compared with that of
one.

One line a stage: seconds, tokens a second, and the most memory that tensors took on the fullest GPU.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from results import Limit, Results
from torch import Tensor
from torch import distributed as dist
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from pytest_kernelbench.adaptation.lora import said_of
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.ranks import OneProcess, ProcessGroup, Ranks
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy, sample_rows, score_rows
from pytest_kernelbench.policies.sharding import shard
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Lora

TOY = {
    **{"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 1024},
}
# Llama-3-70B's layers, 48 of its 80: more than one GPU with 80 GB holds, and room for 16 k tokens' activations on two.
LARGE = {
    **{"vocab_size": 128256, "hidden_size": 8192, "num_hidden_layers": 48, "num_attention_heads": 64},
    **{"num_key_value_heads": 8, "intermediate_size": 28672, "max_position_embeddings": 8192},
}
SETTINGS = Adaptation(learning_rate=1e-5, lora=Lora(rank=16, alpha=32))
SPREAD = 0.02  # of a random weight


class RandomPolicy(CausalLMPolicy):
    """A model; what it is asked and what it says are random tokens."""

    def __init__(self, model: Any) -> None:
        self.name, self.version, self.model = "random", "random", model
        self.eos_ids = frozenset()

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        return []

    def decode(self, token_ids: object) -> str:
        return ""


def sharded(shape: dict[str, int], device: torch.device, fill: Callable[[str, Tensor], Tensor | None]) -> Any:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_default_dtype(dtype)
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(LlamaConfig(**shape, eos_token_id=None, bos_token_id=None, pad_token_id=None))
    torch.set_default_dtype(torch.float32)
    return shard(skeleton.eval(), fill, device)


def random_weight(device: torch.device) -> Callable[[str, Tensor], Tensor]:
    def fill(name: str, like: Tensor) -> Tensor:
        if "norm" in name:
            return torch.ones(like.shape, dtype=like.dtype, device=device)
        if "inv_freq" in name:
            size = 2 * like.shape[0]
            return 1 / 10000 ** (torch.arange(0, size, 2, device=device).float() / size)
        return torch.randn(like.shape, dtype=like.dtype, device=device) * SPREAD

    return fill


def rows_of(model: Any, n: int, prompt_tokens: int, tokens: int) -> list[TrainingRow]:
    """Random rollouts, each with the log-probabilities that ``model`` gives it."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.vocab_size

    def draw(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, vocabulary, (size,), generator=generator).tolist())

    prompt, answers = draw(prompt_tokens), [draw(tokens) for _ in range(n)]
    behaviour = score_rows(model, prompt, answers)
    return [
        TrainingRow(
            prompt_ids=prompt, token_ids=answer, behaviour=logprobs, advantages=((-1.0) ** place,) * len(answer)
        )
        for place, (answer, logprobs) in enumerate(zip(answers, behaviour, strict=True))
    ]


def gradient_of(model: Any, ranks: Ranks, rows: list[TrainingRow]) -> Tensor:
    policy = RandomPolicy(model)
    with PeftTrainer(policy, settings=SETTINGS, temperature=1.0, max_tokens=64, seed=0, ranks=ranks) as trainer:
        found = trainer.gradient(rows)
        return torch.cat([found[name].flatten() for name in sorted(found)]).double()


def agreement(device: torch.device) -> dict[str, float]:
    """Of the gradient over all processes with that of this process alone, on a toy in float32."""
    torch.manual_seed(0)
    alone = LlamaForCausalLM(LlamaConfig(**TOY, eos_token_id=None, bos_token_id=None, pad_token_id=None))
    alone = alone.to(device).eval().requires_grad_(False)
    real = {**dict(alone.named_parameters()), **dict(alone.named_buffers())}
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(alone.config).eval()
    shared = shard(skeleton, lambda name, like: real[name], device)
    # Rows of two prompts, so that every process has a batch of its own.
    rows = [*rows_of(alone, 6, 20, 30), *rows_of(alone, 5, 25, 20)]
    one, all_of_them = gradient_of(alone, OneProcess(), rows), gradient_of(shared, ProcessGroup(), rows)
    cosine = torch.nn.functional.cosine_similarity(one, all_of_them, dim=0)
    return {"cosine": float(cosine), "norms": float(all_of_them.norm() / one.norm())}


class Stages:
    """Seconds, tokens a second and peak memory of each stage, printed and stored by the first process."""

    def __init__(self, results: Results | None, limit: Limit, device: torch.device) -> None:
        self.results, self.limit, self.device = results, limit, device

    def __call__(self, stage: str, tokens: int, work: Callable[[], Any]) -> Any:
        """What ``work`` returns; None where the time was over before it began, for every process alike."""
        over = torch.tensor(float(self.limit.over), device=self.device)
        dist.broadcast(over, 0)
        if over:
            return None
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        dist.barrier()
        start = time.perf_counter()
        result = work()
        if cuda:
            torch.cuda.synchronize()
        dist.barrier()
        seconds = time.perf_counter() - start
        peak = torch.tensor(torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0, device=self.device)
        dist.all_reduce(peak, dist.ReduceOp.MAX)
        if self.results is not None:
            peak_gib = float(peak) if cuda else None
            row = {"stage": stage, "n_tokens": tokens, "seconds": round(seconds, 3), "peak_gib": peak_gib}
            self.results.add([{**row, "processes": dist.get_world_size(), "torch": torch.__version__}])
            memory = f"{float(peak):6.1f} GiB a GPU" if cuda else ""
            print(f"{stage:36} {seconds:8.2f} s  {tokens / seconds:10.0f} tokens/s  {memory}", flush=True)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a toy on the CPU")
    parser.add_argument("--layers", type=int, help="of the large model; default 48")
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--sampled-tokens", type=int, default=32, help="of each rollout that is sampled")
    parser.add_argument("--limit-s", type=float, default=200, help="no stage begins later")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    limit = Limit(options.limit_s)
    if options.small:
        options.rollouts, options.prompt_tokens, options.tokens, options.sampled_tokens = 6, 20, 30, 8
    device = torch.device("cpu") if options.small else torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if options.small else "cpu:gloo,cuda:nccl")
    first = dist.get_rank() == 0
    hardware = "CPU" if options.small else f"{dist.get_world_size()} x {torch.cuda.get_device_name()}"
    results = Results(options.json, hardware=hardware) if first else None
    agreed = agreement(device)
    if results is not None:
        results.add([{"stage": "gradient of a toy against one process", **agreed}])
        print(
            f"{'gradient of a toy against one process':36} cosine {agreed['cosine']:.6f}, norms {agreed['norms']:.6f}"
        )
    shape = TOY if options.small else {**LARGE, "num_hidden_layers": options.layers or LARGE["num_hidden_layers"]}
    stages = Stages(results, limit, device)
    model = stages("load (random weights)", 0, lambda: sharded(shape, device, random_weight(device)))
    n, tokens = options.rollouts, options.tokens
    policy = RandomPolicy(model)
    with PeftTrainer(
        policy, settings=SETTINGS, temperature=1.0, max_tokens=tokens, seed=0, ranks=ProcessGroup()
    ) as trainer:
        if results is not None:
            print(said_of(trainer.described))
            results.add([{"stage": "what is trained", **trainer.described}])
        read = n * (options.prompt_tokens + tokens)
        rows = stages("score", n * tokens, lambda: rows_of(trainer.model, n, options.prompt_tokens, tokens))
        for number in (1, 2):
            update = rows and stages(f"update {number}", read, lambda at=number: trainer.update(rows, step=at))
            if update and results is not None:
                print(
                    f"  loss {update['loss']:.4g}, gradient {update['grad_norm']:.4g}, ratio {update['ratio_mean']:.4f}"
                )
        prompt = rows[0].prompt_ids if rows else (1,)
        drawn = options.sampled_tokens
        uniforms = torch.rand(n, drawn, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        trainer.use_adapted("adapted")
        stages(
            "sample with the adapter",
            n * drawn,
            lambda: list(sample_rows(trainer.model, prompt, uniforms, temperature=1.0, eos_ids=())),
        )
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
