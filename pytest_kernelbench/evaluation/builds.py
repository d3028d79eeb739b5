"""Compile what a candidate will ask for, before its trial and away from the device.

The sources handed to ``compile_c`` and ``compile_cuda`` as literals are found by parsing, compiled side by
side by trusted processes, and kept in a cache keyed by content and target. What a candidate builds with
``load_inline`` is found by importing it in a sandboxed process that sees no GPU, what it compiles with Triton by
calling it there, and both are kept for that candidate alone: it could have put anything there. A candidate sees the
cache read-only, so nobody can leave a poisoned build for the next one.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_kernelbench import inline
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import answers, devices, messages
from pytest_kernelbench.evaluation.worker.extensions import extensions_folder, uses_extensions
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive, uses_triton
from pytest_kernelbench.evaluation.workers import WorkerProcess

EXTENSION_TIMEOUT_S = 180.0
KERNELS_TIMEOUT_S = 40.0
NAME = re.compile(r"[0-9a-f]{32}-\w{1,200}\.so")

_LANGUAGE_OF_CALL = {"compile_c": "c", "compile_cuda": "cuda"}


def literal_sources(module_source: str) -> list[tuple[str, str]]:
    """``(language, source)`` of every compile call whose argument is a literal or a module-level name for one."""
    try:
        tree = ast.parse(module_source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # MemoryError is what the parser says to 10,000 nested signs.
        return []
    named = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and len(node.args) == 1):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        argument = node.args[0]
        source = argument.value if isinstance(argument, ast.Constant) else named.get(getattr(argument, "id", None))
        if name in _LANGUAGE_OF_CALL and isinstance(source, str):
            found.append((_LANGUAGE_OF_CALL[name], source))
    return found


class BuildAhead:
    """Builds of many candidates, side by side, ahead of the trials that need them."""

    def __init__(
        self,
        cache: Path,
        jobs: int,
        *,
        device: str = "cpu",
        task_source: str = "",
        fork_builder: Callable[[], WorkerProcess] | None = None,
    ) -> None:
        self._cache = cache
        self._task_source = task_source
        self._device = device
        self._fork_builder = fork_builder
        self._pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="build")

    def __enter__(self) -> BuildAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, sources: Iterable[str]) -> list[Future[str | None]]:
        """One future for each source: the compiler's complaint, or None; HarnessError where there is no compiler."""
        # Parsed here: Python 3.11 counts one recursion for all threads that parse, and raises SystemError.
        return [self._pool.submit(self._build, source, literal_sources(source)) for source in sources]

    def _build(self, module_source: str, literals: list[tuple[str, str]]) -> str | None:
        for language, source in literals:
            try:
                if not (self._cache / inline.artifact_name(source, language)).exists():
                    inline.build(source, language, self._cache)
            except inline.NoCompiler as error:
                if language == "cuda" and self._device == "cpu":
                    return str(error)  # asked for on the wrong device
                raise HarnessError(str(error)) from None
            except (RuntimeError, UnicodeEncodeError, subprocess.TimeoutExpired) as error:
                return str(error)
        if uses_extensions(module_source) and self._fork_builder is not None:
            return self._build_extensions(module_source, self._fork_builder)
        if uses_triton(module_source) and self._fork_builder is not None and self._device == "cuda":
            self._compile_kernels(module_source, self._fork_builder)
        return None

    def _build_extensions(self, module_source: str, fork_builder: Callable[[], WorkerProcess]) -> str | None:
        folder = self._cache / extensions_folder(module_source, devices.architecture(self._device))
        if folder.exists():
            return None
        question = {
            "ask": "build",
            "candidate_source": module_source,
            "architecture": devices.architecture(self._device),
        }
        try:
            answer, files = _ask(fork_builder(), question, EXTENSION_TIMEOUT_S)
        except messages.DeadlinePassed:
            return f"its extensions were not built within {EXTENSION_TIMEOUT_S:.0f} s"
        except (messages.ConnectionEnded, messages.MalformedFrame):
            return None  # its trial will say how it ends a process
        try:
            if answer.complaint is not None:
                return str(answer.complaint)
            if len(answer.built) != len(files) or not all(NAME.fullmatch(name) for name in answer.built):
                return None
            built = {
                name: answers.file_content(descriptor) for name, descriptor in zip(answer.built, files, strict=True)
            }
            scratch = Path(tempfile.mkdtemp(dir=self._cache))
            for name, content in built.items():
                (scratch / name).write_bytes(content)
            try:
                scratch.rename(folder)
            except OSError:  # another run was first
                shutil.rmtree(scratch)
        except messages.MalformedFrame:
            return None  # nothing of it is used, and its trial will say what else it does
        finally:
            for descriptor in files:
                os.close(descriptor)
        return None

    def _compile_kernels(self, module_source: str, fork_builder: Callable[[], WorkerProcess]) -> None:
        question = {
            "ask": "compile_kernels",
            "candidate_source": module_source,
            "task_source": self._task_source,
            "architecture": devices.architecture(self._device),
        }
        archive = self._cache / kernels_archive(module_source, self._task_source, question["architecture"])
        if archive.exists():
            return
        try:
            _, files = _ask(fork_builder(), question, KERNELS_TIMEOUT_S)
        except (messages.DeadlinePassed, messages.ConnectionEnded, messages.MalformedFrame):
            return  # its trial will say how it ends a process
        for descriptor in files:
            with suppress(messages.MalformedFrame):
                content = answers.file_content(descriptor)
                scratch = Path(tempfile.mkdtemp(dir=self._cache), archive.name)
                scratch.write_bytes(content)
                scratch.replace(archive)
                scratch.parent.rmdir()
            os.close(descriptor)


def _ask(builder: WorkerProcess, question: dict[str, str], timeout_s: float) -> tuple[Any, list[int]]:
    """The only answer of a builder, which ends with it. Raises MalformedFrame where it fails as a whole."""
    try:
        messages.send(builder.connection, question, timeout_s=messages.SEND_TIMEOUT_S)
        answer, files = answers.receive(builder.connection, question["ask"], timeout_s=timeout_s)
    finally:
        builder.kill()
    if isinstance(answer, answers.Raised):
        raise messages.MalformedFrame(answer.raised)
    return answer, files
