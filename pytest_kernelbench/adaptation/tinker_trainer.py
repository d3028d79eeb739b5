"""Training by the Tinker service, which holds the weights and computes gradients. This module sends it the rollouts.

The paper's dual loop: a training client takes each step and saves its weights, and a sampling client of the saved
weights draws the next rollouts. The folder of a checkpoint holds the service's two names: of the state of training and
of the weights to sample with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tinker

from pytest_kernelbench.adaptation.answering import Answering
from pytest_kernelbench.adaptation.checkpoints import UPDATE, written_whole
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.tinker_service import TinkerPolicy
from pytest_kernelbench.registries import REDUCTIONS
from pytest_kernelbench.strategy import Adaptation

NAMES = "tinker.json"
ALPHA = 32  # the service's own value, which cannot be changed
T = TypeVar("T")


class TinkerTrainer(Answering):
    """Implements ``Trainer``. The first update starts a training run on the service; the constructor does not."""

    policy: TinkerPolicy
    scores_exactly = False  # one kernel samples there and another scores

    def __init__(
        self, policy: TinkerPolicy, *, settings: Adaptation, temperature: float, max_tokens: int, seed: int
    ) -> None:
        """Raise PolicyError for a setting that the service does not support, before anything is sampled."""
        super().__init__(policy)
        self.settings = settings
        self.temperature = temperature if settings.temperature is None else settings.temperature
        self._refuse_what_it_cannot()
        self.max_tokens = max_tokens
        self.seed = seed
        self.loaded_version = policy.version
        self.holds: int | None = 0
        self._loaded_client = policy.client
        self._sampling = policy.client
        self._training: Any = None
        self._state: str | None = (
            None  # the saved state that the training client has; None: the base model, or an unsaved step
        )
        self.described: Mapping[str, Any] = {
            "said": f"adapter: rank {settings.lora.rank} on attention, MLP (experts among them) and output layer of "
            f"{policy.base_model}, trained by Tinker",
            "rank": settings.lora.rank,
            "model": policy.base_model,
        }

    def use_loaded(self) -> None:
        self.policy.client, self.policy.version = self._loaded_client, self.loaded_version

    def use_adapted(self, version: str) -> None:
        self.policy.client, self.policy.version = self._sampling, version

    @contextmanager
    def as_loaded(self) -> Iterator[None]:
        client, version = self.policy.client, self.policy.version
        self.use_loaded()
        try:
            yield
        finally:
            self.policy.client, self.policy.version = client, version

    def as_average(self, folders: Sequence[Path], *, rate: float) -> NoReturn:
        self._refuse("Tinker averages no weights", 'teacher = "current" or "start"', section="sdpo")

    def update(self, rows: Sequence[TrainingRow], *, step: int) -> dict[str, float] | None:
        """One step of Adam for each pass. If a loss is not finite, no step is taken and the training run is dropped."""
        settings = self.settings
        self.holds = None
        trained = [row for row in rows if row.token_ids and any(row.advantages)]
        tokens = sum(len(row.token_ids) for row in rows)
        divisor = REDUCTIONS[settings.reduction](tokens or 1, len(rows) or 1, self.max_tokens)
        summary: dict[str, float] = {
            "loss": 0.0,
            "learning_rate": settings.learning_rate,
            "rollouts": len(trained),
            "update_tokens": settings.passes * sum(len(row.prompt_ids) + len(row.token_ids) for row in trained),
        }
        data = [_datum(row, divisor) for row in trained]
        for number in range(settings.passes if data else 0):
            training = self._trains()
            output = self._asked(lambda run=training: run.forward_backward(data, *self._loss()).result())
            drawn = [each["logprobs"].tolist()[-len(row.token_ids) :] for each, row in _pairs(output, trained)]
            loss = float(output.metrics.get("loss:sum", math.nan))
            if not (math.isfinite(loss) and all(math.isfinite(value) for row in drawn for value in row)):
                self._training = None  # the service holds a gradient that must not be applied
                return None
            if number == 0:
                summary |= {"loss": loss, **_ratios(drawn, trained)}
            adam = tinker.AdamParams(learning_rate=settings.learning_rate, grad_clip_norm=settings.max_grad_norm or 0.0)
            self._asked(lambda run=training, how=adam: run.optim_step(how).result())
            self._state = None
        return summary

    def save(self, folder: Path, update: Mapping[str, float]) -> None:
        """Have the service keep weights and optimizer, and the weights once more for sampling."""
        name = f"{folder.parent.name}-{folder.name}"
        training = self._trains()
        state = self._asked(lambda: training.save_state(name, overwrite=True).result().path)
        sampler = self._asked(lambda: training.save_weights_for_sampler(name).result().path)
        self._state = state
        named = {"state": state, "sampler": sampler, "base_model": self.policy.base_model}
        with written_whole(folder) as partial:
            (partial / NAMES).write_text(json.dumps(named, indent=1) + "\n")
            (partial / UPDATE).write_text(json.dumps(dict(update), indent=1) + "\n")

    def load(self, folder: Path | None, *, step: int) -> None:
        """A sampling client of the saved weights; the training client follows when it is needed."""
        service = self.policy.service
        if folder is None:
            self._sampling, self._training, self._state = self._loaded_client, None, None
        else:
            named = json.loads((folder / NAMES).read_text())
            self._sampling = self._asked(lambda: service.create_sampling_client(model_path=named["sampler"]).result())
            if self._state != named["state"]:
                self._training, self._state = None, named["state"]
        self.holds = step

    def close(self) -> None:
        self.use_loaded()

    def _trains(self) -> Any:
        """The training client, with the weights that were loaded or trained last."""
        if self._training is None:
            service, state = self.policy.service, self._state
            if state is None:
                self._training = self._asked(
                    lambda: service.create_lora_training_client(
                        self.policy.base_model, rank=self.settings.lora.rank, seed=self.seed % 2**31
                    ).result()
                )
            else:
                self._training = self._asked(
                    lambda: service.create_training_client_from_state_with_optimizer(state).result()
                )
        return self._training

    def _loss(self) -> tuple[str, dict[str, float] | None]:
        if self.settings.loss == "clipped":
            low, high = 1 - self.settings.clipped.low, 1 + self.settings.clipped.high
            return "ppo", {"clip_low_threshold": low, "clip_high_threshold": high}
        return "importance_sampling", None

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (tinker.TinkerError, ValueError, OSError) as error:
            failure = self.policy.failure(error)
        # Outside the handler: the SDK's error holds the request, and with it the key.
        raise failure

    def _refuse_what_it_cannot(self) -> None:
        settings, policy = self.settings, self.policy
        if policy.saved:
            self._refuse(
                "weights that were saved for sampling cannot be trained",
                f"--policy=tinker:{policy.base_model}, the model that they were made from",
            )
        if self.temperature != 1:
            self._refuse("Tinker's losses are at temperature 1", "temperature = 1")
        lora, sdpo = settings.lora, settings.sdpo
        cannot = (
            (lora.targets != "all-linear", "lora", "Tinker chooses the layers", 'targets = "all-linear"'),
            (bool(lora.parameters), "lora", "Tinker chooses the layers", 'parameters = ""'),
            (lora.alpha != ALPHA, "lora", "Tinker's adapters have an alpha of 32", "alpha = 32"),
            (lora.dropout > 0, "lora", "Tinker's adapters have no dropout", "dropout = 0"),
            (settings.kl > 0, "", "Tinker's losses have no penalty on divergence", "kl = 0"),
            (settings.entropy > 0, "", "Tinker's losses have no bonus on entropy", "entropy = 0"),
            (sdpo.teacher == "average", "sdpo", "Tinker averages no weights", 'teacher = "current" or "start"'),
            (sdpo.distil == "distribution", "sdpo", "Tinker gives no whole distributions", 'distil = "drawn"'),
        )
        for asked, section, why, remedy in cannot:
            if asked:
                self._refuse(why, remedy, section=section)

    def _refuse(self, why: str, remedy: str, *, section: str = "") -> NoReturn:
        place = f"adaptation.{section}" if section else "adaptation"
        raise PolicyError(f"--policy={self.policy.name}: [{place}] {why}; set {remedy}")


def _datum(row: TrainingRow, divisor: float) -> tinker.Datum:
    """One row as the service takes it: by position, the token, the next token, its advantage and its log-probability.

    The service's losses are sums over tokens and linear in the advantages, so the divisor goes into the advantages.
    """
    tokens = [*row.prompt_ids, *row.token_ids]
    before = [0.0] * (len(row.prompt_ids) - 1)
    return tinker.Datum(
        model_input=tinker.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": tokens[1:],
            "logprobs": [*before, *row.behaviour],
            "advantages": [*before, *(each / divisor for each in row.advantages)],
        },
    )


def _pairs(output: Any, rows: Sequence[TrainingRow]) -> Iterator[tuple[Any, TrainingRow]]:
    return zip(output.loss_fn_outputs, rows, strict=True)


def _ratios(drawn: Sequence[Sequence[float]], rows: Sequence[TrainingRow]) -> dict[str, float]:
    """Importance ratios before the step, and the advantages, over the tokens that are trained on."""
    ratios = [
        math.exp(now - then)
        for logprobs, row in zip(drawn, rows, strict=True)
        for now, then in zip(logprobs, row.behaviour, strict=True)
    ]
    advantages = [each for row in rows for each in row.advantages]
    mean = sum(advantages) / len(advantages)
    return {
        "advantage_mean": mean,
        "advantage_sd": math.sqrt(sum((each - mean) ** 2 for each in advantages) / len(advantages)),
        "advantage_min": min(advantages),
        "advantage_max": max(advantages),
        "ratio_mean": sum(ratios) / len(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
