"""Sampling and scoring completions of a causal language model, with the log-probability of every token.

``generate`` of transformers keeps the logits of every step (53 GB for 64 completions of 1024 tokens over a
vocabulary of 201 k) or loses the raw log-probabilities; this loop keeps two numbers a token.

No top-k, no top-p: what is scored is what was drawn from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_kernelbench.errors import HarnessError, PolicyError
from pytest_kernelbench.policies.base import random_seed
from pytest_kernelbench.policies.decoding import Decoder, Model, decoder_for
from pytest_kernelbench.policies.reading import read_tokens
from pytest_kernelbench.prompting.reasoning import opens_reasoning
from pytest_kernelbench.records import Completion, Task, sha256_of

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import Sampling

# Asking a GPU whether rows are finished waits for it; a step of a small model is shorter than that wait.
STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 8}
CPU_BATCH_BYTES = 2 * 2**30
GPU_BATCH_SHARE = 0.6
# Float32 logits of one chunk: a GPU wants thousands of tokens at once.
# Tokens of the longest mark with which a prompt may open the reasoning, and some.
LONGEST_TAG = 24
SCORE_CHUNK_BYTES = {"cpu": 2**28, "cuda": 2**31}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One finished row. ``logprobs`` and ``sampling_logprobs`` are as in ``Completion``, end token included."""

    row: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_logprobs: tuple[float, ...] | None
    stop_reason: str


class CausalLMPolicy(ABC):
    """Samples and scores with ``model``; a subclass says how a task becomes a prompt and tokens become text.

    ``max_tokens``, where the policy sets it, replaces the strategy's. ``model`` may be replaced or trained between
    calls; whoever changes its weights sets ``version`` too. ``sample`` and ``score`` put it into evaluation mode and
    leave it there.
    """

    name: str
    version: str
    label: str | None = None
    gives_logprobs = True
    max_tokens: int | None = None
    trained_by: str | None = "peft"
    model: Model
    eos_ids: frozenset[int]

    @abstractmethod
    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        """Token ids of the prompt that asks for ``answer`` ("module" or "forward_body"); raises PolicyError.

        ``advice`` is text that a teacher gets to read after the question.
        """

    @abstractmethod
    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of sampled tokens, the end token not among them."""

    def spell(self, token_ids: Sequence[int]) -> str:
        """The same with special tokens, in which a model may mark its reasoning."""
        return self.decode(token_ids)

    def sample(self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int]) -> Iterator[Completion]:
        """See ``Policy.sample``. Raises HarnessError where the model's log-probabilities are not finite."""
        prompt = self.prompt_ids(task, sampling.answer)
        opened = opens_reasoning(self.spell(prompt[-LONGEST_TAG:]))
        asked = sha256_of(self.spell(prompt))
        tokens = self._room(prompt, self.max_tokens or sampling.max_tokens, task)
        self.model.eval()
        rows_at_once = self.rows_at_once(len(prompt) + tokens)
        for start in range(0, len(indices), rows_at_once):
            batch = indices[start : start + rows_at_once]
            uniforms = torch.stack([uniforms_for(seed, task.id, index, tokens) for index in batch])
            for done in sample_rows(
                self.model, prompt, uniforms, temperature=sampling.temperature, eos_ids=self.eos_ids
            ):
                completion = self._completion(done, task, batch[done.row], opened, sampling.answer)
                yield replace(completion, seed=seed, prompt_sha256=asked, prompt_tokens=len(prompt))

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) at ``temperature`` of each completion's tokens after the prompt of ``task``.

        Equal ones are computed once: at a low temperature a policy says the same thing again and again.
        """
        found: dict[tuple[int, ...], tuple[float, ...]] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, advice):
            found |= zip(batch, score_rows(self.model, prompt, batch, temperature=temperature), strict=True)
        return [found[tuple(row)] for row in token_ids]

    def likeliest(
        self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], k: int, *, temperature: float = 1.0
    ) -> list[Tensor]:
        """The ``k`` likeliest tokens in the place of each of a completion's: (tokens, k) ids, on the CPU."""
        found: dict[tuple[int, ...], Tensor] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, ""):
            places = [each.topk(min(k, each.shape[-1])).indices for each in distributions(self.model, prompt, batch)]
            found |= zip(batch, _rows_of(places, batch), strict=True)
        return [found[tuple(row)] for row in token_ids]

    def score_each(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        wanted: Sequence[Tensor],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[Tensor]:
        """Log-probabilities of ``wanted`` tokens, (tokens, k) ids for each completion, in the place of its own."""
        places = dict(zip(map(tuple, token_ids), wanted, strict=True))
        found: dict[tuple[int, ...], Tensor] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, advice):
            ids = torch.nn.utils.rnn.pad_sequence([places[row] for row in batch], batch_first=True)
            start, scores = 0, []
            for each in distributions(self.model, prompt, batch, temperature=temperature):
                end = start + each.shape[1]
                scores.append(each.gather(-1, ids[:, start:end].to(each.device)))
                start = end
            found |= zip(batch, _rows_of(scores, batch), strict=True)
        return [found[tuple(row)] for row in token_ids]

    def _distinct(
        self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], advice: str
    ) -> Iterator[tuple[list[int], list[tuple[int, ...]]]]:
        """The prompt, and of the completions each distinct one that has a token, as many at once as fit."""
        prompt = self.prompt_ids(task, answer, advice=advice)
        self.model.eval()
        distinct = list(dict.fromkeys(map(tuple, token_ids)))
        rows_at_once = self.rows_at_once(len(prompt) + max(map(len, distinct), default=0))
        for start in range(0, len(distinct), rows_at_once):
            yield prompt, distinct[start : start + rows_at_once]

    def rows_at_once(self, tokens: int) -> int:
        """How many rows of ``tokens`` tokens, prompt included, are computed together."""
        return batch_rows(self.model, tokens)

    def _room(self, prompt: Sequence[int], max_tokens: int, task: Task) -> int:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        room = max_tokens if context is None else min(max_tokens, context - len(prompt))
        if room < 1:
            raise PolicyError(
                f"--policy={self.name}: the prompt of {task.short_id} has {len(prompt)} tokens and the model's "
                f"context {context}; choose a model with a longer context"
            )
        return room

    def _completion(self, done: Sampled, task: Task, index: int, opened: bool, answer: str) -> Completion:
        # Each probability is a sum of finite terms unless the weights or the precision are broken.
        if not all(map(_finite, done.logprobs)):
            raise HarnessError(
                f"--policy={self.name}: a log-probability for {task.short_id} #{index} is not finite; "
                "the weights are damaged or the precision too low, try dtype float32"
            )
        read = read_tokens(
            done.token_ids, done.stop_reason, decode=self.decode, spell=self.spell, opened=opened, answer=answer
        )
        return Completion(
            task=task.id,
            index=index,
            text=read.text,
            reasoning=read.reasoning,
            cut_off=read.cut_off,
            policy=self.name,
            policy_version=self.version,
            token_ids=done.token_ids,
            logprobs=done.logprobs,
            sampling_logprobs=done.sampling_logprobs,
            stop_reason=done.stop_reason,
            answer_tokens=read.answer_tokens,
            code_tokens=read.code_tokens,
        )


