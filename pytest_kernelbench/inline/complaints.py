"""Compilers' messages about a source that does not build: the errors first. Standard library only.

g++ and clang say ``main.cpp:12:5: error: ...``, nvcc ``cuda.cu(12): error: ...``, ptxas ``... line 40; error : ...``,
linkers ``undefined reference to ...``. Around these are commands of thousands of characters, notes and warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Of a log that is kept: room for the errors, and for the rest.
MAX_LOG = 4000
MAX_ERROR = 400

# Messages of a compiler that the machine stopped: the next try may end differently.
SAID_OF_THE_MACHINE = (
    "Killed",
    "Cannot allocate memory",
    "out of memory",
    "memory exhausted",
    "No space left",
    "internal compiler error",
)

_ERROR = re.compile(
    r"\b(?:fatal error|error)\s*:|\bfatal\s*:|\bundefined reference to\b|: cannot find -l|^catastrophic error|#error\b"
)
# ninja's and torch's lines around a failed command, and counts of errors that are listed already.
_NO_ERROR = re.compile(r"^(?:ninja: |FAILED: |\d+ errors? detected|compilation terminated|.*\bwarning\s*[:#])")
# Before the name of the file that a line is about: folders are temporary.
_FOLDERS = re.compile(r"^/\S*/(?=[^/\s:(]+[:(])")


def error_lines(log: str) -> list[str]:
    """The lines that are errors, in the order of the log, each once and with its file's name instead of its path."""
    return list(dict.fromkeys(_errors(log)))


def first_error(log: str) -> str | None:
    """The first error with its file and line, on one line; None where no line is known to be one."""
    return next((line[:MAX_ERROR] for line in _errors(log)), None)


def errors_first(log: str, limit: int = MAX_LOG) -> str:
    """``log`` in at most ``limit`` characters: as many errors as fit, and then the other lines."""
    errors = "\n".join(line[:MAX_ERROR] for line in error_lines(log))[:limit]
    room = limit - len(errors) - 2
    rest = [line for line in log.strip().splitlines() if line.strip() and not _is_error(line)]
    # The end of the log is kept: its beginning is commands.
    kept = "\n".join(line[:MAX_ERROR] for line in rest)[-room:] if room > 0 else ""
    return f"{errors}\n\n{kept}".strip()


def _errors(log: str) -> Iterator[str]:
    for line in log.splitlines():
        if _is_error(line):
            yield _FOLDERS.sub("", line.strip())


def _is_error(line: str) -> bool:
    return _ERROR.search(line) is not None and _NO_ERROR.match(line.strip()) is None
