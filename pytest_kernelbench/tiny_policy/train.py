"""Train the tiny policy: its own tokenizer, then a small Llama on draws from the corpus.

    python -m pytest_kernelbench.tiny_policy.train --policy tiny --out DIR --device cuda --minutes 5

``DIR`` then holds ``config.json``, ``model.safetensors`` (float16), the tokenizer's files and ``training.json``, and
loads with ``AutoModelForCausalLM`` and ``AutoTokenizer``. The learning rate follows the time or the tokens that
have passed, whichever is further: a run ends on a cooled-down model on any machine.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from pytest_kernelbench.tiny_policy.corpus.mixture import POLICIES, mixture
from pytest_kernelbench.tiny_policy.examples import Batches, Example, encode, split, temper
from pytest_kernelbench.tiny_policy.model import Shape, build_model, save, train_tokenizer

# Token ids (B, T), and the weight of each token in the loss (B, T).
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long and how fast to train. ``batch_tokens`` counts padding; ``prompt_weight`` is that of a prompt token.

    The mixture's shares hold for samples drawn at temperature ``sampled_at``.
    """

    tokens: float = 200e6
    minutes: float = 5.0
    batch_tokens: int = 32768
    learning_rate: float = 2e-3
    warmup: float = 0.02
    final: float = 0.02
    weight_decay: float = 0.05
    prompt_weight: float = 0.0
    sampled_at: float = 0.25
    seed: int = 0
    compile: bool = False


def loss_of(model: torch.nn.Module, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Nats per weighted token. Padding is on the right, so causal attention alone keeps it out."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def nats_per_token(model: torch.nn.Module, examples: Sequence[Example], pad: int, device: str) -> float | None:
    """Mean loss of the completions in nats a token, every token weighed the same; None without examples."""
    if not examples:
        return None
    total = count = 0.0
    with _autocast(device):
        for start in range(0, len(examples), 16):
            group = examples[start : start + 16]
            length = max(len(example.ids) for example in group)
            ids = torch.full((len(group), length), pad, dtype=torch.long)
            weights = torch.zeros((len(group), length))
            for row, example in enumerate(group):
                ids[row, : len(example.ids)] = torch.tensor(example.ids)
                weights[row, example.prompt : len(example.ids)] = 1.0
            tokens = float(weights[:, 1:].sum())
            total += float(loss_of(model, ids.to(device), weights.to(device))) * tokens
            count += tokens
    return total / count


def _autocast(device: str) -> contextlib.AbstractContextManager[None]:
    """bfloat16 where the device has fast instructions for it."""
    has_bfloat16 = device == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device, dtype=torch.bfloat16) if has_bfloat16 else contextlib.nullcontext()


