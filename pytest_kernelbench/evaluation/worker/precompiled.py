"""A precompiled header for the host part of an extension: torch's and pybind11's headers, parsed once on a host.

Of the 6 CPU seconds that g++ takes for a binding of one function, half go into reading headers. A precompiled header
fits one compiler with its flags, one torch and one Python, and these are in its name. It is made by a process in which
no candidate ever was, from headers and nothing else, and candidates and builders can only read it.

GCC decides whether a precompiled header fits. If not, it reads an empty header of the same name, and the build goes on
as without one. GCC uses a precompiled header only before all other text, so it is named on the command line.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.evaluation.worker import slim, stand_ins
from pytest_kernelbench.evaluation.worker.extensions import compilers

HEADER = "kernelbench_binding.h"
# The flags of the host part for which a header is made: most candidates give none, and each header takes 200 MB.
FLAGS: tuple[tuple[str, ...], ...] = ((), ("-O2",), ("-O3",))
# The message of g++ if it opens a precompiled header and then cannot use it.
UNUSABLE = re.compile(r"error: .*(?:\bPCH\b|\.gch\b|precompiled header)|internal compiler error", re.IGNORECASE)
_METHOD = re.compile(r"(?:\.|->)\s*(?:template\s+)?(\w+)")


def flags_of(request: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The host part's own flags; None where no header is made for such a request."""
    arguments = request["arguments"]
    flags = tuple(arguments.get("extra_cflags") or ())
    reads_it_first = request["function"] == "load_inline" and not arguments.get("no_implicit_headers")
    return flags if reads_it_first and flags in FLAGS else None


def name_of(flags: Sequence[str]) -> str:
    """The file of the build cache that holds the header for these flags."""
    made_by = [Path(module.__file__ or "").read_text() for module in (stand_ins, slim)]
    headers = str(stand_ins.torch_headers())
    keyed = json.dumps([list(flags), torch.__version__, headers, sys.version, compilers(), made_by])
    return f"header-{hashlib.sha256(keyed.encode()).hexdigest()[:32]}.gch"


def offered(header: Path, folder: Path, cpp_source: str) -> Path | None:
    """An empty header in ``folder``, in whose place g++ uses the precompiled ``header``; to be included first.

    None where ``cpp_source`` may need more than ``header`` contains: its tensor class lacks the operators, as methods,
    that the stand-ins leave out.
    """
    if {*_METHOD.findall(cpp_source)} & slim.left_out(stand_ins.torch_headers()):
        return None
    empty = folder / HEADER
    empty.touch()
    empty.with_name(f"{HEADER}.gch").symlink_to(header)
    return empty
