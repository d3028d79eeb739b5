"""Task and candidate source as live objects, each in a namespace of its own."""

from __future__ import annotations

import importlib.util
import linecache
import random
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

# Parameters are moved on their device, so many elements at once: on a CPU the 2**30 of level2/55 took over 10 s.
MOVED_AT_ONCE = 1 << 26


class ReferenceModule:
    """A task's ``Model``, ``get_inputs`` and ``get_init_inputs``; nothing a candidate defines can reach them."""

    def __init__(self, source: str) -> None:
        module = types.ModuleType("reference")
        linecache.cache["<reference>"] = (len(source), None, source.splitlines(True), "<reference>")
        # A dataclass looks up the module of its annotations there, when it is defined.
        sys.modules["reference"] = module
        # Without this module's own ``from __future__ import annotations``, which would make them text.
        exec(compile(source, "<reference>", "exec", dont_inherit=True), module.__dict__)
        self.model_class: Callable[..., torch.nn.Module] = module.Model
        self.get_inputs: Callable[[], list[Any]] = module.get_inputs
        self.get_init_inputs: Callable[[], Any] = module.get_init_inputs


class CandidateModule:
    """A candidate's ``ModelNew``. It is a real file, because Triton reads its kernels' source from there."""

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location("candidate", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["candidate"] = module
        spec.loader.exec_module(module)
        if not hasattr(module, "ModelNew"):
            raise AttributeError("the module defines no ModelNew")
        self.model_class: Callable[..., torch.nn.Module] = module.ModelNew


def seed_torch(seed: int) -> None:
    """As ``torch.manual_seed``, but a hundred times as fast where torch has no accelerator, or has started CUDA.

    ``torch.manual_seed`` keeps the text of its caller's stack at each call, for each kind of accelerator that may start
    later: CUDA, and where that has started, those of Intel and Meta. That was an eighth of the time in which a judge
    looks at a task on a CPU, and a twentieth on a GPU.
    """
    # torch.accelerator is new in torch 2.6.
    if hasattr(torch, "accelerator") and torch.accelerator.current_accelerator() is None:
        torch.default_generator.manual_seed(seed)
    elif torch.cuda.is_initialized():
        torch.default_generator.manual_seed(seed)
        torch.cuda.manual_seed_all(seed)
    else:
        torch.manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seed whatever a task or a candidate may draw from: torch on every device, Python and NumPy."""
    seed_torch(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def instantiate(
    model_class: Callable[..., torch.nn.Module], task: ReferenceModule, seed: int, device: str
) -> torch.nn.Module:
    """The model on ``device``, made as KernelBench's ``eval.py`` makes both sides.

    The constructor's arguments are drawn under ``seed``, which is set again right before the constructor. That runs
    with the CPU as default device, so it draws the same weights for any ``device``; the model is moved there
    afterwards. ``get_init_inputs`` returns positional arguments, or (as some of KernelBench's tasks do) a dict of named
    ones; tensors among them are moved to ``device`` first.
    """
    seed_all(seed)
    arguments = task.get_init_inputs()
    if isinstance(arguments, dict):
        positional, named = [], {name: _moved(value, device) for name, value in arguments.items()}
    else:
        positional, named = [_moved(value, device) for value in arguments], {}
    seed_all(seed)
    model = model_class(*positional, **named)
    return model.to(device)


def _moved(argument: Any, device: str) -> Any:
    return argument.to(device) if isinstance(argument, torch.Tensor) else argument


def give_weights(candidate: torch.nn.Module, reference: torch.nn.Module) -> bool:
    """Load the reference's state into a candidate whose state has the same names and shapes.

    Returns False, and changes nothing, if names or shapes differ, or if the candidate has the same values already.
    """
    own, weights = candidate.state_dict(), reference.state_dict()
    shapes = _shapes(weights)
    if _shapes(own) != shapes or None in shapes.values():
        return False
    if all(torch.equal(own[name], value.to(own[name].dtype)) for name, value in weights.items()):
        return False
    candidate.load_state_dict(weights)
    return True


def _shapes(state: Mapping[str, Any]) -> dict[str, Any]:
    """Shape by name; None for a parameter that does not exist yet (``LazyLinear``) and for other values."""
    return {
        name: value.shape if isinstance(value, torch.Tensor) and not is_lazy(value) else None
        for name, value in state.items()
    }


def move_parameters(model: torch.nn.Module, reference: torch.nn.Module, seed: int) -> bool:
    """Give ``model`` the parameters and buffers of ``reference``, moved away from their initial values.

    Every floating value is multiplied by 0.6 to 1.6, and up to a quarter of its tensor's root mean square is added, so
    that ones and zeros become other numbers and variances stay positive. The same ``seed`` gives the same values.
    Buffers of different whole numbers (masks, positions) stay unchanged. Returns False, and changes nothing, if names
    or shapes of the two models differ or no value can be moved.
    """
    state = reference.state_dict()
    shapes = _shapes(state)
    if _shapes(model.state_dict()) != shapes or None in shapes.values():
        return False
    devices = {value.device for value in state.values()}
    draws = {device: torch.Generator(device).manual_seed(seed) for device in devices}
    moved = {name: _moved_away(value, draws[value.device]) for name, value in state.items() if _moves(value)}
    if moved:
        model.load_state_dict({**state, **moved})
    return bool(moved)


def _moves(value: torch.Tensor) -> bool:
    if not value.is_floating_point() or not value.numel():
        return False
    return bool((value == value.reshape(-1)[0]).all()) or not bool((value == value.round()).all())


def _moved_away(value: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    size = float(torch.linalg.vector_norm(value.detach().float())) / value.numel() ** 0.5 or 1.0
    moved = []
    for part in value.detach().reshape(-1).split(MOVED_AT_ONCE):
        factor, summand = (torch.rand(part.shape, generator=draws, device=part.device) for _ in range(2))
        moved.append((part * (0.6 + factor) + 0.25 * size * summand).to(part.dtype))
    return torch.cat(moved).view(value.shape)