def learning_rate_at(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to ``final`` of the peak; ``progress`` runs from 0 to 1."""
    if progress < recipe.warmup:
        return recipe.learning_rate * max(progress, 1e-3) / recipe.warmup
    cooled = (min(progress, 1.0) - recipe.warmup) / (1 - recipe.warmup)
    low = recipe.learning_rate * recipe.final
    return low + (recipe.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * cooled))


@dataclass(slots=True)
class Progress:
    """How far a run is: ``tokens`` with padding, ``rows`` drawn, ``steps`` taken, and ``seconds`` of them.

    ``nats_per_token`` is the loss over the last 50 steps; None before there were as many.
    """

    tokens: int = 0
    rows: int = 0
    steps: int = 0
    seconds: float = 0.0
    nats_per_token: float | None = None

    def share(self, recipe: Recipe) -> float:
        """Progress by tokens or by time, the larger one; from 1 on, the run is over."""
        return max(self.tokens / recipe.tokens, self.seconds / (recipe.minutes * 60))


def fit(model: LlamaForCausalLM, batches: Iterable[Batch], recipe: Recipe, *, device: str) -> Progress:
    """Train ``model`` on ``batches`` until the tokens or the minutes of the recipe are over."""
    step_model = torch.compile(model, dynamic=False) if recipe.compile else model
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    progress = Progress()
    # Read every 50 steps only: each read waits for the device.
    running = torch.zeros((), device=device)
    started = reported = time.perf_counter()
    model.train()
    for ids, weights in batches:
        progress.seconds = time.perf_counter() - started
        if progress.share(recipe) >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(progress.share(recipe), recipe)
        with _autocast(device):
            loss = loss_of(step_model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running += loss.detach()
        progress.tokens += ids.numel()
        progress.rows += len(ids)
        progress.steps += 1
        if progress.steps % 50 == 0:
            progress.nats_per_token = float(running) / 50
            running.zero_()
            if time.perf_counter() - reported > 10:
                reported = time.perf_counter()
                _say(progress, recipe, reported - started)
    progress.seconds = time.perf_counter() - started
    model.eval()
    return progress


def train(
    policy: str, out: Path, *, recipe: Recipe, shape: Shape, device: str, tasks: Sequence[int] | None = None
) -> dict[str, object]:
    """Train, save into ``out``, and return the content of ``training.json``."""
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    rows = [item for item in mixture(policy) if tasks is None or item.template.task in tasks]
    training_rows, held_rows = split(rows, recipe.seed)
    texts = sorted({text for item in training_rows for text in (item.row.prompt, item.row.completion)})
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    pad = tokenizer.pad_token_id
    training = temper(encode(training_rows, tokenizer), recipe.sampled_at)
    model = build_model(shape, tokenizer).to(device)
    lengths = sorted(len(example.ids) - example.prompt for example in training)
    print(
        f"{policy}: {sum(each.numel() for each in model.parameters()):,} parameters, {len(tokenizer)} tokens in the "
        f"vocabulary, {len(training)} of {len(training_rows)} distinct rows, completions of "
        f"{lengths[len(lengths) // 2]} tokens (median) to {lengths[-1]}",
        flush=True,
    )
    batches = Batches(
        training,
        batch_tokens=recipe.batch_tokens,
        device=device,
        pad=pad,
        prompt_weight=recipe.prompt_weight,
        seed=recipe.seed,
    )
    done = fit(model, batches, recipe, device=device)
    held_out = nats_per_token(model, encode(held_rows, tokenizer), pad, device)
    print(
        f"held-out texts: {held_out} nats/token after {done.tokens:,} tokens in {done.seconds:.0f} s "
        f"({done.tokens / done.seconds:,.0f} tok/s)",
        flush=True,
    )
    final = {
        "policy": policy,
        "seed": recipe.seed,
        "rows": done.rows,
        "distinct_rows": len(training),
        "tokens": done.tokens,
        "steps": done.steps,
        "seconds": round(done.seconds, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "training_nats_per_token": done.nats_per_token,
        "held_out_nats_per_token": held_out,
        "recipe": asdict(recipe),
        "shape": asdict(shape),
    }
    save(model, tokenizer, final, out)
    return final


def _say(progress: Progress, recipe: Recipe, seconds: float) -> None:
    print(
        f"{progress.share(recipe):4.0%} step {progress.steps}: {progress.nats_per_token:.4f} nats/token in training, "
        f"{progress.tokens / seconds:,.0f} tok/s",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    recipe, shape = Recipe(), Shape()
    parser = argparse.ArgumentParser(prog="python -m pytest_kernelbench.tiny_policy.train")
    parser.add_argument("--policy", choices=sorted(POLICIES), default="tiny")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=float, default=recipe.tokens, help="stop after these (default %(default)g)")
    parser.add_argument("--minutes", type=float, default=recipe.minutes, help="or after these (default %(default)g)")
    parser.add_argument("--batch-tokens", type=int, default=recipe.batch_tokens)
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--tasks", help="task numbers, comma-separated (default: all)")
    options = parser.parse_args(arguments)
    recipe = replace(
        recipe,
        tokens=options.tokens,
        minutes=options.minutes,
        batch_tokens=options.batch_tokens,
        learning_rate=options.learning_rate,
        compile=options.compile,
        seed=options.seed,
    )
    tasks = [int(number) for number in options.tasks.split(",")] if options.tasks else None
    train(options.policy, options.out, recipe=recipe, shape=shape, device=options.device, tasks=tasks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
