"""Triton kernels compiled before the trial that calls them, and away from the GPU.

A candidate is called once in a builder, on inputs of the task's shapes that hold nothing (torch's ``meta`` device).
Triton compiles what it would launch, and launches nothing. What it compiled goes to that candidate's workers, all of
which would compile it anew while they hold the GPU. Where such a call cannot go on (the candidate reads a value, or
asks the GPU something), it ends: what is not compiled ahead is compiled in the trial.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from pytest_kernelbench.evaluation.modules import CandidateModule, ReferenceModule, instantiate
from pytest_kernelbench.records import sha256_of

# After so long no other kernel is begun: an autotuner may have hundreds of them.
SECONDS = 20.0


def uses_triton(candidate_source: str) -> bool:
    """Whether a candidate may hold Triton kernels, where there is Triton to compile them."""
    return "triton" in candidate_source and importlib.util.find_spec("triton") is not None


def kernels_archive(candidate_source: str, task_source: str, architecture: str) -> str:
    """Name, in the cache, of what was compiled for one candidate and the shapes of one task."""
    key = "\0".join((torch.__version__, architecture, task_source, candidate_source))
    return f"kernels-{sha256_of(key)[:32]}.zip"


class OnNothing(TorchFunctionMode):
    """What is asked for on a GPU is made on ``meta``."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.Tensor.cuda:
            return arguments[0]
        arguments = [torch.device("meta") if _is_gpu(each) else each for each in arguments]
        named = {name: "meta" if name == "device" else each for name, each in (named or {}).items()}
        return function(*arguments, **named)


def _is_gpu(argument: object) -> bool:
    return isinstance(argument, (str, torch.device)) and str(argument).partition(":")[0] == "cuda"


@contextlib.contextmanager
def on_nothing() -> Iterator[None]:
    """Every tensor that is made in here has a shape and no memory, and says that it is on a GPU."""
    # Torch's own is an attribute of a class below this one, and is seen again when this is gone. The device stays
    # what it is: torch itself asks for it.
    torch.Tensor.is_cuda = True  # type: ignore[misc]
    try:
        with torch.no_grad(), torch.device("meta"), OnNothing():
            yield
    finally:
        del torch.Tensor.is_cuda  # type: ignore[misc]


def call_on_nothing(task_source: str, candidate: Path) -> None:
    """One call of the candidate in this file, on inputs of the task's shapes. Raises what the candidate raises."""
    with on_nothing():
        task = ReferenceModule(task_source)
        instantiate(CandidateModule(candidate).model_class, task, 0, "meta")(*task.get_inputs())


def compile_launched(architecture: str, call: Callable[[], object]) -> None:
    """Compile what ``call`` launches for a GPU of this ``architecture`` (``9.0``), into Triton's own cache.

    From then on, this process can launch nothing. Raises what ``call`` raises.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.autotuner import Autotuner

    major, minor = architecture.split(".")
    triton.runtime.driver.set_active(_NoDriver(GPUTarget("cuda", 10 * int(major) + int(minor), 32)))
    compile_or_launch = triton.runtime.JITFunction.run
    until = time.monotonic() + SECONDS

    def compile_one(kernel: Any, *arguments: Any, grid: Any, warmup: bool = False, **named: Any) -> Any:
        if time.monotonic() > until:
            raise TimeoutError
        compiled = compile_or_launch(kernel, *arguments, grid=grid, warmup=True, **named)
        _make_launcher(compiled)
        return compiled

    def compile_choices(tuner: Any, *arguments: Any, **named: Any) -> None:
        tuner.nargs = dict(zip(tuner.arg_names, arguments, strict=False))
        for config in tuner.prune_configs(named):
            # Some are there to be found not to work.
            with contextlib.suppress(triton.CompilationError, triton.OutOfResources):
                tuner.fn.run(*arguments, **{**named, **config.all_kwargs()})

    triton.runtime.JITFunction.run = compile_one
    Autotuner.run = compile_choices
    call()


class _NoDriver:
    """What Triton asks its driver before it compiles."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def get_current_target(self) -> Any:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def _make_launcher(compiled: Any) -> None:
    """The C through which Python calls a kernel of this signature is compiled as well, by another compiler."""
    from triton.backends.nvidia.driver import CudaLauncher

    # Without a compiler or a libcuda to link with, the trial will say so.
    with contextlib.suppress(AssertionError, ImportError, RuntimeError, OSError, SubprocessError):
        CudaLauncher(compiled.src, compiled.metadata)


def pack(folder: Path, archive: Path) -> None:
    """Put all that Triton has left in ``folder`` into one file."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder))


def unpack(archive: Path, folder: Path) -> None:
    """Put what was packed elsewhere into the ``folder`` where this process's Triton looks; nothing if it is damaged."""
    # The candidate may have packed it, and it can be anything.
    with contextlib.suppress(OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        for path in folder.glob("*/__grp__*.json"):
            # Triton keeps whole paths, and they are of the process that compiled.
            kept = json.loads(path.read_text())["child_paths"]
            here = {name: str(path.parent / Path(where).name) for name, where in kept.items()}
            path.write_text(json.dumps({"child_paths": here}))
