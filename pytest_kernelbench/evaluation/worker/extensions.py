"""KernelBench's way to CUDA, ``torch.utils.cpp_extension.load_inline``, without waiting for torch's headers.

Of the 52 s that ``load_inline`` takes for a one-line CUDA kernel, 51 go into headers. Here torch's own
``load_inline`` finds small stand-ins for them first: the tensor, the operators that the source names, and the binding.
What does not compile with those is compiled with the full headers, so that the verdict is the same.

A build made ahead by another process is found by its key and loaded.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pytest_kernelbench.records import sha256_of

# Every header that sources of this kind include, and that drags in all of ATen.
REPLACED = ("torch/extension.h", "torch/torch.h", "torch/all.h", "torch/types.h", "ATen/ATen.h")
INCLUDED_FOR_WORD = {"AT_DISPATCH": "ATen/Dispatch.h", "CUDAGuard": "c10/cuda/CUDAGuard.h"}
REPLACED_FOR_CUDA = ("ATen/cuda/CUDAContext.h",)
# What changes the machine code of one candidate's builds; torch and the GPU are in the folder's name.
KEYED = (
    "name cpp_sources cuda_sources functions extra_cflags extra_cuda_cflags extra_ldflags extra_include_paths "
    "with_cuda with_pytorch_error_handling"
).split()

STAND_IN = """\
#pragma once
#define AT_PER_OPERATOR_HEADERS
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/core/ScalarType.h>
#include <ATen/TensorOperators.h>
#include <vector>
{includes}
namespace torch {{
using namespace at;
constexpr auto kUInt8 = at::kByte, kInt8 = at::kChar, kInt16 = at::kShort, kInt32 = at::kInt, kInt64 = at::kLong;
constexpr auto kFloat16 = at::kHalf, kFloat32 = at::kFloat, kFloat64 = at::kDouble;
}}
#ifndef __CUDACC__
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>
#endif
"""


class Extensions:
    """``load_inline`` in the candidate's process; ``ready`` holds builds made ahead, ``folder`` what is built here."""

    def __init__(self, ready: Path | None, folder: Path) -> None:
        self._ready = ready
        self._folder = folder
        self._real: Callable[..., Any] | None = None
        self.built: dict[str, Path] = {}
        self.complaint: str | None = None

    def install(self) -> None:
        """Take ``load_inline``'s place, where torch's extension builder can be imported at all."""
        from torch.utils import cpp_extension

        now = cpp_extension.load_inline
        installed = getattr(now, "__self__", None)
        self._real = installed._real if isinstance(installed, Extensions) else now
        cpp_extension.load_inline = self.load_inline

    def load_inline(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's; raises what torch's raises with the full headers."""
        assert self._real is not None
        bound = inspect.signature(self._real).bind(*args, **kwargs)
        arguments = dict(bound.arguments)
        if not self._is_plain(arguments):
            return self._real(*args, **kwargs)
        key = key_of(arguments)
        for path in self._ready.glob(f"{key}-*.so") if self._ready is not None else ():
            return _imported(path.stem.partition("-")[2], path)
        folder = Path(tempfile.mkdtemp(prefix="extension-", dir=self._folder))
        stand_ins = write_stand_ins(_text(arguments), folder / "include", torch_headers())
        quick = {**arguments, "extra_include_paths": [str(stand_ins), *(arguments.get("extra_include_paths") or [])]}
        try:
            module = self._build(quick, folder / "quick")
        except Exception:
            try:
                module = self._build(arguments, folder / "full")
            except Exception as error:
                self.complaint = str(error)
                raise
        path = Path(module.__file__)
        # torch may have appended to the name, and the library can be imported under that name only.
        self.built[f"{key}-{path.stem}.so"] = path
        return module

    def _build(self, arguments: dict[str, Any], folder: Path) -> Any:
        assert self._real is not None
        folder.mkdir()
        return self._real(**{**arguments, "build_directory": str(folder)})

    @staticmethod
    def _is_plain(arguments: dict[str, Any]) -> bool:
        """Whether it is a Python module from sources alone, with headers implied: what stand-ins can serve."""
        return (
            arguments.get("is_python_module", True)
            and not arguments.get("no_implicit_headers")
            and not arguments.get("use_pch")
            and arguments.get("build_directory") is None
            and isinstance(arguments.get("name"), str)
        )


def uses_extensions(candidate_source: str) -> bool:
    """Whether a candidate may call ``load_inline``."""
    return "load_inline" in candidate_source


def extensions_folder(candidate_source: str, architecture: str) -> str:
    """Name, in the cache, of the folder for what one candidate builds."""
    key = "\0".join((torch.__version__, architecture, candidate_source))
    return f"extensions-{sha256_of(key)[:32]}"


def key_of(arguments: dict[str, Any]) -> str:
    """What the build of one call is known by."""
    keyed = {name: arguments.get(name) for name in KEYED}
    return sha256_of(json.dumps(keyed, sort_keys=True, default=str))[:32]


def torch_headers() -> Path:
    """Where this torch keeps its headers."""
    return Path(torch.__file__).parent / "include"


def write_stand_ins(source: str, folder: Path, headers: Path) -> Path:
    """A folder of headers under torch's own names, made for one source; to be searched before torch's."""
    # Operators of tensors (a + b) need empty_like.
    named = sorted({"empty_like", *re.findall(r"\b(?:at|torch)::(\w+)\s*\(", source)})
    includes = [header for word, header in INCLUDED_FOR_WORD.items() if word in source]
    on_cuda = (headers / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h").exists() and "cuda" in source.lower()
    if on_cuda:
        includes += ["c10/cuda/CUDAStream.h", "c10/cuda/CUDAException.h"]
    (folder / "ATen" / "ops").mkdir(parents=True)
    for name in named:
        header = f"ATen/ops/{name}.h"
        light = light_operator(headers / header)
        if light is not None:
            includes.append(header)
            (folder / header).write_text(light)
    text = STAND_IN.format(includes="\n".join(f"#include <{path}>" for path in includes))
    for name in (*REPLACED, *(REPLACED_FOR_CUDA if on_cuda else ())):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#pragma once\n#include <kernelbench_stand_in.h>\n")
    (folder / "kernelbench_stand_in.h").write_text(text)
    return folder


def light_operator(header: Path) -> str | None:
    """torch's header of one operator without what it does not need (7 s of nvcc); None if it has another form."""
    try:
        text = header.read_text()
    except OSError:
        return None
    includes = re.findall(r"#include <ATen/ops/\w+_ops\.h>", text)
    body = re.search(r"^namespace at \{$.*^\}$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(["#pragma once", *includes, body.group(), ""]) if includes and body else None


def _text(arguments: dict[str, Any]) -> str:
    parts = [arguments.get("cpp_sources"), arguments.get("cuda_sources")]
    return "\n".join(each for part in parts for each in ([part] if isinstance(part, str) else part or []))


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
