"""A policy's weights on a device that a judge also uses: whether they may stay there, and moving them to the host.

The judge runs in other processes. If it ran out of memory because of a policy's weights, the candidate would be blamed.
Weights are therefore moved off the device before candidates are judged, unless there is enough free memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.decoding import Model

GIB = 2**30
# Of a device's memory, what has to be free for weights to stay while candidates are judged. Reference, candidate, their
# outputs and spare copies of the inputs of the largest task of level 1 take 33 GB at KernelBench's sizes.
ROOM_SHARE = 0.45
# Of the memory that is free, what weights may fill: activations, keys and values come on top.
WEIGHTS_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """Bytes of one device: ``free`` for any process, and ``total``."""

    free: int
    total: int


def memory_of(device: torch.device) -> DeviceMemory:
    """The memory of a CUDA device, after this process gave back the memory that it holds in reserve."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return DeviceMemory(free=free, total=total)


def may_stay(memory: DeviceMemory) -> bool:
    """Whether weights may stay on a device while candidates are judged there."""
    return memory.free >= ROOM_SHARE * memory.total


class Aside:
    """The frozen weights of ``model``, in the host's memory while they are off the device.

    Frozen weights do not change, so they are copied to the host once; after that, only the device's copy is freed.
    Trained weights are few and stay on the device.
    """

    def __init__(self, model: Model) -> None:
        # By name: an adapter that is switched off asks for no gradient either.
        self._weights = [each for name, each in model.named_parameters() if "lora_" not in name]
        self._host: list[Tensor] = []
        self._devices = [each.device for each in self._weights]
        self.is_aside = False
        self.bytes = sum(each.numel() * each.element_size() for each in self._weights)

    def put(self) -> float:
        """Move the weights to the host's memory. Returns the seconds that it took."""
        start = time.perf_counter()
        if not self._host:
            self._host = [_on_host(each) for each in self._weights]
        for weight, held in zip(self._weights, self._host, strict=True):
            weight.data = held
        self.is_aside = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return time.perf_counter() - start

    def back(self) -> float:
        """Move the weights back to where they were. Returns the seconds that it took."""
        start = time.perf_counter()
        for weight, held, device in zip(self._weights, self._host, self._devices, strict=True):
            weight.data = held.to(device, non_blocking=True, copy=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.is_aside = False
        return time.perf_counter() - start


def _on_host(weight: Tensor) -> Tensor:
    # Pinned: from pageable memory 60 GB come back at a third of the speed.
    held = torch.empty_like(weight, device="cpu", pin_memory=weight.device.type == "cuda")
    return held.copy_(weight.detach())


def weights_bytes(folder: Path, dtype: str | torch.dtype) -> int | None:
    """Bytes of the weights in ``folder`` in ``dtype``; None where their files do not say.

    Quantised weights take as many bytes as their files.
    """
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else {}
    stored = config.get("dtype") or config.get("torch_dtype")
    if not size:
        return None
    if not isinstance(dtype, torch.dtype) or stored is None or config.get("quantization_config"):
        return size
    return size * dtype.itemsize // getattr(torch, stored).itemsize


def refuse_spill(name: str, size: int | None, free: Mapping[str, int]) -> None:
    """Raise PolicyError if weights of ``size`` bytes do not fit ``free`` bytes by device. Call it before loading.

    transformers would put the rest into host memory without a warning, and sample a hundred times slower.
    """
    room = sum(free.values()) * WEIGHTS_SHARE
    if size is not None and size > room:
        where = ", ".join(free) or "no GPU"
        raise PolicyError(
            f"--policy={name}: its weights take {size / GIB:.1f} GiB and {room / GIB:.1f} GiB are free for them on "
            f"{where}, so a part would lie on the CPU; name more GPUs with --kernelbench-policy-gpus, or write shards "
            "into a policy file"
        )


def refuse_spilled(name: str, device_map: Mapping[str, Any] | None) -> None:
    """Raise PolicyError if transformers has put a part of a model on the CPU or the disk."""
    spilled = [part for part, where in (device_map or {}).items() if str(where) in ("cpu", "disk", "meta")]
    if spilled:
        raise PolicyError(
            f"--policy={name}: {len(spilled)} parts of it, {spilled[0]} first, do not fit on the GPUs; "
            "name more of them with --kernelbench-policy-gpus, or write shards into a policy file"
        )


@dataclass(slots=True)
class SharedDevice:
    """One policy and the judges share a device: the policy's weights are moved off it while a judge uses it.

    ``tell``: called with a line to print, once for each policy.
    """

    memory: Callable[[torch.device], DeviceMemory]
    tell: Callable[[str], None]
    spend: Callable[[str, float], None]
    asides: dict[int, Aside] = field(default_factory=dict)

    def before_judging(self, policy: Any, device: torch.device) -> None:
        """Move the policy's weights off the device if they are there and leave too little room."""
        aside = self.asides.get(id(policy))
        model = getattr(policy, "model", None)
        if model is None or (aside is not None and aside.is_aside):
            return
        if device not in {each.device for each in model.parameters()}:
            return
        memory = self.memory(device)
        if may_stay(memory):
            return
        first = aside is None
        aside = self.asides.setdefault(id(policy), aside or Aside(model))
        seconds = aside.put()
        self.spend("moving the policy", seconds)
        if first:
            self.tell(
                f"{policy.name}: {memory.free / GIB:.1f} of {memory.total / GIB:.1f} GiB are free beside its weights, "
                "too few for a judge; they are put aside while candidates are judged "
                f"({aside.bytes / GIB:.1f} GiB in {seconds:.1f} s)"
            )

    def before_sampling(self, policy: Any) -> None:
        """Move the weights back to the device, if they were moved."""
        aside = self.asides.get(id(policy))
        if aside is not None and aside.is_aside:
            self.spend("moving the policy", aside.back())
