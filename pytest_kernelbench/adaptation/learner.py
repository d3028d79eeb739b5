"""LoRA on a loaded policy: log-probabilities with gradients, one update, and weights that can be put back.

The model stays one: the adapter is switched off to sample, score or teach with the policy as loaded.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.adaptation.losses import LOSSES, REDUCTIONS, divergence, towards_teacher, with_others
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.policies.base import random_seed
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
from pytest_kernelbench.policies.decoding import Model, keeps_last_logits
from pytest_kernelbench.strategy import Adaptation

ADAPTER = "adaptation"
BETAS, EPSILON = (0.9, 0.95), 1e-12  # Tinker's Adam, as the paper used it: no decay, no clipping
# Beside weights of this precision an adapter computes in it too, and stays float32 itself. Else every layer would hold
# its input once more, twice as large.
MIXED = torch.bfloat16
LOGITS_CHUNK_BYTES = 256 * 2**20
# Largest logits, in their own precision, that one micro-batch may hold.
LOGITS_BYTES = {"cpu": 2**28, "cuda": 2**31}
# Token positions of one micro-batch: enough to fill a GPU, few enough for activations beside an 8 B model.
TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """``tokens`` (T, k) ids in each place of a rollout, and what their teacher gives them: ``logprobs`` (T, k)."""

    tokens: Tensor
    logprobs: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One rollout to learn from.

    ``behaviour`` are its log-probabilities where it was drawn, ``reference`` those of the policy as loaded (None: no
    penalty), both at the loss's temperature; ``advantages`` one a token. With ``lesson`` a teacher's distributions take
    the advantages' place in the loss.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    behaviour: tuple[float, ...]
    advantages: tuple[float, ...]
    reference: tuple[float, ...] | None = None
    lesson: Lesson | None = None


class Learner:
    """``policy`` and the adapter trained on it. Use as a context manager: afterwards the policy is as it was.

    A policy that has an adapter already starts from a copy of it, of that adapter's rank and targets. The frozen
    weights keep their precision; the adapter is float32.
    """

    def __init__(
        self,
        policy: CausalLMPolicy,
        settings: Adaptation,
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        gradient_checkpointing: bool | None = None,
    ) -> None:
        """``temperature`` and ``max_tokens`` are the sampler's; ``gradient_checkpointing`` None: on a GPU."""
        self.policy = policy
        self.settings = settings
        self.temperature = temperature if settings.temperature is None else settings.temperature
        self.max_tokens = max_tokens
        self.seed = seed
        self.loaded_version = policy.version
        self.holds: int | None = 0
        self._loaded_model = policy.model
        self.device = policy.model.get_input_embeddings().weight.device
        self._checkpointing = self.device.type == "cuda" if gradient_checkpointing is None else gradient_checkpointing
        with torch.random.fork_rng(), warnings.catch_warnings():
            torch.manual_seed(seed)
            # peft asks a newer transformers for an attribute by its old name, and warns of tied embeddings that
            # it leaves alone.
            warnings.simplefilter("ignore")
            self.model: Model = self._with_adapter(policy.model)
        self._start = {name: weight.clone() for name, weight in self._adapter_state().items()}
        self._parameters = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        self._optimizer = self._new_optimizer()
        policy.model = self.model
        self.use_loaded()

    def __enter__(self) -> Learner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the adapter off the policy."""
        self._adapter_on()
        if isinstance(self._loaded_model, PeftModel):
            self.model.set_adapter(self._first_adapter)
            self.model.delete_adapter(ADAPTER)
        else:
            self.model.unload()
        self.policy.model = self._loaded_model
        self.policy.version = self.loaded_version
        self.policy.model.eval()

    # Which weights the policy samples and scores with

    def use_loaded(self) -> None:
        """Those the policy was loaded with, to the bit."""
        if isinstance(self._loaded_model, PeftModel):
            self.model.set_adapter(self._first_adapter)
        else:
            self.model.base_model.disable_adapter_layers()
        self.policy.version = self.loaded_version

    def use_adapted(self, version: str) -> None:
        """The adapter's, known as ``version``."""
        self._adapter_on()
        self.policy.version = version

    @contextmanager
    def loaded_weights(self) -> Iterator[None]:
        """For the duration of a block: the teacher's, or the reference's."""
        version = self.policy.version
        self.use_loaded()
        try:
            yield
        finally:
            if version != self.loaded_version:
                self.use_adapted(version)

    # Training

    def update(self, rows: Sequence[TrainingRow], *, step: int) -> dict[str, float] | None:
        """Take ``settings.passes`` steps of Adam on ``rows``; None where loss or gradient is not finite.

        Then the weights are as before. Rows whose advantages are all 0 cost nothing unless a penalty is set.
        """
        settings = self.settings
        self.holds = None
        self._adapter_on()
        regularised = settings.kl > 0 or settings.entropy > 0
        trained = [row for row in rows if row.token_ids and (regularised or any(row.advantages))]
        divisor = REDUCTIONS[settings.reduction](
            sum(len(row.token_ids) for row in rows) or 1, len(rows) or 1, self.max_tokens
        )
        before = {name: each.detach().clone() for name, each in self._parameters.items()}
        total = _Summary()
        with self._training_mode(), torch.random.fork_rng():
            for number in range(settings.passes):
                torch.manual_seed(random_seed(self.seed, f"update {step}", number))
                self._optimizer.zero_grad(set_to_none=True)
                loss = 0.0
                for batch in self._micro_batches(trained):
                    batch_loss = self._loss(batch, divisor, total if number == 0 else None)
                    batch_loss.backward()  # type: ignore[no-untyped-call]
                    loss += float(batch_loss.detach())
                    total.tokens += sum(len(row.prompt_ids) + len(row.token_ids) for row, *_ in batch)
                norm = self._gradient_norm()
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    self._restore(before)
                    return None
                if number == 0:
                    total.loss, total.grad_norm = loss, norm
                if trained:
                    self._optimizer.step()
        if trained and not self._sound(trained[0]):
            self._restore(before)
            return None
        return {
            "loss": total.loss,
            "grad_norm": total.grad_norm,
            "learning_rate": settings.learning_rate,
            "rollouts": len(trained),
            **_advantage_summary(rows),
            **total.ratios(),
            "update_tokens": total.tokens,
        }

    def gradient(self, rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
        """Of the loss over ``rows`` by parameter, on the CPU; nothing is changed."""
        self._adapter_on()
        self._optimizer.zero_grad(set_to_none=True)
        divisor = REDUCTIONS[self.settings.reduction](
            sum(len(row.token_ids) for row in rows), len(rows), self.max_tokens
        )
        with self._training_mode():
            for batch in self._micro_batches(rows):
                self._loss(batch, divisor, None).backward()  # type: ignore[no-untyped-call]
        gradient = {
            name: torch.zeros_like(each, device="cpu") if each.grad is None else each.grad.cpu().clone()
            for name, each in self._parameters.items()
        }
        self._optimizer.zero_grad(set_to_none=True)
        return gradient

    # Checkpoints

    def checkpoint(self, update: Mapping[str, float]) -> Checkpoint:
        optimizer = {
            f"{moment}.{name}": state[moment].detach().cpu().clone()
            for name, each in self._parameters.items()
            if (state := self._optimizer.state.get(each))
            for moment in ("exp_avg", "exp_avg_sq", "step")
        }
        config = {**self.model.peft_config[ADAPTER].to_dict(), "inference_mode": True}
        adapter = {name: weight.detach().cpu().clone() for name, weight in self._adapter_state().items()}
        return Checkpoint(adapter=adapter, config=config, optimizer=optimizer, update=update)

    def load(self, saved: Checkpoint | None, *, step: int) -> None:
        """Adapter and optimizer of a checkpoint; None: as at step 0. ``holds`` is ``step`` until the next update."""
        self._put(self._start if saved is None else saved.adapter)
        self._optimizer = self._new_optimizer()
        for name, each in self._parameters.items():
            if saved is not None and f"step.{name}" in saved.optimizer:
                state = {moment: saved.optimizer[f"{moment}.{name}"] for moment in ("exp_avg", "exp_avg_sq")}
                self._optimizer.state[each] = {
                    "step": saved.optimizer[f"step.{name}"].clone(),
                    **{moment: value.to(each.device, copy=True) for moment, value in state.items()},
                }
        self.holds = step

    @contextmanager
    def borrowed(self, adapter: Mapping[str, Tensor]) -> Iterator[None]:
        """For the duration of a block, other weights of the adapter: a teacher's."""
        version, own = self.policy.version, {name: each.clone() for name, each in self._adapter_state().items()}
        try:
            self._put(adapter)
            self._adapter_on()
            yield
        finally:
            self._put(own)
            if version == self.loaded_version:
                self.use_loaded()

    def average(self, later: Iterable[Mapping[str, Tensor]], *, rate: float) -> dict[str, Tensor]:
        """From the adapter at the start, ``rate`` of the way towards each of the ``later`` ones in turn."""
        average = {name: each.float().cpu() for name, each in self._start.items()}
        for adapter in later:
            average = {name: each.lerp(adapter[name].float().cpu(), rate) for name, each in average.items()}
        return average

    def _put(self, adapter: Mapping[str, Tensor]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            set_peft_model_state_dict(self.model, dict(adapter), adapter_name=ADAPTER)

    def _adapter_state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = get_peft_model_state_dict(
            self.model, adapter_name=ADAPTER, save_embedding_layers=False
        )
        return state

    @torch.no_grad()
    def _sound(self, row: TrainingRow) -> bool:
        """Whether the weights still make probabilities of a row; finite weights may be too large for that."""
        return bool(token_logprobs(self.model, [row], temperature=self.temperature).chosen.isfinite().all())

    def _gradient_norm(self) -> float:
        """Over all parameters, before it is clipped to ``max_grad_norm``."""
        limit = math.inf if self.settings.max_grad_norm is None else self.settings.max_grad_norm
        return float(torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), limit))

    def _new_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam(self._parameters.values(), lr=self.settings.learning_rate, betas=BETAS, eps=EPSILON)

    def _restore(self, before: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, each in self._parameters.items():
                each.copy_(before[name])

    # The adapter on the model

    def _with_adapter(self, model: Model) -> PeftModel:
        settings = self.settings
        if isinstance(model, PeftModel):
            self._first_adapter = str(model.active_adapter)
            config = LoraConfig(**{**model.peft_config[self._first_adapter].to_dict(), "inference_mode": False})
            state = get_peft_model_state_dict(model, adapter_name=self._first_adapter, save_embedding_layers=False)
            model.add_adapter(ADAPTER, config)
            set_peft_model_state_dict(model, dict(state), adapter_name=ADAPTER)
            model.set_adapter(ADAPTER)
            return model
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules="all-linear" if settings.lora_targets == "all-linear" else _names(settings.lora_targets),
            target_parameters=_names(settings.lora_parameters) or None,
        )
        try:
            adapted: PeftModel = get_peft_model(model, config, adapter_name=ADAPTER)
        except ValueError as error:
            raise UsageError(
                f'--policy={self.policy.name}: [adaptation] lora_targets = "{settings.lora_targets}" fits no layer of '
                'this model; write "all-linear", or names such as "q_proj,v_proj"'
            ) from error
        return adapted

    def _adapter_on(self) -> None:
        self.model.base_model.enable_adapter_layers()
        self.model.set_adapter(ADAPTER)

    @contextmanager
    def _training_mode(self) -> Iterator[None]:
        """Dropout of the adapter and gradient checkpointing on; dropout of the model itself stays off.

        Else the model that learns would not be the one that sampled.
        """
        self.model.eval()
        modules = dict(self.model.named_modules())
        mixed = disable_input_dtype_casting(self.model, active=self.model.dtype is MIXED)
        layers = [each for each in modules.values() if self._checkpointing and hasattr(each, "gradient_checkpointing")]
        for layer in layers:
            # What transformers' own switch does; that one was renamed in 5.23, and leaves a hook on the embeddings.
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
            layer.gradient_checkpointing = True
        for each in (*layers, *(module for name, module in modules.items() if "lora_dropout" in name)):
            each.training = True
        try:
            with mixed:
                yield
        finally:
            for layer in layers:
                layer.gradient_checkpointing = False
            self.model.eval()

    # The loss

    def _micro_batches(self, rows: Sequence[TrainingRow]) -> Iterator[list[list[TrainingRow]]]:
        """Rows of one prompt and of similar length, as many as fit: a prompt needs no padding then.

        Rows of equal tokens come in one list, since the model reads them once.
        """
        kind = self.device.type
        vocabulary = self.model.config.get_text_config().vocab_size
        logits_bytes = LOGITS_BYTES.get(kind, LOGITS_BYTES["cpu"])
        tokens_at_once = TOKENS_AT_ONCE.get(kind, TOKENS_AT_ONCE["cpu"])
        equal: dict[tuple[tuple[int, ...], tuple[int, ...]], list[TrainingRow]] = {}
        for row in rows:
            equal.setdefault((row.prompt_ids, row.token_ids), []).append(row)
        batch: list[list[TrainingRow]] = []
        for (prompt_ids, _), same in sorted(equal.items(), key=lambda each: (each[0][0], -len(each[0][1]))):
            longest = batch[0][0] if batch else same[0]
            n = len(batch) + 1
            full = (
                n * (len(longest.prompt_ids) + len(longest.token_ids)) > tokens_at_once
                or n * len(longest.token_ids) * vocabulary * self.model.dtype.itemsize > logits_bytes
            )
            if batch and (full or prompt_ids != longest.prompt_ids):
                yield batch
                batch = []
            batch.append(same)
        if batch:
            yield batch

    def _loss(self, equal: Sequence[Sequence[TrainingRow]], divisor: float, summary: _Summary | None) -> Tensor:
        settings = self.settings
        read = [next((row for row in same if row.lesson), same[0]) for same in equal]
        taught = any(row.lesson for row in read)
        scored = token_logprobs(
            self.model, read, temperature=self.temperature, with_entropy=settings.entropy > 0, with_lessons=taught
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
        return -objective.masked_fill(mask == 0, 0.0).sum() / divisor


def _names(listed: str) -> list[str]:
    return [each.strip() for each in listed.split(",") if each.strip()]


class _Summary:
    """What an update reports of its first pass."""

    def __init__(self) -> None:
        self.loss = self.grad_norm = 0.0
        self.tokens = self.n = 0
        self.sum = 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, ratios: Tensor) -> None:
        self.n += ratios.numel()
        self.sum += float(ratios.double().sum())
        self.least = min(self.least, float(ratios.min()))
        self.most = max(self.most, float(ratios.max()))

    def ratios(self) -> dict[str, float]:
        if not self.n:
            return {}
        return {"ratio_mean": self.sum / self.n, "ratio_min": self.least, "ratio_max": self.most}


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
    """At ``temperature``, of rows of one prompt, with gradients.

    T is the longest row; past a row's end the numbers mean nothing. The float32 distributions over the vocabulary
    are made a chunk of tokens at a time, and again in the backward pass: only the model's own logits are held.
    """
    device = model.get_input_embeddings().weight.device
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
    # Of a token that no teacher speaks of, any distribution will do.
    even = [torch.full((len(row.token_ids), k), -math.log(k + 1)) for row in rows]
    taught = [row.lesson.logprobs if row.lesson else each for row, each in zip(rows, even, strict=True)]
    padded = pad_sequence(taught, batch_first=True, padding_value=-math.log(k + 1)).to(device)
    return padded, torch.tensor([[float(row.lesson is not None)] for row in rows], device=device)


def _padded(rows: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    return pad_sequence([torch.tensor(row, dtype=torch.float32) for row in rows], batch_first=True).to(device)


def _advantage_summary(rows: Sequence[TrainingRow]) -> dict[str, float]:
    values = torch.tensor([value for row in rows for value in row.advantages], dtype=torch.float64)
    if not len(values):
        return {}
    return {
        "advantage_mean": float(values.mean()),
        "advantage_sd": float(values.std(correction=0)),
        "advantage_min": float(values.min()),
        "advantage_max": float(values.max()),
    }
