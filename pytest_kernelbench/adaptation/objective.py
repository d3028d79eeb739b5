"""The loss of an update on a causal language model: micro-batches, differentiable log-probabilities, and the sum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from pytest_kernelbench.adaptation.losses import divergence, towards_teacher, with_others
from pytest_kernelbench.adaptation.shapes import kept_bytes
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.decoding import Model, input_device, keeps_last_logits
from pytest_kernelbench.registries import LOSSES, REDUCTIONS
from pytest_kernelbench.strategy import Adaptation

# Beside weights of this precision an adapter computes in it too, and stays float32 itself. Else every layer would hold
# its input once more, twice as large.
MIXED = torch.bfloat16
LOGITS_CHUNK_BYTES = 256 * 2**20
# Largest logits, in their own precision, that one micro-batch may hold.
LOGITS_BYTES = {"cpu": 2**28, "cuda": 2**31}
# Token positions of one micro-batch: enough to fill a GPU, few enough for activations beside an 8 B model.
TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 16384}
# Memory that layers may keep of a micro-batch on a CPU, without checkpoints: one row of 470 tokens of a 135 M model.
# One row at a time computes as fast there, and its memory is used again for the next.
KEPT_BYTES = 700 * 2**20

Batch = list[list[TrainingRow]]


def divisor_of(rows: Sequence[TrainingRow], settings: Adaptation, max_tokens: int) -> float:
    """The divisor of the sum over the tokens of ``rows``, from which dropped rows are absent already."""
    tokens = sum(len(row.token_ids) for row in rows)
    return REDUCTIONS[settings.reduction](tokens or 1, len(rows) or 1, max_tokens)


def micro_batches(rows: Sequence[TrainingRow], model: Model) -> Iterator[Batch]:
    """Rows of one prompt and of similar length, as many as fit: a prompt needs no padding then.

    Rows of equal tokens come in one list, since the model reads them once.
    """
    kind = input_device(model).type
    vocabulary = model.config.get_text_config().vocab_size
    logits_bytes = LOGITS_BYTES.get(kind, LOGITS_BYTES["cpu"])
    tokens_at_once = TOKENS_AT_ONCE.get(kind, TOKENS_AT_ONCE["cpu"])
    if kind == "cpu":
        tokens_at_once = min(tokens_at_once, KEPT_BYTES // max(1, kept_bytes(model)))
    equal: dict[tuple[tuple[int, ...], tuple[int, ...]], list[TrainingRow]] = {}
    for row in rows:
        equal.setdefault((row.prompt_ids, row.token_ids), []).append(row)
    batch: Batch = []
    for (prompt_ids, _), same in sorted(equal.items(), key=lambda each: (each[0][0], -len(each[0][1]))):
        longest = batch[0][0] if batch else same[0]
        n = len(batch) + 1
        full = (
            n * (len(longest.prompt_ids) + len(longest.token_ids)) > tokens_at_once
            or n * len(longest.token_ids) * vocabulary * model.dtype.itemsize > logits_bytes
        )
        if batch and (full or prompt_ids != longest.prompt_ids):
            yield batch
            batch = []
        batch.append(same)
    if batch:
        yield batch


def loss_of(
    model: Model, equal: Batch, settings: Adaptation, *, temperature: float, summary: Summary | None = None
) -> Tensor:
    """The sum over a micro-batch's tokens, not divided by anything; its importance ratios go into ``summary``."""
    read = [next((row for row in same if row.lesson), same[0]) for same in equal]
    taught = any(row.lesson for row in read)
    scored = token_logprobs(
        model, read, temperature=temperature, with_entropy=settings.entropy > 0, with_lessons=taught
    )
    device = scored.chosen.device
    batch = [row for same in equal for row in same]
    places = torch.tensor([place for place, same in enumerate(equal) for _ in same], device=device)
    logprobs = scored.chosen[places]
    mask = _padded([[1.0] * len(row.token_ids) for row in batch], device)  # (B, T)
    behaviour = _padded([row.behaviour for row in batch], device)
    ratios = (logprobs - behaviour).masked_fill(mask == 0, 0.0).exp()
    if scored.lessons is None:
        advantages = _padded([row.advantages for row in batch], device)
        objective = LOSSES[settings.loss](ratios, advantages, settings)
    else:
        teacher, is_taught = _lessons(batch, device)
        student = with_others(scored.lessons[places])
        objective = towards_teacher(ratios, student, with_others(teacher), settings) * is_taught
    if settings.kl > 0:
        reference = _padded([row.reference or () for row in batch], device)
        objective = objective - settings.kl * divergence(logprobs, reference)
    if scored.entropies is not None:
        objective = objective + settings.entropy * scored.entropies[places]
    if summary is not None:
        summary.add(ratios.detach()[mask == 1])
    return -objective.masked_fill(mask == 0, 0.0).sum()


