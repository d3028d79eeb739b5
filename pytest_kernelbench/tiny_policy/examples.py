"""Rows of the corpus as token ids, and batches of them by weight."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedTokenizerFast

from pytest_kernelbench.tiny_policy.corpus.mixture import Weighted
from pytest_kernelbench.tiny_policy.model import MAX_LENGTH
from pytest_kernelbench.tiny_policy.tempering import tempered

# Longer ones are left out: they cost most of the time of sampling, and are the last to be learned.
MAX_COMPLETION = 768

VALIDATION_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row as token ids: ``ids[:prompt]`` is the prompt, the rest the completion with the end token."""

    ids: tuple[int, ...]
    prompt: int
    weight: float


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
    """The examples with new weights: sampling at ``temperature`` then draws them as often as their old weights say."""
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
