"""Train the tiny policy: its own tokenizer, then a small Llama on draws from the corpus.

    python -m pytest_kernelbench.tiny_policy.train --policy tiny --out DIR --device cuda --minutes 5

``DIR`` then holds ``config.json``, ``model.safetensors`` (float16), the tokenizer's files and ``training.json``, and
loads with ``AutoModelForCausalLM`` and ``AutoTokenizer``. The learning rate follows the time or the tokens that
have passed, whichever is further: a run ends on a cooled-down model on any machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pytest_kernelbench.tiny_policy.corpus.mixture import POLICIES, Weighted, mixture
from pytest_kernelbench.tiny_policy.tempering import tempered

PAD, END = "<|pad|>", "<|end|>"
MAX_LENGTH = 1024
# Longer ones are left out: they cost most of the time of sampling, and are the last to be learned.
MAX_COMPLETION = 768
VALIDATION_SHARE = 0.02
IGNORED = -100  # transformers' label of a token without loss
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of the model; the default has about 5 M parameters."""

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    ffn: int = 688
    vocabulary: int = 2048


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row as token ids: ``ids[:prompt]`` is the prompt, the rest the completion with the end token."""

    ids: tuple[int, ...]
    prompt: int
    weight: float


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most ``vocabulary`` tokens; any text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings and fresh weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(rows: Sequence[Weighted], tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    """Each distinct row once, without those whose completion is over ``MAX_COMPLETION`` tokens.

    Raises ValueError for a prompt that leaves no room for such a completion.
    """
    backend = tokenizer.backend_tokenizer
    prompts = backend.encode_batch([item.row.prompt for item in rows], add_special_tokens=False)
    completions = backend.encode_batch([item.row.completion for item in rows], add_special_tokens=False)
    examples = []
    for item, prompt, completion in zip(rows, (x.ids for x in prompts), (x.ids for x in completions), strict=True):
        if len(prompt) + MAX_COMPLETION > MAX_LENGTH:
            raise ValueError(
                f"{item.template.id}: a prompt of {len(prompt)} tokens; at most {MAX_LENGTH - MAX_COMPLETION} fit"
            )
        ids = (*prompt, *completion, tokenizer.eos_token_id)
        if len(ids) - len(prompt) > MAX_COMPLETION:
            continue
        examples.append(Example(ids=ids, prompt=len(prompt), weight=item.weight))
    return examples


def temper(examples: Sequence[Example], temperature: float) -> list[Example]:
    """The same examples, weighted so that sampling at ``temperature`` draws them by the weights they came with."""
    by_prompt: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        by_prompt.setdefault(example.ids[: example.prompt], []).append(example)
    result = []
    for group in by_prompt.values():
        total = math.fsum(example.weight for example in group)
        weights = tempered([e.ids[e.prompt :] for e in group], [e.weight for e in group], temperature)
        result += [replace(e, weight=total * weight) for e, weight in zip(group, weights, strict=True)]
    return result


def split(rows: Sequence[Weighted], seed: int) -> tuple[list[Weighted], list[Weighted]]:
    """Training and validation rows, apart by text: no text of one is in the other.

    Only texts whose template keeps another one in training are held out, so that no strategy is unseen.
    """
    draws = random.Random(seed)
    spare = [index for index, item in enumerate(rows) if len(item.template.sources) > 2 and not item.broken]
    chosen: set[int] = set()
    taken: set[str] = set()
    for index in draws.sample(spare, len(spare)):
        if len(chosen) >= VALIDATION_SHARE * len(rows):
            break
        if rows[index].template.id not in taken:
            taken.add(rows[index].template.id)
            chosen.add(index)
    held = [item for index, item in enumerate(rows) if index in chosen]
    texts = {(item.row.prompt, item.row.completion) for item in held}
    return [item for item in rows if (item.row.prompt, item.row.completion) not in texts], held


class Batches:
    """Endless batches of examples drawn by weight, each of one padded length, kept on the device.

    A batch has ``batch_tokens`` tokens whatever its length; lengths are drawn so that rows come by their weight.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        batch_tokens: int,
        device: str,
        pad: int,
        prompt_weight: float,
        seed: int,
    ) -> None:
        self._device = device
        self._pad = pad
        self._prompt_weight = prompt_weight
        self._batch_tokens = batch_tokens
        self._generator = torch.Generator().manual_seed(seed)
        # Lengths are rounded up to few values, so that few shapes are compiled and cached.
        by_length: dict[int, list[Example]] = {}
        for example in examples:
            by_length.setdefault(-(-len(example.ids) // 64) * 64, []).append(example)
        self._buckets = [self._bucket(length, group) for length, group in sorted(by_length.items())]
        self._bucket_weights = torch.tensor(
            [sum(example.weight for example in group) * length for length, group in sorted(by_length.items())],
            dtype=torch.float64,
        )

    def _bucket(self, length: int, group: Sequence[Example]) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
        ids = torch.full((len(group), length), self._pad, dtype=torch.long)
        weights = torch.zeros((len(group), length))
        for row, example in enumerate(group):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            weights[row, : example.prompt] = self._prompt_weight
            weights[row, example.prompt : len(example.ids)] = 1.0
        draw = torch.tensor([example.weight for example in group], dtype=torch.float64)
        return length, ids.to(self._device), weights.to(self._device), draw

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            choice = int(torch.multinomial(self._bucket_weights, 1, generator=self._generator))
            length, ids, weights, draw = self._buckets[choice]
            count = max(1, self._batch_tokens // length)
            rows = torch.multinomial(draw, count, replacement=True, generator=self._generator).to(self._device)
            yield ids[rows], weights[rows]


def loss_of(model: torch.nn.Module, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Nats per weighted token. Padding is on the right, so causal attention alone keeps it out."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def nats_per_token(
    model: torch.nn.Module, examples: Sequence[Example], pad: int, device: str, autocast: bool
) -> float | None:
    """Of the completions, each example weighed the same per token; None without examples."""
    if not examples:
        return None
    total = count = 0.0
    with _autocast(device, autocast):
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


def _autocast(device: str, enabled: bool) -> contextlib.AbstractContextManager[None]:
    return torch.autocast(device, dtype=torch.bfloat16) if enabled else contextlib.nullcontext()


def learning_rate_at(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to ``final`` of the peak; ``progress`` runs from 0 to 1."""
    if progress < recipe.warmup:
        return recipe.learning_rate * max(progress, 1e-3) / recipe.warmup
    cooled = (min(progress, 1.0) - recipe.warmup) / (1 - recipe.warmup)
    low = recipe.learning_rate * recipe.final
    return low + (recipe.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * cooled))


def train(
    policy: str, out: Path, *, recipe: Recipe, shape: Shape, device: str, tasks: Sequence[int] | None = None
) -> dict[str, object]:
    """Train, save into ``out``, and return what ``training.json`` holds."""
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    rows = [item for item in mixture(policy) if tasks is None or item.template.task in tasks]
    training_rows, held_rows = split(rows, recipe.seed)
    texts = sorted({text for item in training_rows for text in (item.row.prompt, item.row.completion)})
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    pad = tokenizer.pad_token_id
    training = temper(encode(training_rows, tokenizer), recipe.sampled_at)
    held = encode(held_rows, tokenizer)
    model = build_model(shape, tokenizer).to(device)
    lengths = sorted(len(example.ids) - example.prompt for example in training)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(
        f"{policy}: {parameters:,} parameters, {len(tokenizer)} tokens in the vocabulary, {len(training)} of "
        f"{len(training_rows)} distinct rows, completions of {lengths[len(lengths) // 2]} tokens (median) "
        f"to {lengths[-1]}",
        flush=True,
    )
    step_model = torch.compile(model, dynamic=False) if recipe.compile else model
    autocast = device == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    batches = Batches(
        training,
        batch_tokens=recipe.batch_tokens,
        device=device,
        pad=pad,
        prompt_weight=recipe.prompt_weight,
        seed=recipe.seed,
    )
    tokens = drawn = step = 0
    # Read every 50 steps only: each read waits for the device.
    running = torch.zeros((), device=device)
    training_loss: float | None = None
    started = reported = time.perf_counter()
    model.train()
    for ids, weights in batches:
        seconds = time.perf_counter() - started
        progress = max(tokens / recipe.tokens, seconds / (recipe.minutes * 60))
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(progress, recipe)
        with _autocast(device, autocast):
            loss = loss_of(step_model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running += loss.detach()
        tokens += ids.numel()
        drawn += len(ids)
        step += 1
        if step % 50 == 0:
            training_loss = float(running) / 50
            running.zero_()
            if time.perf_counter() - reported > 10:
                reported = time.perf_counter()
                print(
                    f"{progress:4.0%} step {step}: {training_loss:.4f} nats/token in training, "
                    f"{tokens / (reported - started):,.0f} tok/s",
                    flush=True,
                )
    seconds = time.perf_counter() - started
    model.eval()
    final = {
        "policy": policy,
        "seed": recipe.seed,
        "rows": drawn,
        "distinct_rows": len(training),
        "tokens": tokens,
        "steps": step,
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "training_nats_per_token": training_loss,
        "held_out_nats_per_token": nats_per_token(model, held, pad, device, autocast),
        "recipe": asdict(recipe),
        "shape": asdict(shape),
    }
    print(
        f"held-out texts: {final['held_out_nats_per_token']} nats/token after {tokens:,} tokens in {seconds:.0f} s "
        f"({tokens / seconds:,.0f} tok/s)",
        flush=True,
    )
    save(model, tokenizer, final, out)
    return final


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, record: dict[str, object], out: Path) -> None:
    """Write the policy; ValueError if its files are over 16 MB together."""
    out.mkdir(parents=True, exist_ok=True)
    model.to("cpu", torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    size = sum(path.stat().st_size for path in out.iterdir())
    if size > MAX_BYTES:
        raise ValueError(f"{out}: {size / 1e6:.1f} MB, more than the 16 MB a policy may have")


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
