"""Sessions of pytest that start warm: each is forked from a process that has imported what every one of them imports.

A session that judges by text takes 1.1 s of a core, of which imports take 0.7 s. A forked session is a process of its
own, with its own folder, environment, output and end; only what imports would do is done. Whatever depends on a start
from nothing (signals, workers, a process that is killed) is started by ``Project.start``, as are the sessions' workers.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
# A session that takes longer is ended by a signal.
LIMIT_S = 300
# Output and errors may be one file: each write goes to its end.
WRITES = os.O_WRONLY | os.O_CREAT | os.O_APPEND
# None of these imports torch or matplotlib, and none changes anything by being imported.
IMPORTED = (
    *("jinja2", "scipy.special", "xdist.dsession", "xdist.plugin", "pytest_kernelbench.plugin.benchmarking"),
    *("pytest_kernelbench.evaluation", "pytest_kernelbench.pipeline", "pytest_kernelbench.plugin.collection"),
    *("pytest_kernelbench.plugin.hooks", "pytest_kernelbench.plugin.session", "pytest_kernelbench.report.analyses"),
    *("pytest_kernelbench.report.metrics", "pytest_kernelbench.report.render", "pytest_kernelbench.workbench"),
)


class Ended(NamedTuple):
    """The exit status of a session, negative for a signal, and what it wrote to its output and to its errors."""

    returncode: int
    output: str
    errors: str


class WarmProcess:
    """The process that sessions are forked from. It has one thread, and ends with the process that made it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import warm_sessions; warm_sessions.serve()"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(self, arguments: Sequence[str], folder: Path, environment: dict[str, str], *, together: bool) -> Ended:
        """``python -m pytest`` with these arguments in ``folder``; ``together``: its errors are in its output."""
        with tempfile.TemporaryDirectory() as written:
            output, errors = Path(written) / "output.txt", Path(written) / ("output.txt" if together else "errors.txt")
            asked = {"arguments": list(arguments), "folder": str(folder), "environment": environment}
            self._process.stdin.write(json.dumps({**asked, "output": str(output), "errors": str(errors)}) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            said = errors.read_text(errors="replace")
            return Ended(status, output.read_text(errors="replace"), "" if together else said)

    def close(self) -> None:
        self._process.communicate()


@cache
def warm_process() -> WarmProcess:
    """The one of this process, started when it is first needed."""
    return WarmProcess()


def serve() -> None:
    """Fork a session for each line of the input, and write its exit status when it has ended."""
    from _pytest.config import default_plugins

    for name in (*(f"_pytest.{each}" for each in default_plugins), *IMPORTED):
        import_module(name)
    for line in iter(sys.stdin.readline, ""):
        session = os.fork()
        if not session:
            _become_session(**json.loads(line))
        _, status = os.waitpid(session, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become_session(arguments: list[str], folder: str, environment: dict[str, str], output: str, errors: str) -> None:
    import pytest
    from _pytest.assertion.rewrite import AssertionRewritingHook

    signal.alarm(LIMIT_S)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, WRITES), (2, errors, WRITES)):
        opened = os.open(path, flags)
        os.dup2(opened, stream)
        os.close(opened)
    # As ``python -m pytest`` has them.
    more = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each and each not in sys.path]
    sys.path[:1] = [folder, *more]
    sys.argv = [str(Path(pytest.__file__).with_name("__main__.py")), *arguments]
    # That a plugin was there before the session, and its assertions are not rewritten, is no news here.
    AssertionRewritingHook._warn_already_imported = lambda self, name: None
    sys.exit(pytest.main())
