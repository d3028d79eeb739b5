"""Small headers under the names of torch's own, made for one source, because a build spends its time on headers.

Of the 52 s that ``load_inline`` takes for a one-line CUDA kernel, 51 s go into headers. The stand-ins declare the
tensor, the operators that the source names, and the binding. A source that needs more is compiled with torch's own
headers.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from pytest_kernelbench.evaluation.worker.slim import slim_headers

# The headers that such sources include, each of which includes all of ATen.
REPLACED = ("torch/extension.h", "torch/torch.h", "torch/all.h", "torch/types.h", "ATen/ATen.h")
INCLUDED_FOR_WORD = {"AT_DISPATCH": "ATen/Dispatch.h", "CUDAGuard": "c10/cuda/CUDAGuard.h"}
# torch's own do not include CUDA's streams either, but ATen/cuda/CUDAContext.h does.
ON_CUDA = ("c10/cuda/CUDAStream.h", "c10/cuda/CUDAException.h")
NEEDS_THEM = re.compile(r"Stream|Guard|::cuda|C10_|ATen/cuda/")
BINDING = re.compile(r"\bPYBIND11_|\bpybind11\b|\bpy::")
REPLACED_FOR_CUDA = ("ATen/cuda/CUDAContext.h",)

NAME = "kernelbench_stand_in.h"
STAND_IN = """\
#pragma once
#define AT_PER_OPERATOR_HEADERS
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/core/ScalarType.h>
#include <ATen/TensorOperators.h>
#include <vector>
{includes}
#ifndef KERNELBENCH_NAMES
#define KERNELBENCH_NAMES
namespace torch {{
using namespace at;
constexpr auto kUInt8 = at::kByte, kInt8 = at::kChar, kInt16 = at::kShort, kInt32 = at::kInt, kInt64 = at::kLong;
constexpr auto kFloat16 = at::kHalf, kFloat32 = at::kFloat, kFloat64 = at::kDouble;
}}
#endif
#if !defined(__CUDACC__) || {binds_in_cuda:d}
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>
#endif
"""


def torch_headers() -> Path:
    """The folder of this torch's headers."""
    return Path(torch.__file__).parent / "include"


def write_stand_ins(source: str, folder: Path, headers: Path, *, cuda_source: str = "") -> Path:
    """Write headers under torch's own names for one source into ``folder``, which is to be searched before torch's.

    ``cuda_source``: the part of ``source`` that nvcc compiles; if it contains a binding, nvcc needs pybind11's headers.
    """
    # Operators of tensors (a + b) need empty_like.
    named = sorted({"empty_like", *re.findall(r"\b(?:at|torch)::(\w+)\s*\(", source)})
    includes = [header for word, header in INCLUDED_FOR_WORD.items() if word in source]
    on_cuda = (headers / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h").exists() and "cuda" in source.lower()
    if on_cuda and NEEDS_THEM.search(source):
        includes += ON_CUDA
    (folder / "ATen" / "ops").mkdir(parents=True)
    for name in named:
        header = f"ATen/ops/{name}.h"
        light = light_operator(headers / header)
        if light is not None:
            includes.append(header)
            (folder / header).write_text(light)
    text = STAND_IN.format(
        includes="\n".join(f"#include <{path}>" for path in includes),
        binds_in_cuda=BINDING.search(cuda_source) is not None,
    )
    replaced = (*REPLACED, *(REPLACED_FOR_CUDA if on_cuda else ()))
    texts = dict.fromkeys(replaced, f"#pragma once\n#include <{NAME}>\n")
    for name, content in {**texts, **slim_headers(source, headers), NAME: text}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def light_operator(header: Path) -> str | None:
    """torch's header of one operator without needless includes (7 s of nvcc); None if it has an unknown form."""
    try:
        text = header.read_text()
    except OSError:
        return None
    includes = re.findall(r"#include <ATen/ops/\w+_ops\.h>", text)
    body = re.search(r"^namespace at \{$.*^\}$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(["#pragma once", *includes, body.group(), ""]) if includes and body else None