@dataclass(slots=True)
class Summary:
    """Statistics of an update's first pass: loss, gradient norm, tokens read, and importance ratios before it."""

    loss: float = 0.0
    grad_norm: float = 0.0
    tokens: int = 0
    n: int = 0
    sum: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, ratios: Tensor) -> None:
        self.n += ratios.numel()
        self.sum += float(ratios.double().sum())
        self.least = min(self.least, float(ratios.min()))
        self.most = max(self.most, float(ratios.max()))

    def merge(self, others: Sequence[Summary]) -> None:
        """Become the total of ``others``, one of each process. Loss and gradient are equal in all processes already."""
        self.tokens, self.n = sum(each.tokens for each in others), sum(each.n for each in others)
        self.sum = sum(each.sum for each in others)
        self.least, self.most = min(each.least for each in others), max(each.most for each in others)

    def ratios(self) -> dict[str, float]:
        if not self.n:
            return {}
        return {"ratio_mean": self.sum / self.n, "ratio_min": self.least, "ratio_max": self.most}


def advantage_summary(rows: Sequence[TrainingRow]) -> dict[str, float]:
    """Mean, standard deviation, least and greatest advantage over all tokens; empty if there is no token."""
    values = torch.tensor([value for row in rows for value in row.advantages], dtype=torch.float64)
    if not len(values):
        return {}
    return {
        "advantage_mean": float(values.mean()),
        "advantage_sd": float(values.std(correction=0)),
        "advantage_min": float(values.min()),
        "advantage_max": float(values.max()),
    }


class Scored(NamedTuple):
    """Log-probabilities of the ``chosen`` tokens (B, T) and of ``lessons``' (B, T, k); ``entropies`` (B, T)."""

    chosen: Tensor
    entropies: Tensor | None
    lessons: Tensor | None


def token_logprobs(
    model: Model,
    rows: Sequence[TrainingRow],
    *,
    temperature: float,
    with_entropy: bool = False,
    with_lessons: bool = False,
) -> Scored:
    """Log-probabilities at ``temperature`` of the tokens of ``rows``, all of one prompt, with gradients.

    T is the longest row; past a row's end the numbers mean nothing. The float32 distributions over the vocabulary
    are made a chunk of tokens at a time, and again in the backward pass: only the model's own logits are held.
    """
    device = input_device(model)
    answers = pad_sequence([torch.tensor(row.token_ids) for row in rows], batch_first=True).to(device)  # (B, T)
    prompt = torch.tensor([rows[0].prompt_ids], device=device).expand(len(rows), -1)
    length = answers.shape[1]
    # Padding is on the right, where no token that counts can see it: no attention mask is needed.
    last_only = {"logits_to_keep": length} if keeps_last_logits(model) else {}
    tokens = torch.cat([prompt, answers[:, :-1]], dim=1)
    with torch.autocast(device.type, dtype=MIXED, enabled=model.dtype is MIXED):
        logits = model(input_ids=tokens, use_cache=False, **last_only).logits[:, -length:]
    wanted = answers[..., None].to(logits.device)  # (B, T, 1 + k)
    if with_lessons:
        k = max(row.lesson.tokens.shape[1] for row in rows if row.lesson)
        nothing = torch.zeros(0, k, dtype=torch.long)
        lessons = pad_sequence([row.lesson.tokens if row.lesson else nothing for row in rows], batch_first=True)
        padding = (0, 0, 0, length - lessons.shape[1])
        wanted = torch.cat([wanted, torch.nn.functional.pad(lessons, padding).to(logits.device)], dim=-1)
    chunk = max(1, LOGITS_CHUNK_BYTES // (len(rows) * logits.shape[-1] * 4))
    pieces = [
        checkpoint(
            _gather,
            logits[:, start : start + chunk],
            wanted[:, start : start + chunk],
            temperature,
            with_entropy,
            use_reentrant=False,
        )
        for start in range(0, length, chunk)
    ]
    gathered = torch.cat([piece[0] for piece in pieces], dim=1)
    return Scored(
        chosen=gathered[..., 0],
        entropies=torch.cat([piece[1] for piece in pieces], dim=1) if with_entropy else None,
        lessons=gathered[..., 1:] if with_lessons else None,
    )


def _gather(logits: Tensor, token_ids: Tensor, temperature: float, with_entropy: bool) -> tuple[Tensor, Tensor]:
    logprobs = (logits.float() / temperature).log_softmax(-1)
    gathered = logprobs.gather(-1, token_ids)
    return gathered, -(logprobs.exp() * logprobs).sum(-1) if with_entropy else gathered


def _lessons(rows: Sequence[TrainingRow], device: torch.device) -> tuple[Tensor, Tensor]:
    """Teachers' log-probabilities (B, T, k), and 1 for each row (B, 1) that has a teacher."""
    k = max(row.lesson.tokens.shape[1] for row in rows if row.lesson)
    # The distribution for a token without a teacher is never used.
    even = [torch.full((len(row.token_ids), k), -math.log(k + 1)) for row in rows]
    taught = [row.lesson.logprobs if row.lesson else each for row, each in zip(rows, even, strict=True)]
    padded = pad_sequence(taught, batch_first=True, padding_value=-math.log(k + 1)).to(device)
    return padded, torch.tensor([[float(row.lesson is not None)] for row in rows], device=device)


def _padded(rows: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    return pad_sequence([torch.tensor(row, dtype=torch.float32) for row in rows], batch_first=True).to(device)
