"""LoRA on a loaded policy: trains an adapter. The policy is unchanged once the trainer is closed.

There is one copy of the model: the adapter is switched off to sample, score or teach with the policy as loaded.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pytest_kernelbench.adaptation import lora
from pytest_kernelbench.adaptation.answering import Answering
from pytest_kernelbench.adaptation.checkpoints import Checkpoint
from pytest_kernelbench.adaptation.objective import (
    MIXED,
    Summary,
    advantage_summary,
    divisor_of,
    loss_of,
    micro_batches,
    token_logprobs,
)
from pytest_kernelbench.adaptation.ranks import OneProcess, Ranks
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.base import random_seed
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
from pytest_kernelbench.policies.decoding import Model, input_device
from pytest_kernelbench.strategy import Adaptation

ADAPTER = "adaptation"
BETAS, EPSILON = (0.9, 0.95), 1e-12  # Tinker's Adam, as the paper used it: no decay, no clipping


class PeftTrainer(Answering):
    """``policy`` and the adapter trained on it. Use as a context manager: afterwards the policy is as it was.

    A policy that has an adapter already starts from a copy of it, of that adapter's rank and targets. The frozen
    weights keep their precision; the adapter is float32.
    """

    def __init__(
        self,
        policy: CausalLMPolicy,
        *,
        settings: Adaptation,
        temperature: float,
        max_tokens: int,
        seed: int,
        gradient_checkpointing: bool | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """``temperature`` and ``max_tokens`` are the sampler's; ``gradient_checkpointing`` None: on a GPU.

        ``ranks`` are the processes that each hold this model and train it together. Raises UsageError.
        """
        super().__init__(policy)
        self.settings = settings
        self.temperature = temperature if settings.temperature is None else settings.temperature
        self.max_tokens = max_tokens
        self.seed = seed
        self.loaded_version = policy.version
        self.holds: int | None = 0
        self._ranks = ranks or OneProcess()
        self._loaded_model = policy.model
        self.device = input_device(policy.model)
        self._checkpointing = self.device.type == "cuda" if gradient_checkpointing is None else gradient_checkpointing
        with torch.random.fork_rng(), warnings.catch_warnings():
            torch.manual_seed(seed)
            # peft asks a newer transformers for an attribute by its old name, and warns of tied embeddings that
            # it leaves alone.
            warnings.simplefilter("ignore")
            self.model: Model = self._with_adapter(policy.model)
        # On the CPU: an adapter of a mixture's experts is gigabytes.
        self._start = {name: weight.detach().cpu().clone() for name, weight in self._adapter_state().items()}
        self._parameters = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        self._optimizer = self._new_optimizer()
        # In bfloat16 a token scored is 0.07 nats from the same token sampled, more than a step moves it.
        self.scores_exactly = policy.model.dtype.itemsize >= 4
        policy.model = self.model
        self.use_loaded()

    def __enter__(self) -> PeftTrainer:
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
        """Use the weights that the policy was loaded with, equal to the bit."""
        if isinstance(self._loaded_model, PeftModel):
            self.model.set_adapter(self._first_adapter)
        else:
            self.model.base_model.disable_adapter_layers()
        self.policy.version = self.loaded_version

    def use_adapted(self, version: str) -> None:
        """Use the adapter's weights. The policy's version is then ``version``."""
        self._adapter_on()
        self.policy.version = version

    @contextmanager
    def as_loaded(self) -> Iterator[None]:
        version = self.policy.version
        self.use_loaded()
        try:
            yield
        finally:
            if version != self.loaded_version:
                self.use_adapted(version)

    @contextmanager
    def as_average(self, folders: Sequence[Path], *, rate: float) -> Iterator[None]:
        with self.borrowed(self.average((Checkpoint.read(each).adapter for each in folders), rate=rate)):
            yield

    @contextmanager
    def borrowed(self, adapter: Mapping[str, Tensor]) -> Iterator[None]:
        """For the duration of a block, use other weights of the adapter, such as a teacher's."""
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
        """The moving average of adapters: from the first, move ``rate`` of the way to each of the ``later`` in turn."""
        average = {name: each.float() for name, each in self._start.items()}
        for adapter in later:
            average = {name: each.lerp(adapter[name].float().cpu(), rate) for name, each in average.items()}
        return average

    # Training

    def update(self, rows: Sequence[TrainingRow], *, step: int) -> dict[str, float] | None:
        """Take ``settings.passes`` steps of Adam on ``rows``; None where loss or gradient is not finite.

        After None the weights are as before. Rows whose advantages are all 0 cost nothing unless a penalty is set.
        """
        settings = self.settings
        self.holds = None
        self._adapter_on()
        regularised = settings.kl > 0 or settings.entropy > 0
        trained = [row for row in rows if row.token_ids and (regularised or any(row.advantages))]
        divisor = divisor_of(rows, settings, self.max_tokens)
        before = {name: each.detach().clone() for name, each in self._parameters.items()}
        total = Summary()
        with self._training_mode(), torch.random.fork_rng():
            for number in range(settings.passes):
                torch.manual_seed(random_seed(self.seed, f"update {step}", number))
                seen = total if number == 0 else Summary()
                loss = self._backward(trained, divisor, seen)
                total.tokens += seen.tokens if number else 0
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
            **advantage_summary(rows),
            **total.ratios(),
            "update_tokens": total.tokens,
        }

    def gradient(self, rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
        """The gradient of the loss over ``rows``, by parameter, on the CPU. Weights are not changed."""
        self._adapter_on()
        with self._training_mode():
            self._backward(rows, divisor_of(rows, self.settings, self.max_tokens), Summary())
        gradient = {
            name: torch.zeros_like(each, device="cpu") if each.grad is None else each.grad.cpu().clone()
            for name, each in self._parameters.items()
        }
        self._optimizer.zero_grad(set_to_none=True)
        return gradient

    def _backward(self, rows: Sequence[TrainingRow], divisor: float, seen: Summary) -> float:
        """Set every gradient, summed over all ranks; returns the loss and the summary of the rows ``seen``."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for batch, weight in self._ranks.share(list(micro_batches(rows, self.model))):
            summed = loss_of(
                self.model,
                batch,
                self.settings,
                temperature=self.temperature,
                summary=seen if weight else None,
            )
            batch_loss = summed / divisor * weight
            batch_loss.backward()  # type: ignore[no-untyped-call]
            loss += float(batch_loss.detach())
            seen.tokens += int(weight) * sum(len(row.prompt_ids) + len(row.token_ids) for row, *_ in batch)
        if rows:
            self._ranks.add_gradients(self._parameters.values())
        seen.merge(self._ranks.gathered(seen))
        return sum(self._ranks.gathered(loss))

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

    def save(self, folder: Path, update: Mapping[str, float]) -> None:
        self.checkpoint(update).write(folder)

    def load(self, folder: Path | None, *, step: int) -> None:
        """Adapter and optimizer of a checkpoint; None: as at step 0. ``holds`` is ``step`` until the next update."""
        saved = None if folder is None else Checkpoint.read(folder)
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
        """Whether the log-probabilities of a row are finite. With finite but large weights they may not be."""
        return bool(token_logprobs(self.model, [row], temperature=self.temperature).chosen.isfinite().all())

    def _gradient_norm(self) -> float:
        """The norm of the gradient over all parameters, before it is clipped to ``max_grad_norm``."""
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
        if isinstance(model, PeftModel):
            self._first_adapter = str(model.active_adapter)
            config = LoraConfig(**{**model.peft_config[self._first_adapter].to_dict(), "inference_mode": False})
            state = get_peft_model_state_dict(model, adapter_name=self._first_adapter, save_embedding_layers=False)
            model.add_adapter(ADAPTER, config)
            set_peft_model_state_dict(model, dict(state), adapter_name=ADAPTER)
            model.set_adapter(ADAPTER)
            self.described = lora.describe(model, None)
            return model
        lora.refuse_quantised(model, policy=self.policy.name)
        targets = lora.targets_of(model, self.settings)
        config = lora.config_for(model, self.settings, policy=self.policy.name)
        adapted: PeftModel = get_peft_model(model, config, adapter_name=ADAPTER)
        lora.refuse_unasked(adapted, targets, policy=self.policy.name)
        self.described = lora.describe(adapted, targets)
        return adapted

    def _adapter_on(self) -> None:
        self.model.base_model.enable_adapter_layers()
        self.model.set_adapter(ADAPTER)

    @contextmanager
    def _training_mode(self) -> Iterator[None]:
        """Dropout of the adapter and gradient checkpointing on; dropout of the model itself stays off.

        With dropout in the model, the model that learns would differ from the model that sampled.
        """
        self.model.eval()
        modules = dict(self.model.named_modules())
        mixed = disable_input_dtype_casting(self.model, active=self.model.dtype is MIXED)
        layers = [each for each in modules.values() if self._checkpointing and hasattr(each, "gradient_checkpointing")]
        for layer in layers:
            # As transformers' own switch, which was renamed in 5.23 and leaves a hook on the embeddings.
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
