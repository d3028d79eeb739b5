"""Continuing one prompt in many rows, and scoring rows that were drawn, with the log-probability of every token.

``generate`` of transformers keeps the logits of every step (53 GB for 64 completions of 1024 tokens over a
vocabulary of 201 k) or loses the raw log-probabilities; this loop keeps three numbers a token.

There is no top-k and no top-p: a token is scored under the distribution that it was drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_kernelbench.policies.base import random_seed
from pytest_kernelbench.policies.decoding import (
    Decoder,
    Model,
    decoder_for,
    input_device,
    keeps_last_logits,
    shares_prompts,
)

# Asking a GPU whether rows are finished waits for it; a step of a small model is shorter than that wait.
STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 8}
CPU_BATCH_BYTES = 2 * 2**30
GPU_BATCH_SHARE = 0.6
# Float32 logits of one chunk: a GPU wants thousands of tokens at once.
SCORE_CHUNK_BYTES = {"cpu": 2**28, "cuda": 2**31}
# Below the logarithm of the least float32.
LEAST_LOGPROB = -104.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One finished row, end token included; its numbers are as in ``Completion``."""

    row: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_logprobs: tuple[float, ...] | None
    self_certainty: float
    stop_reason: str


def uniforms_for(seed: int, task_id: str, index: int, tokens: int) -> Tensor:
    """The ``tokens`` uniform draws of one completion, float64 on the CPU.

    There is one number a token (inverse of the cumulative distribution), not one a vocabulary entry (Gumbel):
    a row has a generator of its own, and drawing for all rows is still one call a step. A longer request
    begins with the numbers of a shorter one.
    """
    generator = torch.Generator().manual_seed(random_seed(seed, task_id, index))
    return torch.rand(tokens, generator=generator, dtype=torch.float64)


