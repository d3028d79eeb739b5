"""Runs a candidate once without a device, to find what it builds.

The candidate is imported, constructed, and called on inputs with the task's shapes and no values (torch's ``meta``
device), as if on the GPU of its trial. Its requests to ``load_inline`` are built, and Triton compiles the kernels that
it would launch. It ends where it needs values or a GPU; builds that come after that point are made during its trial.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.modules import CandidateModule, ReferenceModule, instantiate


class OnNothing(TorchFunctionMode):
    """Makes tensors that are requested on a GPU on ``meta``."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.Tensor.cuda:
            return arguments[0]
        arguments = [torch.device("meta") if _is_gpu(each) else each for each in arguments]
        named = {name: "meta" if name == "device" else each for name, each in (named or {}).items()}
        return function(*arguments, **named)


def _is_gpu(argument: object) -> bool:
    return isinstance(argument, (str, torch.device)) and is_gpu(str(argument))


@contextlib.contextmanager
def on_nothing(gpu: Mapping[str, Any] | None) -> Iterator[None]:
    """Tensors that are made within this mode have a shape and no memory; with a ``gpu``, they report to be on it.

    ``gpu`` are the properties of a GPU as torch names them, None on a CPU.
    """
    with contextlib.ExitStack() as put_back:
        if gpu is not None:
            _pretend(gpu, put_back)
        with torch.no_grad(), torch.device("meta"), OnNothing():
            yield


def _pretend(gpu: Mapping[str, Any], put_back: contextlib.ExitStack) -> None:
    """Make torch report this GPU."""
    # Torch's own attribute is in a base class, and is visible again when this one is deleted. ``device`` is unchanged,
    # because torch itself reads it.
    torch.Tensor.is_cuda = True  # type: ignore[misc]
    put_back.callback(delattr, torch.Tensor, "is_cuda")
    properties = SimpleNamespace(**gpu)
    # Each is a separate object: torch's compiler keeps a list of them and fails if one is in it twice.
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: properties.name,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "get_device_properties": lambda device=None: properties,
        "current_stream": lambda device=None: _Idle(),
        "default_stream": lambda device=None: _Idle(),
        **{name: _nothing() for name in ("synchronize", "empty_cache", "set_device", "init")},
        **{name: type(name, (_Idle,), {}) for name in ("Stream", "Event", "CUDAGraph", "stream", "device", "graph")},
    }
    for name, answer in answers.items():
        put_back.callback(setattr, torch.cuda, name, getattr(torch.cuda, name))
        setattr(torch.cuda, name, answer)


def _nothing() -> Callable[..., None]:
    return lambda *_, **__: None


class _Idle:
    """A stream, an event, a graph or a context of a GPU that does nothing."""

    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accepts any arguments."""

    def __enter__(self) -> _Idle:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def go_through(task_source: str, candidate: Path, gpu: Mapping[str, Any] | None) -> None:
    """Import the candidate in this file, construct it and call it once. Raises the candidate's exceptions."""
    with on_nothing(gpu):
        task = ReferenceModule(task_source)
        instantiate(CandidateModule(candidate).model_class, task, 0, "meta")(*task.get_inputs())
