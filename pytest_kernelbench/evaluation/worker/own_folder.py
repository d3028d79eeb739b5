"""A worker's own folder, the one place on disk that it can write to: its home, its temporary files and its caches."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

TRITON_CACHE, COMPILER_CACHE = "triton", "inductor"


def move_into(folder: Path) -> None:
    """Make ``folder`` the current one, and the one in which this process and its children keep all files."""
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    # Third-party caches have no other setting; they must not outlive the candidate that filled them.
    os.environ["TMPDIR"] = str(folder)
    # Libraries that compile, such as CuPy, keep builds in the home folder, and fail where it cannot be written.
    os.environ["HOME"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / TRITON_CACHE)
    os.environ["TORCH_EXTENSIONS_DIR"] = str(folder / "torch_extensions")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / COMPILER_CACHE)


def let_no_output_out() -> None:
    """Drop what this process and its children print, and give them nothing to read."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
