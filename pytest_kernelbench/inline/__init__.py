"""For candidates: compile a C or CUDA kernel from a string and call it on tensors.

    kernel = compile_c("void kernel(const float *x, float *y, long n) { ... }")
    kernel(x, y, x.numel())

The source defines ``kernel`` (in CUDA C++: an ``extern "C"`` host function that launches, with the stream as
its last argument). Tensors arrive as data pointers, Python ints as ``long``, floats as ``double``.

``cc`` and ctypes take 0.3 s for a kernel for which ``torch.utils.cpp_extension.load_inline`` takes 40 s, because
no torch header is compiled; ``load_inline`` works too.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_kernelbench.inline.complaints import SAID_OF_THE_MACHINE, errors_first

# -ffast-math is not among them: at link time it makes the whole process flush denormals to zero.
C_FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-lm")
CUDA_FLAGS = ("-O3", "-shared", "-Xcompiler", "-fPIC")
BUILD_TIMEOUT_S = 60
# cc and nvcc need under 2 GB for candidates' sources; ``#include "/dev/zero"`` would take all memory.
BUILD_MEMORY_KB = 4 << 20


class NoCompiler(RuntimeError):
    """This machine lacks the compiler: no fault of the kernel."""


_cache_folders: list[Path] = []
_architectures: list[str] = []


def use_cache(folder: Path) -> None:
    """Look for finished builds in ``folder`` before compiling; builds that are not there are made privately."""
    _cache_folders[:] = [folder]


def use_architecture(architecture: str) -> None:
    """Compile CUDA for a GPU of this ``architecture`` (``9.0``), without asking for the GPU that there is."""
    _architectures[:] = [architecture]


def compile_c(source: str) -> Callable[..., None]:
    """Compile C for this CPU; the returned callable runs ``kernel``. Raises RuntimeError with the compiler's words."""
    library = ctypes.CDLL(str(build(source, "c")))
    return _caller(library.kernel, stream=False)


def compile_cuda(source: str) -> Callable[..., None]:
    """Compile CUDA C++ for the current GPU; the callable passes the current stream as the last argument."""
    library = ctypes.CDLL(str(build(source, "cuda")))
    return _caller(library.kernel, stream=True)


def build(source: str, language: str, folder: Path | None = None) -> Path:
    """The shared library for ``source``: found in the cache, or compiled into ``folder`` (default: a private one).

    Raises RuntimeError with the compiler's messages, which are kept beside the libraries, so that it fails at once
    again.
    """
    name = artifact_name(source, language)
    for cache in [*_cache_folders, *([] if folder is None else [folder])]:
        if (cache / name).exists():
            return cache / name
        if (cache / name).with_suffix(".txt").exists():
            raise RuntimeError((cache / name).with_suffix(".txt").read_text())
    folder = folder or Path(tempfile.mkdtemp(prefix="kernel-"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as scratch:
        source_file = Path(scratch, "kernel.c" if language == "c" else "kernel.cu")
        source_file.write_text(source)
        library = Path(scratch, name)
        command = _command(language, source_file, library)
        returncode, complaint = _run(command)
        if returncode != 0:
            said = f"{Path(command[0]).name} failed:\n{errors_first(complaint)}"
            if not any(each in complaint for each in SAID_OF_THE_MACHINE):
                kept = library.with_suffix(".txt")
                kept.write_text(said)
                os.replace(kept, folder / kept.name)
            raise RuntimeError(said)
        # Rename is atomic: two builds of one source may race, and both leave the same file.
        os.replace(library, folder / name)
    return folder / name


def _run(command: list[str]) -> tuple[int, str]:
    """Exit status and standard error. Raises subprocess.TimeoutExpired."""
    # In a session of its own: the driver (cc, nvcc) dies of a signal alone, and the compiler proper goes on without it.
    limited = ["/bin/sh", "-c", f'ulimit -v {BUILD_MEMORY_KB} && exec "$@"', "sh", *command]
    with subprocess.Popen(
        limited,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, complaint = process.communicate(timeout=BUILD_TIMEOUT_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, complaint


def artifact_name(source: str, language: str) -> str:
    """File name under which a build is cached: everything that changes the machine code is in it."""
    key = "\0".join((language, *(_command(language, Path("kernel"), Path("out"))), _target(language), source))
    return hashlib.sha256(key.encode()).hexdigest()[:32] + ".so"


def _command(language: str, source_file: Path, library: Path) -> list[str]:
    if language == "c":
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise NoCompiler("compile_c: no C compiler on PATH (cc, gcc, clang); install one")
        return [compiler, str(source_file), "-o", str(library), *C_FLAGS]
    compiler = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if compiler is None:
        raise NoCompiler("compile_cuda: no nvcc on PATH or in /usr/local/cuda/bin; install the CUDA toolkit")
    return [compiler, str(source_file), "-o", str(library), f"-arch={_target('cuda')}", *CUDA_FLAGS]


def _target(language: str) -> str:
    if language == "c":
        return _cpu_model()
    if _architectures:
        return f"sm_{_architectures[0].replace('.', '')}"
    import torch

    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def _cpu_model() -> str:
    # -march=native makes a build of one CPU model wrong for another that shares the cache over a network home.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _caller(function: Any, *, stream: bool) -> Callable[..., None]:
    function.restype = None

    def call(*arguments: Any) -> None:
        converted = [_convert(argument) for argument in arguments]
        if stream:
            import torch

            converted.append(ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
        function(*converted)

    return call


def _convert(argument: Any) -> Any:
    if isinstance(argument, bool | int):
        return ctypes.c_long(int(argument))
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_void_p(argument.data_ptr())
