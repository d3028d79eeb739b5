"""What a task's code changes in torch for its whole process, put back before the code of another task runs there.

A task's file may set torch's default type, turn on cuDNN's benchmark, or replace a function of torch. The judge's
process serves many tasks, one after the other, and a control may serve several: without this, candidates of the next
task would be judged by what the last one has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pytest_kernelbench.evaluation.device.traits import DEVICES


@dataclass(frozen=True, slots=True)
class _Switch:
    """One setting of the whole process: how it is read, and how it is set."""

    read: Callable[[], Any]
    put: Callable[[Any], object]


def _attribute(owner: object, name: str) -> _Switch:
    return _Switch(partial(getattr, owner, name), partial(setattr, owner, name))


def _autocast(device: str) -> list[_Switch]:
    return [
        _Switch(partial(torch.is_autocast_enabled, device), partial(torch.set_autocast_enabled, device)),
        _Switch(partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)),
    ]


def _forget_default_device(_: torch.device) -> None:
    # Judges and workers have none.
    torch.set_default_device(None)


def _read_deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _put_deterministic(modes: tuple[bool, bool]) -> None:
    enabled, warn_only = modes
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def _flushes_denormal() -> bool:
    return (torch.tensor([1e-310], dtype=torch.float64, device="cpu") * 1).item() == 0.0


SWITCHES = (
    _Switch(torch.get_default_dtype, torch.set_default_dtype),
    _Switch(torch.get_default_device, _forget_default_device),
    _Switch(torch.is_grad_enabled, torch.set_grad_enabled),
    _Switch(torch.get_num_threads, torch.set_num_threads),
    _Switch(_read_deterministic, _put_deterministic),
    _Switch(_flushes_denormal, torch.set_flush_denormal),
    *(_attribute(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
    *(_attribute(torch.backends.cuda.matmul, f"allow_{name}_reduced_precision_reduction") for name in ("fp16", "bf16")),
    _Switch(torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    _Switch(torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    _Switch(torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    _Switch(torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    *(switch for traits in DEVICES.values() for switch in _autocast(traits.torch_name)),
)


# Modules and classes of torch, each with its functions, methods and classes. Found when this module is imported, before
# workers are forked: it takes 2 ms, and a worker for a CPU starts in 20.
_CLASSES = [torch.Tensor, *{each for each in vars(torch.nn).values() if isinstance(each, type)}]
_PARTS = {
    owner: {name: part for name, part in vars(owner).items() if callable(part)}
    for owner in (torch, torch.nn, torch.nn.functional, *_CLASSES)
}


class TorchState:
    """torch's switches as they are when this object is made, and its functions as they were imported.

    Whether TF32 is allowed is not among them: that is set for each task (``Precision.set_flags``).
    """

    def __init__(self) -> None:
        self._settings = [(switch, switch.read()) for switch in SWITCHES]

    def put_back(self) -> None:
        """Undo what was changed since."""
        for owner, parts in _PARTS.items():
            for name, part in parts.items():
                if vars(owner).get(name) is not part:
                    setattr(owner, name, part)
        for each in _CLASSES:
            for name in vars(each).keys() - _PARTS[each].keys():
                # A method in place of one of a class above.
                if callable(vars(each)[name]) and hasattr(super(each, each), name):
                    delattr(each, name)
        for switch, value in self._settings:
            if switch.read() != value:
                switch.put(value)
