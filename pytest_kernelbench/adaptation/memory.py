"""Memory that sampling and training need on each GPU, in bytes, computed from the model's shapes before it is loaded.

Only parts that grow with the model are counted. A step of an 8 B model took 25.5 GiB on an H100
(docs/measurements.md); this count gives 25.4 GiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_kernelbench.adaptation.lora import BYTES_A_PARAMETER, targets_of
from pytest_kernelbench.adaptation.objective import LOGITS_BYTES, TOKENS_AT_ONCE
from pytest_kernelbench.adaptation.shapes import layers_of, width_of
from pytest_kernelbench.policies.decoding import Model
from pytest_kernelbench.strategy import Adaptation

GIB = 2**30
# Copies of a row's logits in sampling, in bytes for each entry: the model's own, two float32 and two float64.
SAMPLING_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``rollouts`` at once, of ``max_tokens`` after ``prompt_tokens``, by a model over ``shards`` GPUs."""

    rollouts: int
    prompt_tokens: int
    max_tokens: int
    shards: int = 1


def weights_of(model: Model, load: Load) -> dict[str, int]:
    """Bytes on each GPU of the weights, and of the layer that is gathered while another one computes."""
    whole = sum(each.numel() * each.element_size() for each in model.parameters())
    if load.shards == 1:
        return {"weights": whole}
    layer = max(sum(each.numel() * each.element_size() for each in part.parameters()) for part in layers_of(model))
    outside = whole - sum(each.numel() * each.element_size() for part in layers_of(model) for each in part.parameters())
    return {"weights": whole // load.shards, "gathered layers": 2 * layer + outside}


def for_sampling(model: Model, load: Load) -> dict[str, int]:
    """Bytes on each GPU if all rollouts are sampled at once. Smaller batches need less.

    Every layer is counted with all keys and values, also a layer that attends to a window only.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    tokens = load.rollouts * (load.prompt_tokens + load.max_tokens)
    keys = 2 * config.num_hidden_layers * heads * size * tokens * model.dtype.itemsize
    return {
        **weights_of(model, load),
        "keys and values": keys,
        "logits": load.rollouts * config.vocab_size * SAMPLING_BYTES,
    }


def for_training(model: Model, load: Load, settings: Adaptation) -> dict[str, int]:
    """Bytes on each GPU during the forward and backward pass of a micro-batch, with gradient checkpointing."""
    config = model.config.get_text_config()
    itemsize = model.dtype.itemsize
    row = load.prompt_tokens + load.max_tokens
    row_logits = load.max_tokens * config.vocab_size * itemsize
    rows = max(1, min(load.rollouts, TOKENS_AT_ONCE["cuda"] // row, LOGITS_BYTES["cuda"] // row_logits))
    tokens = rows * row
    return {
        **weights_of(model, load),
        "adapter and optimizer": trained_parameters(model, settings) * BYTES_A_PARAMETER,
        "layers' inputs": config.num_hidden_layers * tokens * config.hidden_size * itemsize,
        "one layer's inside": 2 * tokens * width_of(model) * itemsize,
        "logits and their gradient": 2 * rows * row_logits,
    }


def trained_parameters(model: Model, settings: Adaptation) -> int:
    """Parameters of the adapter that ``settings`` put on ``model``."""
    targets = targets_of(model, settings)
    shapes: Mapping[str, tuple[int, ...]] = {name: tuple(each.shape) for name, each in model.named_parameters()}
    layers = (shapes[f"{name}.weight"] for name in targets.layers)
    experts = (shapes[name] for name in targets.parameters)
    return settings.lora.rank * (sum(a + b for a, b in layers) + sum(n * (a + b) for n, a, b in experts))


def total_gib(parts: Mapping[str, int]) -> float:
    return sum(parts.values()) / GIB
