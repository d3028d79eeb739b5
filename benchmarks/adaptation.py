"""Sampling and one training step of an 8 B-parameter model, beside transformers' own generate and TRL.

    python benchmarks/adaptation.py --json adaptation.jsonl    one GPU with 80 GB: Llama-3-8B's shape, random weights
    python benchmarks/adaptation.py --small                    the same code on a CPU, with a toy

Speed and memory depend on shapes, not on what the weights say, so none are fetched. The work: K completions of one
prompt, and one step on rollouts of five prompts, whose tokens are random. No token ends an answer, so every row runs to
its full length. ``generate`` gets as many copies of the prompt. TRL, where it is installed, takes one step of GRPO
through its own trainer: K completions of one prompt, then the loss on them in micro-batches of ``--trl-rows``.

One line a stage: seconds, tokens a second (drawn, or read with their prompts), and the most memory that tensors took,
the weights included. After ``--limit-s`` no stage begins; the same command with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from results import Limit, Results
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies import decoding
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
from pytest_kernelbench.policies.rows import draw
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Lora, Sampling

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
RANK, ALPHA = 16, 32
DRAWS = 20
TASK = Task(id="level0/0", source="")


class RandomPolicy(CausalLMPolicy):
    """A prompt is ``prompt_tokens`` random tokens, other ones for each task."""

    def __init__(self, model: Any, prompt_tokens: int) -> None:
        self.name, self.version, self.model = "random", "random", model
        self.eos_ids = frozenset()
        self.prompt_tokens = prompt_tokens

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        return random_tokens(self.model, self.prompt_tokens, seed=int(task.name))

    def decode(self, token_ids: Sequence[int]) -> str:
        return ""


class Stages:
    """Seconds and peak memory of each stage, printed and stored as it ends, unless they are stored already."""

    def __init__(self, results: Results, limit: Limit, work: dict[str, int], *, on_gpu: bool) -> None:
        self.results, self.limit, self.work, self.on_gpu = results, limit, work, on_gpu
        self.done = {row["stage"]: row for row in results.rows if all(row[key] == work[key] for key in work)}

    def wants(self, stage: str) -> bool:
        """Whether it is neither stored nor too late for it."""
        if stage in self.done or self.limit.over:
            print(f"{stage:44} {'stored' if stage in self.done else 'not reached'}")
        return stage not in self.done and not self.limit.over

    def __call__(self, stage: str, tokens: int, work: Callable[[], Any]) -> Any:
        """What ``work`` returns; None where it is not begun, or failed: for want of memory, most likely."""
        if not self.wants(stage):
            return None
        self.settle()
        start = time.perf_counter()
        try:
            result = work()
        except RuntimeError as error:
            print(f"{stage:44} failed: {str(error).splitlines()[0]}", flush=True)
            return None
        if self.on_gpu:
            torch.cuda.synchronize()
        self.store(stage, tokens, time.perf_counter() - start)
        return result

    def store(self, stage: str, tokens: int, seconds: float) -> None:
        peak_gib = torch.cuda.max_memory_allocated() / 2**30 if self.on_gpu else None
        row = {**self.work, "stage": stage, "n_tokens": tokens, "seconds": round(seconds, 3), "peak_gib": peak_gib}
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        self.results.add([{**row, **versions}])
        memory = f"{peak_gib:6.1f} GiB" if peak_gib is not None else ""
        print(f"{stage:44} {seconds:8.2f} s  {tokens / seconds:10.0f} tokens/s  {memory}", flush=True)

    def settle(self) -> None:
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()


def random_model(shape: str, device: str) -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(**SHAPES[shape], eos_token_id=None, bos_token_id=None, pad_token_id=None))
    torch.set_default_dtype(torch.float32)
    return model.eval().requires_grad_(False)


def random_tokens(model: Any, n: int, *, seed: int) -> list[int]:
    return torch.randint(model.config.vocab_size, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


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
        pad_token_id=0,
    )


@torch.inference_mode()
def draws(model: Any, rows: int) -> None:
    """``DRAWS`` times what a step of sampling does beside the model."""
    device, vocabulary = model.get_input_embeddings().weight.device, model.config.vocab_size
    logits = torch.randn(rows, vocabulary, device=device, dtype=model.dtype)
    uniforms = torch.rand(rows, device=device, dtype=torch.float64)
    for _ in range(DRAWS):
        draw(logits, uniforms, 0.25)


def training_rows(policy: RandomPolicy, answers: Sequence[Sequence[int]]) -> list[TrainingRow]:
    """The answers after each of five prompts, with advantages of both signs."""
    rows = []
    for number in range(PROMPTS):
        task = Task(id=f"level0/{number}", source="")
        prompt = tuple(policy.prompt_ids(task, "module"))
        behaviour = policy.score(task, "module", answers, temperature=TEMPERATURE)
        rows += [
            TrainingRow(
                prompt_ids=prompt,
                token_ids=tuple(answer),
                behaviour=logprobs,
                advantages=(1.0 if place % 2 else -1.0,) * len(answer),
            )
            for place, (answer, logprobs) in enumerate(zip(answers, behaviour, strict=True))
        ]
    return rows


def options_of_the_command_line() -> argparse.Namespace:
    """Exits with one line where the sizes do not divide as the stages need."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a toy model on the CPU")
    parser.add_argument("--k", type=int, help="completions of one prompt (default: 64)")
    parser.add_argument("--tokens", type=int, help="tokens a completion (default: 1024)")
    parser.add_argument("--prompt-tokens", type=int, help="tokens a prompt (default: 768)")
    parser.add_argument("--rollouts", type=int, help="of the training step, over five prompts (default: 160)")
    parser.add_argument("--trl-rows", type=int, default=4, help="TRL's micro-batch, a divisor of K (default: 4)")
    parser.add_argument("--limit-s", type=float, help="begin no stage after so many seconds")
    parser.add_argument("--json", type=Path, help="add rows to this file, and skip the stages that it has")
    options = parser.parse_args()
    options.k = options.k or (8 if options.small else 64)
    options.tokens = options.tokens or (32 if options.small else 1024)
    options.prompt_tokens = options.prompt_tokens or (24 if options.small else 768)
    options.rollouts = options.rollouts or (20 if options.small else 160)
    if options.rollouts % PROMPTS or options.k % options.trl_rows:
        parser.error(f"--rollouts must be a multiple of {PROMPTS}, and --k of --trl-rows")
    return options


