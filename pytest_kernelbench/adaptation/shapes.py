"""Memory that a model's layers keep for each token, computed from their shapes."""

from __future__ import annotations

from pytest_kernelbench.policies.decoding import Model

# Copies of a layer's numbers that a backward pass without checkpoints keeps: measured as 2.3 on SmolLM2 in float32.
KEPT = 2.5


def layers_of(model: Model) -> list[Model]:
    names = set(model._no_split_modules or ())
    return [each for each in model.modules() if type(each).__name__ in names]


def width_of(model: Model) -> int:
    """Numbers that one token leaves inside a layer: the outputs of each linear layer and of each expert it goes to.

    0 where the model does not name its layers.
    """
    config = model.config.get_text_config()
    chosen = getattr(config, "num_experts_per_tok", None) or 1

    def of(part: Model) -> int:
        sizes = 0
        for name, each in part.named_parameters():
            if each.dim() == 3:  # experts: the output is one of the two dimensions; the larger is taken
                sizes += chosen * max(each.shape[1:])
            elif each.dim() == 2 and "norm" not in name and "lora_" not in name:
                sizes += each.shape[0]
        return sizes

    return max((of(part) for part in layers_of(model)), default=0)


def kept_bytes(model: Model) -> int:
    """Bytes that a forward pass keeps of each token for the backward pass, without checkpoints."""
    return int(KEPT * len(layers_of(model)) * width_of(model) * model.dtype.itemsize)
