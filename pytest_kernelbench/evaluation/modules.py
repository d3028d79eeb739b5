"""Task and candidate source as live objects, each in a namespace of its own."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def compute_in_float32() -> None:
    """What is declared float32 is computed in it: torch lets cuDNN's convolutions use TF32 unless it is told otherwise.

    With it, a reference is off by 5e-4 where outputs are about 1, and so may whoever is compared with it.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


class ReferenceModule:
    """A task's ``Model``, ``get_inputs`` and ``get_init_inputs``; nothing a candidate defines can reach them."""

    def __init__(self, source: str) -> None:
        module = types.ModuleType("reference")
        linecache.cache["<reference>"] = (len(source), None, source.splitlines(True), "<reference>")
        exec(compile(source, "<reference>", "exec"), module.__dict__)
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


def instantiate(
    model_class: Callable[..., torch.nn.Module], task: ReferenceModule, seed: int, device: str
) -> torch.nn.Module:
    """The model on ``device``; the same seed gives the same weights wherever it is made.

    ``get_init_inputs`` returns positional arguments, or (as some of KernelBench's tasks do) a dict of named ones.
    """
    torch.manual_seed(seed)
    arguments = task.get_init_inputs()
    torch.manual_seed(seed)
    model = model_class(**arguments) if isinstance(arguments, dict) else model_class(*arguments)
    return model.to(device)