def sample(policy: RandomPolicy, n: int, max_tokens: int) -> None:
    sampling = Sampling(k=n, temperature=TEMPERATURE, max_tokens=max_tokens)
    assert all(each.n_tokens == max_tokens for each in policy.sample(TASK, sampling, seed=0, indices=range(n)))


def sample_step_by_step(policy: RandomPolicy, n: int, max_tokens: int) -> None:
    """Without CUDA graphs."""
    default, decoding.GRAPH_DEVICES = decoding.GRAPH_DEVICES, frozenset()
    try:
        sample(policy, n, max_tokens)
    finally:
        decoding.GRAPH_DEVICES = default


def measure_sampling(stages: Stages, policy: RandomPolicy, k: int, tokens: int) -> None:
    """``k`` completions: ours, and transformers' own."""
    prompt = policy.prompt_ids(TASK, "module")
    if not stages.limit.over:
        sample_step_by_step(policy, 2, 4)
        generate(policy.model, prompt, 2, 4)
    stages("first use of graphs", 8, lambda: sample(policy, 2, 4))
    stages(f"sampling {k} x {tokens}, shared prefill", k * tokens, lambda: sample(policy, k, tokens))
    stages(f"transformers.generate {k} x {tokens}", k * tokens, lambda: generate(policy.model, prompt, k, tokens))


def measure_a_step(stages: Stages, policy: RandomPolicy, rollouts: int, k: int, tokens: int) -> None:
    """One training step, then sampling with and without the adapter that it made."""
    answers = [random_tokens(policy.model, tokens, seed=100 + place) for place in range(rollouts // PROMPTS)]
    read, few = rollouts * (policy.prompt_tokens + tokens), max(1, tokens // 8)
    rows = stages(f"scoring {rollouts} rollouts, shared prefill", read, lambda: training_rows(policy, answers))
    settings = Adaptation(learning_rate=1e-5, reduction="constant", lora=Lora(rank=RANK, alpha=ALPHA))
    with PeftTrainer(policy, settings=settings, temperature=TEMPERATURE, max_tokens=tokens, seed=0) as learner:
        if stages.wants(step := f"one step on {rollouts} rollouts"):
            rows = rows or training_rows(policy, answers)
            if update := stages(step, read, lambda: learner.update(rows, step=1)):
                print("  importance ratios {ratio_min:.4f} to {ratio_max:.4f}, mean {ratio_mean:.6f}".format(**update))
        learner.use_adapted("adapted")
        stages(f"sampling {k} x {few}, adapter on", k * few, lambda: sample(policy, k, few))
        stages(f"sampling {k} x {few}, adapter on, no graphs", k * few, lambda: sample_step_by_step(policy, k, few))
    stages(f"sampling {k} x {few}", k * few, lambda: sample(policy, k, few))
    stages(f"sampling {k} x {few}, no graphs", k * few, lambda: sample_step_by_step(policy, k, few))


def measure_trl(stages: Stages, model: Any, options: argparse.Namespace) -> None:
    step = f"TRL: one step on {options.k} rollouts"
    if find_spec("trl") is None:
        print("TRL is not installed: pip install trl")
    elif stages.wants(step):
        import trl_grpo

        k, tokens = options.k, options.tokens
        sizes = {"prompt_tokens": options.prompt_tokens, "rows_at_once": options.trl_rows}
        lora = {"rank": RANK, "alpha": ALPHA}
        work = trl_grpo.Work(k=k, tokens=tokens, temperature=TEMPERATURE, **sizes, **lora)
        sampling_s, learning_s = trl_grpo.step(model, work, on_gpu=stages.on_gpu, settle=stages.settle)
        stages.store(f"TRL: sampling {k} x {tokens}", k * tokens, sampling_s)
        stages.store(step, k * (options.prompt_tokens + tokens), learning_s)


def main() -> None:
    options = options_of_the_command_line()
    limit = Limit(options.limit_s)
    shape, device = ("small", "cpu") if options.small else ("8B", "cuda")
    start = time.perf_counter()
    model = random_model(shape, device)
    policy = RandomPolicy(model, options.prompt_tokens)
    parameters = sum(each.numel() for each in model.parameters())
    hardware = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(
        f"{parameters / 1e9:.2f} B parameters in {time.perf_counter() - start:.1f} s, {model.dtype}, {hardware}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}",
        flush=True,
    )
    sizes = {name: getattr(options, name) for name in ("prompt_tokens", "k", "tokens", "rollouts")}
    results = Results(options.json, hardware=hardware)
    stages = Stages(results, limit, {"parameters": parameters, **sizes}, on_gpu=device == "cuda")
    measure_sampling(stages, policy, options.k, options.tokens)
    measure_a_step(stages, policy, options.rollouts, options.k, options.tokens)
    stages(f"drawing {options.k} tokens from logits, {DRAWS} times", DRAWS * options.k, lambda: draws(model, options.k))
    measure_trl(stages, model, options)
    print(f"{limit.spent_s:.0f} s in all")


if __name__ == "__main__":
    main()