def _finite(value: float) -> bool:
    return value - value == 0.0


def uniforms_for(seed: int, task_id: str, index: int, tokens: int) -> Tensor:
    """The ``tokens`` uniform draws of one completion, float64 on the CPU.

    One number a token (inverse of the cumulative distribution) rather than one a vocabulary entry (Gumbel):
    a row has a generator of its own, and drawing for all rows is still one call a step. A longer request
    begins with the numbers of a shorter one.
    """
    generator = torch.Generator().manual_seed(random_seed(seed, task_id, index))
    return torch.rand(tokens, generator=generator, dtype=torch.float64)


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
    token_ids = torch.zeros(rows, tokens, dtype=torch.long, device=device)
    logprobs = torch.zeros(rows, tokens, device=device)
    sampling_logprobs = torch.zeros(rows, tokens, device=device)
    lengths = torch.full((rows,), tokens, device=device)
    alive = torch.arange(rows, device=device)
    finished = torch.zeros(rows, dtype=torch.bool, device=device)
    check_every = STEPS_BETWEEN_CHECKS.get(device.type, 1)

    def take(which: Tensor) -> Iterator[Sampled]:
        for row in which.tolist():
            length = int(lengths[row])
            ids = tuple(token_ids[row, :length].tolist())
            yield Sampled(
                row=row,
                token_ids=ids,
                logprobs=tuple(logprobs[row, :length].tolist()),
                sampling_logprobs=(None if temperature == 1 else tuple(sampling_logprobs[row, :length].tolist())),
                stop_reason="stop" if ids[-1] in eos_ids else "length",
            )

    # Nothing in a step asks the device for a value, but the look at what is finished: it would wait for the device.
    for step in range(tokens):
        drawn, raw, tempered = draw(logits, uniforms[alive, step], temperature)
        token_ids[alive, step] = drawn
        logprobs[alive, step] = raw
        sampling_logprobs[alive, step] = tempered
        ended = torch.isin(drawn, ends) & ~finished
        lengths[alive] = lengths[alive].where(~ended, step + 1)
        finished |= ended
        if step + 1 == tokens:
            break
        if (step + 1) % check_every == 0:
            n_finished = int(finished.sum())
            if n_finished == len(alive):
                break
            if n_finished >= max(1, decoder.drop_share * len(alive)):
                yield from take(alive[finished])
                kept = (~finished).nonzero().squeeze(1)
                alive, drawn, finished = alive[kept], drawn[kept], finished[kept]
                decoder.keep(kept)
        logits = decoder.step(drawn[:, None])[:, -1]
    yield from take(alive)


def draw(logits: Tensor, uniforms: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """One token a row: (token ids, log-probability at temperature 1, log-probability as drawn), each (rows,)."""
    raw = logits.log_softmax(-1, dtype=torch.float32)
    if temperature == 0:
        drawn = raw.argmax(-1)
        return drawn, _at(raw, drawn), torch.zeros_like(uniforms, dtype=torch.float32)
    tempered = raw if temperature == 1 else (raw / temperature).log_softmax(-1)
    # float64: in float32 the sum over 200 k entries is off by more than most of the entries.
    cumulative = tempered.double().exp_().cumsum(-1)
    target = uniforms[:, None] * cumulative[:, -1:]
    # right=True never lands on an entry of probability 0. The clamp is for u * total rounding up to total.
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp_(max=raw.shape[-1] - 1)
    return drawn, _at(raw, drawn), _at(tempered, drawn)


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


def _rows_of(chunks: Sequence[Tensor], rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """(rows, n, k) chunks along n to what belongs to each row, on the CPU."""
    if not chunks:
        return [torch.empty(0, 0) for _ in rows]
    whole = torch.cat(list(chunks), dim=1).cpu()
    return [each[: len(row)] for each, row in zip(whole, rows, strict=True)]


def end_ids(model: Model, *more: int | None) -> frozenset[int]:
    """Tokens that end an answer: what the generation config, or else the config, names, and ``more``."""
    named = model.generation_config.eos_token_id
    if named is None:
        named = model.config.get_text_config().eos_token_id
    ids = [named] if named is None or isinstance(named, int) else named
    return frozenset(token for token in (*ids, *more) if token is not None)


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
