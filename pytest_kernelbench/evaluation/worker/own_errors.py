"""Decides whether a source that fails with stand-ins for torch's headers would fail with torch's own headers too.

A second attempt takes 20 s of g++ and 50 s of nvcc, and many sources that models write are wrong in themselves. An
error is the source's own where no header could mend it: a name that no header has, a wrong syntax in a source without
macros that a header might define, or a kernel that the assembler refuses.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence, Set
from pathlib import Path

from pytest_kernelbench.inline.complaints import error_lines

# An error in a file that torch makes of a candidate's sources, or in one that a request brings.
_IN_SOURCE = re.compile(r"^(?:main\.cpp|cuda\.cu|\d+\.\w+)[:(]")
_ASSEMBLER = re.compile(r"^ptxas\b")
_UNKNOWN = re.compile(
    r"error: (?:identifier|namespace \"[^\"]+\" has no member|name) \"(?P<nvcc>\w+)\""
    r"|error: [\u2018'`](?P<gcc>\w+)[\u2019'] (?:was not declared|has not been declared|does not name a type)"
    r"|error: [\u2018'`](?P<member>\w+)[\u2019'] is not a member of"
)
_TWICE = re.compile(r"error: (?:redefinition of |[\u2018'`].*redeclared|.* has already been defined)")
# The source has a binding of its own, beside the one that torch makes for functions asked for by name.
_BOUND_TWICE = re.compile(r"error: redefinition of [\u2018'`]?PyObject\s?\* PyInit_")
# A class has all its conversions in one header, so no other header can add one.
_NO_CONVERSION = re.compile(r"error: no suitable conversion function from ")
# Names that only nvcc knows, in a source for the host's compiler.
_DEVICE_ONLY = frozenset("threadIdx blockIdx blockDim gridDim".split())
_SYNTAX = re.compile(r"error: (?:expected |invalid use of [\u2018'`]this)")
_MACRO = re.compile(r"\b[A-Z][A-Z0-9_]{3,}(?=\s*\()")
_DEFINED = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)
# Macros that the stand-ins define.
_KNOWN_MACROS = frozenset("TORCH_CHECK PYBIND11_MODULE".split())


def are_own(log: str, source: str, folders: Sequence[Path], undeclared: Set[str] = frozenset()) -> bool:
    """Whether the errors in ``log`` are the source's own, so that no header could mend them.

    ``source``: all that the candidate wrote. ``folders``: they contain all headers of this machine. ``undeclared``:
    functions to be bound that no C++ source names; a header may have such a name, but not as a function of its own.
    """
    errors = error_lines(log)
    if not errors:
        return False
    if _ASSEMBLER.match(errors[0]):
        return True
    if not _IN_SOURCE.match(errors[0]):
        return False
    if _NO_CONVERSION.search(errors[0]) or any(_BOUND_TWICE.search(each) for each in errors):
        return True
    names = {name for line in errors for found in [_UNKNOWN.search(line)] if found for name in found.groups() if name}
    if names:
        if names & undeclared or (errors[0].startswith("main.cpp") and names & _DEVICE_ONLY):
            return True
        return any(not _is_in(name, folders) for name in sorted(names))
    if _TWICE.search(errors[0]):
        return True
    macros = set(_MACRO.findall(source)) - set(_DEFINED.findall(source)) - _KNOWN_MACROS
    return _SYNTAX.search(errors[0]) is not None and not macros


def _is_in(name: str, folders: Sequence[Path]) -> bool:
    # Up to the first match: in 180 MB of headers, a name that is nowhere takes 1 s, and any other much less.
    command = ["grep", "-rqwF", "--", name, *map(str, folders)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60).returncode != 1
