"""Which weights of a model get a LoRA adapter: its linear layers, its experts where they are declared, no router.

Layers are found by the model's structure, so that a new family needs no line here. transformers 5 keeps the experts of
a mixture as one tensor a layer (gpt-oss, Qwen3-MoE, DeepSeek-V3), older code as a list of layers: both are experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

from pytest_kernelbench.errors import PolicyError, UsageError
from pytest_kernelbench.policies.decoding import Model
from pytest_kernelbench.strategy import Adaptation

ALL = "all-linear"
# Qwen's mixtures also weigh their shared expert by a gate.
ROUTERS = ("gate", "router", "shared_expert_gate")
EXPERTS = "experts"
# Mixers whose kernel reads this layer's weight directly, without calling the layer. peft refuses it (issue 2274).
READ_PAST = ("mamba.out_proj",)
# Names of experts in versions where they were layers. In a mixture peft 0.21 takes any of these names for the experts'
# one tensor, also the name of a dense or shared layer, and would adapt the experts instead: such layers are left out.
ONCE_EXPERTS = ("gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
# float32 weights, their gradient and two moments of Adam; and while a step is taken a copy to go back to.
BYTES_A_PARAMETER = 4 + 4 + 8 + 4
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Names of the ``layers`` (``nn.Linear``) and ``parameters`` (experts as tensors) of a model that get an adapter.

    ``experts`` says whether the experts of a mixture are among them; None: the model has no experts.
    """

    layers: tuple[str, ...]
    parameters: tuple[str, ...]
    experts: bool | None


def targets_of(model: Model, settings: Adaptation) -> Targets:
    """The weights of ``model`` that ``settings`` name. Names that a strategy spells out are taken, routers too."""
    inside = _linear_inside(model)
    expert_layers = [name for name in inside if EXPERTS in name.split(".")]
    expert_tensors = [
        name for name, each in model.named_parameters() if name.split(".")[-2:-1] == [EXPERTS] and each.dim() == 3
    ]
    has_experts = bool(expert_layers or expert_tensors)
    experts = expert_tensors if settings.lora.experts else []
    parameters = tuple(dict.fromkeys([*experts, *names_in(settings.lora.parameters)]))
    if settings.lora.targets != ALL:
        layers = names_in(settings.lora.targets)
    else:
        layers = [
            name
            for name in inside
            if name.split(".")[-1] not in ROUTERS
            and not name.endswith(READ_PAST)
            and not (expert_tensors and name.endswith(ONCE_EXPERTS))
            and (settings.lora.experts or name not in expert_layers)
        ]
    adapted = bool(parameters) or bool(settings.lora.experts and expert_layers)
    return Targets(layers=tuple(layers), parameters=parameters, experts=adapted if has_experts else None)


def config_for(model: Model, settings: Adaptation, *, policy: str) -> LoraConfig:
    """peft's configuration. Raises UsageError where the strategy names a weight that the model does not have."""
    targets = targets_of(model, settings)
    place = f"--policy={policy}: [adaptation.lora]"
    if settings.lora.experts and targets.experts is None:
        raise UsageError(f"{place} experts = true, and this model has no experts; leave it out")
    if targets.parameters and settings.lora.dropout:
        raise UsageError(f"{place} dropout is not for experts that are one tensor; set dropout = 0")
    known = [name for name, _ in model.named_modules()] + [name for name, _ in model.named_parameters()]
    for key, names in (("targets", targets.layers), ("parameters", targets.parameters)):
        for name in names:
            if not any(each == name or each.endswith(f".{name}") for each in known):
                raise UsageError(f'{place} {key} = "{name}" fits nothing in this model; {_remedy(key, model)}')
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=list(targets.layers),
        target_parameters=list(targets.parameters) or None,
    )


def refuse_quantised(model: Model, *, policy: str) -> None:
    """Raise PolicyError where the weights are kept in a form that no gradient goes through."""
    quantiser = getattr(model, "hf_quantizer", None)
    if quantiser is not None and not quantiser.is_trainable:
        raise PolicyError(
            f"--policy={policy}: its weights are quantised, and no gradient goes through them; "
            'write dtype = "bfloat16" into a policy file'
        )


def refuse_unasked(model: PeftModel, targets: Targets, *, policy: str) -> None:
    """Raise UsageError where peft adapts experts or a router that ``targets`` do not name."""
    asked = {part for name in (*targets.layers, *targets.parameters) for part in name.split(".")}
    special = {EXPERTS, *ROUTERS}
    for name, each in model.named_modules():
        if isinstance(each, LoraLayer) and (found := special.intersection(name.split("."))) and not found & asked:
            raise UsageError(
                f"--policy={policy}: [adaptation.lora] targets: peft takes a name among them for {name}; "
                "name layers of attention only, and set experts = true for the experts"
            )


def describe(model: PeftModel, targets: Targets | None) -> dict[str, Any]:
    """The adapter's entry in ``run.json``: trained parameters, model parameters, layers, and bytes.

    ``targets`` None: the adapter was loaded with the policy, and its experts are not looked for.
    """
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    layers = {name.rpartition(".")[2] for name, each in model.named_modules() if isinstance(each, LoraLayer)}
    return {
        "trained_parameters": trained,
        "model_parameters": sum(each.numel() for each in model.parameters()) - trained,
        "adapted": sorted(layers - {EXPERTS, "base_layer"}),
        "experts": targets.experts if targets else None,
        "bytes": trained * BYTES_A_PARAMETER,
    }


def said_of(described: dict[str, Any] | Any) -> str:
    """``adapter: 12.1 M of 30.5 B parameters (k_proj, ...), 0.2 GiB; experts are left as they are (...)``."""
    line = (
        f"adapter: {_count(described['trained_parameters'])} beside {_count(described['model_parameters'])} parameters "
        f"({', '.join(described['adapted'])}), {described['bytes'] / GIB:.2g} GiB with gradient and optimizer"
    )
    if described["experts"] is None:
        return line
    if described["experts"]:
        return f"{line}; experts are adapted"
    return f"{line}; experts are left as they are (adaptation.lora.experts=true adapts them)"


def names_in(listed: str) -> list[str]:
    """Split ``q_proj, v_proj`` into a list of names."""
    return [each.strip() for each in listed.split(",") if each.strip()]


def _linear_inside(model: Model) -> list[str]:
    """Names of all linear layers except the output layer, which makes the logits."""
    output = model.get_output_embeddings()
    return [name for name, each in model.named_modules() if isinstance(each, nn.Linear) and each is not output]


def _remedy(key: str, model: Model) -> str:
    if key == "parameters":
        return 'set experts = true, or name weights such as "mlp.experts.gate_up_proj"'
    there = sorted({name.rpartition(".")[2] for name in _linear_inside(model)})
    return f'write "{ALL}", or some of {", ".join(there)}'


def _count(n: int) -> str:
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= scale:
            return f"{n / scale:.3g} {unit}"
    return str(n)
