"""Triton kernels compiled before the trial that calls them, and away from the GPU.

A builder runs the candidate once (``exploring``): Triton compiles the kernels and launches none. They are given to the
candidate's workers, each of which would otherwise compile them while it holds the GPU. Kernels that are not found ahead
are compiled in the trial.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import torch

from pytest_kernelbench.records import sha256_of

# After so many seconds no further kernel is compiled: an autotuner may have hundreds of variants.
SECONDS = 20.0


def uses_triton(candidate_source: str) -> bool:
    """Whether a candidate may hold Triton kernels, where there is Triton to compile them."""
    return "triton" in candidate_source and importlib.util.find_spec("triton") is not None


def kernels_archive(candidate_source: str, task_source: str, architecture: str) -> str:
    """Name in the cache of the kernels compiled for one candidate and the shapes of one task."""
    key = "\0".join((torch.__version__, architecture, task_source, candidate_source))
    return f"kernels-{sha256_of(key)[:32]}.zip"


def compiled_archive(candidate_source: str, task_source: str, architecture: str) -> str:
    """Name in the cache of the code that torch's compiler built for a baseline of one task."""
    return kernels_archive(candidate_source, task_source, architecture).replace("kernels-", "compiled-")


def compile_launched(architecture: str, call: Callable[[], object]) -> None:
    """Compile the kernels that ``call`` launches, for a GPU of ``architecture`` (``9.0``), into Triton's own cache.

    Afterwards this process cannot launch kernels. Raises the exceptions of ``call``.
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
            # An autotuner may have variants that do not compile.
            with contextlib.suppress(triton.CompilationError, triton.OutOfResources):
                tuner.fn.run(*arguments, **{**named, **config.all_kwargs()})

    triton.runtime.JITFunction.run = compile_one
    Autotuner.run = compile_choices
    call()


class _NoDriver:
    """The functions of a driver that Triton calls before it compiles."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def get_current_target(self) -> Any:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def _make_launcher(compiled: Any) -> None:
    """Compile the C code through which Python calls a kernel of this signature."""
    from triton.backends.nvidia.driver import CudaLauncher

    # Ignored: if there is no compiler or no libcuda to link with, the trial fails for it.
    with contextlib.suppress(AssertionError, ImportError, RuntimeError, OSError, SubprocessError):
        CudaLauncher(compiled.src, compiled.metadata)


def use_compiled(archive: Path, folder: Path) -> None:
    """Unpack the code that torch's compiler built for a baseline into ``folder``, where the compiler looks.

    By default the compiler precompiles a header (150 MB, 5 s of a core) in the worker's own temporary folder, before it
    looks whether the library that needs it is there. Here it uses headers as they are: code that the archive does not
    have is compiled a little more slowly, to the same libraries.
    """
    from torch._inductor import codecache

    unpack(archive, folder)
    codecache._precompile_header = lambda header, *_, **__: header


def pack(folder: Path, archive: Path) -> None:
    """Put all files in ``folder``, a compiler's cache, into one archive."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into ``folder``, where this process's compiler looks. A damaged archive is ignored."""
    # The candidate may have packed it, and it can be anything.
    with contextlib.suppress(OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        for path in folder.glob("*/__grp__*.json"):
            # Triton keeps absolute paths, which are those of the process that compiled.
            kept = json.loads(path.read_text())["child_paths"]
            here = {name: str(path.parent / Path(where).name) for name, where in kept.items()}
            path.write_text(json.dumps({"child_paths": here}))
