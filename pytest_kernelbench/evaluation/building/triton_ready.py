"""Does the work that the first launch of any Triton kernel waits for, once, before workers are forked.

Triton hashes its compiler (415 MB in 3.6), asks its assembler for a version, imports its stages, and has the C compiler
build its driver extension. Each worker would do all of this anew, since it keeps no cache, while its candidate holds
the GPU. No candidate was ever in the process that does it here, and no GPU is used.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from subprocess import SubprocessError

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaUtils
from triton.compiler import ASTSource

# Any that Triton knows: what is kept does not depend on it.
TARGET = GPUTarget("cuda", 80, 32)


@triton.jit
def _add_one(values, block: tl.constexpr):  # type: ignore[no-untyped-def]
    places = values + tl.arange(0, block)
    tl.store(places, tl.load(places) + 1)


def make_ready(folder: Path) -> None:
    """Compile a kernel and load Triton's own extension, with ``folder`` for its cache.

    Where a compiler is missing nothing is made ready: Triton will tell the candidate that needs it.
    """
    os.environ["TRITON_CACHE_DIR"] = str(folder)
    with suppress(RuntimeError, AssertionError, OSError, SubprocessError):
        signature = {"values": "*fp32", "block": "constexpr"}
        triton.compile(ASTSource(fn=_add_one, signature=signature, constexprs={"block": 128}), target=TARGET)
        CudaUtils()
