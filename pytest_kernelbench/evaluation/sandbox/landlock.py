"""Landlock, where the kernel has it: restricts what an unprivileged process may signal, trace and list."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
WITH_SCOPES = 6
_SCOPES = 0b11  # abstract sockets and signals
_READ_DIR, _REFER, _PATH_BENEATH, WITH_REFER = 1 << 3, 1 << 13, 1, 2


def version() -> int:
    """Version of the kernel's Landlock; negative if it has none."""
    return int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, 1))


def restrict(listable: Sequence[Path], private: Path | None) -> None:
    """Restrict this process for good: it can signal and trace its own processes only, and list ``listable`` only.

    If ``listable`` is empty, listing is not restricted. Files of the folder ``private`` can be moved to other folders.
    One ruleset for all: each ruleset forbids such moves unless it allows them.
    """
    libc, abi = ctypes.CDLL(None, use_errno=True), version()
    scopes = _SCOPES if abi >= WITH_SCOPES else 0
    files = _READ_DIR | _REFER if listable and abi >= WITH_REFER else 0
    if not (scopes or files):
        return
    handled = (ctypes.c_uint64 * 3)(files, 0, scopes)
    # An older kernel takes a shorter structure.
    size = ctypes.sizeof(handled) if scopes else ctypes.sizeof(ctypes.c_uint64)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), size, 0)
    for path in filter(Path.is_dir, listable if files else ()):
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = _READ_DIR | (_REFER if path == private else 0)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, folder), 0)
        os.close(folder)
    if ruleset >= 0:
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