class Buffers:
    """Numbers of rows that are being drawn, (rows, tokens) each, on the device of the logits."""

    def __init__(self, rows: int, tokens: int, device: torch.device) -> None:
        self.token_ids = torch.zeros(rows, tokens, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(rows, tokens, device=device)
        self.sampling_logprobs = torch.zeros(rows, tokens, device=device)
        self.certainties = torch.zeros(rows, tokens, device=device)
        self.lengths = torch.full((rows,), tokens, device=device)

    def put(self, rows: Tensor, step: int, drawn: Drawn) -> None:
        """Keep the token that each of ``rows`` drew as its token number ``step``."""
        self.token_ids[rows, step] = drawn.token_ids
        self.logprobs[rows, step] = drawn.logprobs
        self.sampling_logprobs[rows, step] = drawn.sampling_logprobs
        self.certainties[rows, step] = drawn.certainty

    def taken(self, rows: Tensor, *, temperature: float, eos_ids: Collection[int]) -> Iterator[Sampled]:
        """``rows`` as they are now, each of its length."""
        for row in rows.tolist():
            length = int(self.lengths[row])
            ids = tuple(self.token_ids[row, :length].tolist())
            drawn_from = None if temperature == 1 else tuple(self.sampling_logprobs[row, :length].tolist())
            yield Sampled(
                row=row,
                token_ids=ids,
                logprobs=tuple(self.logprobs[row, :length].tolist()),
                sampling_logprobs=drawn_from,
                self_certainty=float(self.certainties[row, :length].double().mean()),
                stop_reason="stop" if ids[-1] in eos_ids else "length",
            )


@torch.inference_mode()
def sample_rows(
    model: Model,
    prompt_ids: Sequence[int],
    uniforms: Tensor,
    *,
    temperature: float,
    eos_ids: Collection[int],
) -> Iterator[Sampled]:
    """Continue one prompt once for each row of ``uniforms`` (rows, tokens); yield rows as they finish.

    The prompt is computed once and its keys and values are repeated. A row stops with an end token, which is
    kept ("stop"), or when its uniforms are used up ("length"). Temperature 0 takes the likeliest token.
    """
    rows, tokens = uniforms.shape
    if rows == 0:
        return
    decoder = decoder_for(model, prompt_ids, rows=rows, room=tokens)
    logits, device = decoder.logits, decoder.logits.device
    uniforms = uniforms.to(device)
    ends = torch.tensor(sorted(eos_ids), dtype=torch.long, device=device)
    buffers = Buffers(rows, tokens, device)
    alive = torch.arange(rows, device=device)
    finished = torch.zeros(rows, dtype=torch.bool, device=device)
    check_every = STEPS_BETWEEN_CHECKS.get(device.type, 1)
    # A step asks the device for no value, since that would wait for it; only the check of finished rows does.
    for step in range(tokens):
        drawn = draw(logits, uniforms[alive, step], temperature)
        buffers.put(alive, step, drawn)
        ended = torch.isin(drawn.token_ids, ends) & ~finished
        buffers.lengths[alive] = buffers.lengths[alive].where(~ended, step + 1)
        finished |= ended
        if step + 1 == tokens:
            break
        token_ids = drawn.token_ids
        if (step + 1) % check_every == 0:
            n_finished = int(finished.sum())
            if n_finished == len(alive):
                break
            if n_finished >= max(1, decoder.drop_share * len(alive)):
                yield from buffers.taken(alive[finished], temperature=temperature, eos_ids=eos_ids)
                kept = (~finished).nonzero().squeeze(1)
                alive, token_ids, finished = alive[kept], token_ids[kept], finished[kept]
                decoder.keep(kept)
        logits = decoder.step(token_ids[:, None])[:, -1]
    yield from buffers.taken(alive, temperature=temperature, eos_ids=eos_ids)


class Drawn(NamedTuple):
    """One token a row, each (rows,): its id, and its log-probability at temperature 1 and as drawn.

    ``certainty`` is KL(uniform || distribution at temperature 1) of the row, in nats.
    """

    token_ids: Tensor
    logprobs: Tensor
    sampling_logprobs: Tensor
    certainty: Tensor


def draw(logits: Tensor, uniforms: Tensor, temperature: float) -> Drawn:
    """Draw one token a row from ``logits`` (rows, vocabulary), by ``uniforms`` (rows,) in [0, 1)."""
    raw = logits.log_softmax(-1, dtype=torch.float32)
    # Some models mask entries of their vocabulary with -inf, and a single -inf would make the mean -inf.
    certainty = -raw.clamp(min=LEAST_LOGPROB).mean(-1) - math.log(raw.shape[-1])
    if temperature == 0:
        drawn = raw.argmax(-1)
        return Drawn(drawn, _at(raw, drawn), torch.zeros_like(uniforms, dtype=torch.float32), certainty)
    tempered = raw if temperature == 1 else (raw / temperature).log_softmax(-1)
    # float64: in float32 the sum over 200 k entries is off by more than most of the entries.
    cumulative = tempered.double().exp_().cumsum(-1)
    target = uniforms[:, None] * cumulative[:, -1:]
    # right=True never lands on an entry of probability 0. The clamp is for u * total rounding up to total.
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp_(max=raw.shape[-1] - 1)
    return Drawn(drawn, _at(raw, drawn), _at(tempered, drawn), certainty)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 1:
        return logits.log_softmax(-1, dtype=torch.float32)
    return (logits.float() / temperature).log_softmax(-1)


def _at(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    return logprobs.gather(-1, token_ids[..., None]).squeeze(-1)


@torch.inference_mode()
def score_rows(
    model: Model, prompt_ids: Sequence[int], rows: Sequence[Sequence[int]], *, temperature: float = 1.0
) -> list[tuple[float, ...]]:
    """Teacher-forced log-probabilities (nats, float32) at ``temperature`` of each row's tokens after the prompt."""
    scores, start = [], 0
    for logprobs in distributions(model, prompt_ids, rows, temperature=temperature):
        end = start + logprobs.shape[1]
        scores.append(_at(logprobs, _padded(rows)[:, start:end].to(logprobs.device)))
        start = end
    scored = torch.cat(scores, dim=1).tolist() if scores else [()] * len(rows)
    return [tuple(row[: len(own)]) for row, own in zip(scored, rows, strict=True)]


@torch.inference_mode()
def distributions(
    model: Model, prompt_ids: Sequence[int], rows: Sequence[Sequence[int]], *, temperature: float = 1.0
) -> Iterator[Tensor]:
    """Log-probabilities (rows, n, vocabulary), float32, in the place of each token of the rows, n places at a time.

    The prompt is computed once. Nothing is yielded where no row has a token.
    """
    length = max(map(len, rows), default=0)
    if length == 0:
        return
    if not shares_prompts(model):
        # Models differ in how several tokens continue a state; a whole sequence is computed the same way by all.
        told = [[*prompt_ids, *row] for row in _padded(rows).tolist()]
        keep = {"logits_to_keep": length + 1} if keeps_last_logits(model) else {}
        output = model(input_ids=torch.tensor(told, device=input_device(model)), use_cache=False, **keep)
        yield _tempered(output.logits[:, -length - 1 : -1], temperature)
        return
    decoder = Decoder(model, prompt_ids, rows=len(rows), room=length)
    logits, device = decoder.logits, decoder.logits.device
    yield _tempered(logits, temperature)[:, None]
    # Padding lies to the right of every token that is scored: under a causal mask it changes none.
    tokens = _padded(rows).to(device)
    chunk_bytes = SCORE_CHUNK_BYTES.get(device.type, SCORE_CHUNK_BYTES["cpu"])
    chunk = max(1, chunk_bytes // (len(rows) * logits.shape[-1] * 4))
    for start in range(0, length - 1, chunk):
        yield _tempered(decoder.step(tokens[:, start : min(start + chunk, length - 1)]), temperature)


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True)


def rows_of(chunks: Sequence[Tensor], rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Split (rows, n, k) chunks along n into one (tokens, k) tensor a row, on the CPU."""
    if not chunks:
        return [torch.empty(0, 0) for _ in rows]
    whole = torch.cat(list(chunks), dim=1).cpu()
    return [each[: len(row)] for each, row in zip(whole, rows, strict=True)]


def end_ids(model: Model, *more: int | None) -> frozenset[int]:
    """Tokens that end an answer: the ones that the generation config, or else the config, names, and ``more``."""
    named = model.generation_config.eos_token_id
    if named is None:
        named = model.config.get_text_config().eos_token_id
    ids = [named] if named is None or isinstance(named, int) else named
    return frozenset(token for token in (*ids, *more) if token is not None)


def whole_rows(model: Model, tokens: int) -> int:
    """How many rows can be scored with the logits of all their ``tokens`` at hand, which are more than their keys."""
    chunk_bytes = SCORE_CHUNK_BYTES.get(input_device(model).type, SCORE_CHUNK_BYTES["cpu"])
    return max(1, chunk_bytes // (max(1, tokens) * model.config.get_text_config().vocab_size * 8))


def batch_rows(model: Model, tokens: int) -> int:
    """How many rows of ``tokens`` tokens fit: keys, values and the few copies of a step's logits."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache_bytes = 2 * config.num_hidden_layers * heads * head_size * tokens * model.dtype.itemsize
    # Per vocabulary entry: the model's logits, two float32 distributions, two float64 ones.
    logits_bytes = config.vocab_size * 32
    device = model.get_input_embeddings().weight.device
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        budget = int(GPU_BATCH_SHARE * (torch.cuda.mem_get_info(device)[0] + unused))
    else:
        budget = CPU_BATCH_BYTES
    return max(1, int(budget // (cache_bytes + logits_bytes)))
