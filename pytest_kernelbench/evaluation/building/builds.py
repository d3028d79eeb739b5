"""Builds what a candidate asks for, away from the device and from its trial, and never twice.

All compilers run in builders: sandboxed processes that see no GPU. Sources that a candidate hands to ``compile_c`` and
``compile_cuda`` as literals are found by parsing. What it builds with ``load_inline`` or ``load``, and its Triton
kernels, are found by running it once in a builder (``worker.exploring``). Each extension that it asks for is built from
its sources and flags alone, in another builder, in which no candidate ever was; so the library can be kept in the cache
for every candidate that asks for the same one. A trial that asks for an extension that is not in the cache ends, and is
repeated once it is built.

Candidates see the cache read-only, so none can leave a poisoned build for the next. Triton's kernels are kept for their
own candidate alone: its process packed them, and could pack anything.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench import inline
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.building import cache, headers
from pytest_kernelbench.evaluation.building.cache import LOCKS
from pytest_kernelbench.evaluation.building.literals import CUDA_LANGUAGE, literal_sources
from pytest_kernelbench.evaluation.building.places import Places, Spent
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.judges.closing import Closing
from pytest_kernelbench.evaluation.worker.extensions import key_of, module_name, names_of, uses_extensions
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive, uses_triton
from pytest_kernelbench.records import sha256_of

# All builds of one candidate together.
BUILD_LIMIT_S = 180.0
# For running a candidate to find its builds, without the builds themselves.
EXPLORING_LIMIT_S = 40.0
# For a precompiled header, which takes 15 s of CPU.
HEADER_LIMIT_S = 120.0
# More than the 60 s after which ``inline`` stops a compiler.
COMPILING_LIMIT_S = 70.0
# A candidate that changes its sources in every trial would never have all its builds.
MAX_TRIALS = 8
NO_NVCC = "CUDA_HOME environment variable is not set"
# A candidate with one of these may go on without a library that does not compile.
CATCHES = re.compile(r"^\s*(?:except|finally)\b|\bsuppress\(", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a build: a device, the ``id`` of its lock, and for a GPU its properties by torch's names.

    ``architecture``: of a GPU, as torch writes it (``9.0``); empty on a CPU.
    """

    device: str
    id: str
    architecture: str
    gpu: Mapping[str, Any] | None

    @property
    def on_cpu(self) -> bool:
        return not is_gpu(self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The builds of one candidate so far: the ``complaint`` of a failed one, which is its verdict, and their seconds.

    ``trials``: how many trials ended because they asked for a build.
    """

    complaint: str | None = None
    seconds: float = 0.0
    trials: int = 0


class BuildWanted(Exception):
    """A trial asks for an extension that is not in the cache."""

    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__("a build")
        self.request = request


class BuildStopped(Exception):
    """A build ended in a way that another try may not repeat: it took too long, or the machine stopped it."""


class Builders(Closing):
    """Runs the builds of many candidates side by side, in at most ``jobs`` places, which all processes of a host share.

    ``fork_builder`` gives a builder that waits for its first request. ``for_later``: no trial waits for these builds,
    so builds that a trial waits for take their places first.
    """

    def __init__(
        self,
        cache: Path,
        target: Target,
        fork_builder: Callable[[], WorkerProcess],
        *,
        jobs: int,
        for_later: bool = False,
    ) -> None:
        self._cache = cache
        self._target = target
        if target.architecture:
            inline.use_architecture(target.architecture)
        self._fork_builder = fork_builder
        locks = cache / LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        quiet_id = target.id if target.on_cpu else None
        self._places = Places(jobs=jobs, for_later=for_later, locks=locks, quiet_id=quiet_id)
        self._pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="build")
        # Headers have a thread of their own: queued behind all builds, one would be ready when no build needs it.
        self._headers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="header")

    def close(self) -> None:
        """Begin no more builds, and wait for the builds that have begun."""
        self._pool.shutdown(cancel_futures=True)
        self._headers.shutdown()
        cache.forget(self._cache)

    def ahead(self, task_source: str, module_source: str) -> Future[Built]:
        """Build what can be known of a candidate before its trial. Without a compiler: HarnessError."""
        # Parsed here: Python 3.11 counts one recursion for all threads that parse, and raises SystemError.
        literals = literal_sources(module_source)
        return self._pool.submit(self._build_ahead, task_source, module_source, literals)

    def wanted(self, request: dict[str, Any], so_far: Built) -> Future[Built]:
        """Build the extension that a trial asked for."""
        return self._pool.submit(self._build_wanted, request, so_far)

    def _build_ahead(self, task_source: str, module_source: str, literals: list[tuple[str, str]]) -> Built:
        triton = not self._target.on_cpu and uses_triton(module_source)
        if not (literals or triton or uses_extensions(module_source)):
            return Built()
        spent = Spent()
        complaint = self._build_literals(literals, spent, caught=CATCHES.search(module_source) is not None)
        if complaint is None and (triton or uses_extensions(module_source)):
            complaint = self._explore(task_source, module_source, spent, triton=triton)
        return Built(complaint=complaint, seconds=spent.seconds)

    def _build_wanted(self, request: dict[str, Any], so_far: Built) -> Built:
        trials = so_far.trials + 1
        if trials == MAX_TRIALS:
            return Built(complaint=f"asks for another build in each of {trials} trials", seconds=so_far.seconds)
        spent, complaint = Spent(so_far.seconds), None
        try:
            with self._places.one(spent):
                self._build(request, BUILD_LIMIT_S - so_far.seconds)
        except BuildStopped as stopped:
            complaint = str(stopped)
        return Built(complaint=complaint, seconds=spent.seconds, trials=trials)

    def _build_literals(self, literals: list[tuple[str, str]], spent: Spent, *, caught: bool) -> str | None:
        """Compile literals; returns the complaint that ends the candidate: none if it may be ``caught`` there."""
        for language, source in literals:
            try:
                complaint = self._compile(language, source, spent)
            except inline.NoCompiler as error:
                if language == CUDA_LANGUAGE and self._target.on_cpu:
                    return str(error)  # asked for on the wrong device
                raise HarnessError(str(error)) from None
            except (UnicodeEncodeError, BuildStopped) as error:
                return str(error)
            if complaint is not None and not caught:
                return complaint
        return None

    def _compile(self, language: str, source: str, spent: Spent) -> str | None:
        """Put the library of a literal into the cache; returns the compiler's complaint if it does not compile.

        Raises BuildStopped where another try may end otherwise.
        """
        library = self._cache / inline.artifact_name(source, language)
        kept = library.with_suffix(".txt")

        def known() -> bool:
            return library.exists() or kept.exists()

        with self._places.one_unless(known, "compile", library.name, spent) as missing:
            if missing:
                question = {
                    "ask": "compile",
                    "language": language,
                    "source": source,
                    "architecture": self._target.architecture,
                }
                self._ask_builder(question, library, kept, timeout_s=COMPILING_LIMIT_S)
        cache.touch(library if library.exists() else kept)
        return None if library.exists() else kept.read_text()

    def _explore(self, task_source: str, module_source: str, spent: Spent, *, triton: bool) -> str | None:
        """Run a candidate once to find its builds; returns the complaint of a build that ends it, or None."""
        name = kernels_archive(module_source, task_source, self._target.architecture)
        found = self._cache / f"explored-{Path(name).stem}.json"
        with self._places.one_unless(found.exists, "explore", sha256_of(name), spent) as missing:
            if missing:
                question = {
                    "ask": "explore",
                    "candidate_source": module_source,
                    "task_source": task_source,
                    "architecture": self._target.architecture,
                    "gpu": self._target.gpu,
                    "triton": triton,
                    "cache": str(self._cache),
                }
                try:
                    complaint = self._answer_wishes(question, archive=self._cache / name)
                except BuildStopped as stopped:
                    return str(stopped)
                except (messages.DeadlinePassed, messages.ConnectionEnded, messages.MalformedFrame):
                    complaint = None  # its trial will find out how it ends its process
                cache.keep(found, json.dumps({"complaint": complaint}).encode())
        cache.touch(found)
        cache.touch(self._cache / name)
        complaint = json.loads(found.read_text())["complaint"]
        return None if complaint is None else str(complaint)

    def _answer_wishes(self, question: Mapping[str, Any], *, archive: Path) -> str | None:
        """Have a builder run a candidate, and build what it asks for; ``archive`` receives its Triton kernels."""
        left_s, builds_left_s = EXPLORING_LIMIT_S, BUILD_LIMIT_S
        builder = self._fork_builder()
        try:
            messages.send(builder.connection, question, timeout_s=messages.SEND_TIMEOUT_S)
            while True:
                asked = time.monotonic()
                answer, files = answers.receive(builder.connection, "explore", timeout_s=max(0.0, left_s))
                left_s -= time.monotonic() - asked
                if not isinstance(answer, answers.Wanted):
                    break
                begun = time.monotonic()
                self._build(answer.wanted, builds_left_s)
                builds_left_s -= time.monotonic() - begun
                messages.send(builder.connection, {"built": True}, timeout_s=messages.SEND_TIMEOUT_S)
        finally:
            builder.kill()
        try:
            for descriptor in files:
                cache.keep(archive, answers.file_content(descriptor))
        finally:
            _close(files)
        return answer.complaint if isinstance(answer, answers.Explored) else None

    def _build(self, request: dict[str, Any], timeout_s: float) -> None:
        """Put the library of a request into the cache, or the compilers' complaint. Raises BuildStopped.

        To be called within a place; an exploration has one already.
        """
        key = key_of(request, self._target.architecture)
        library, complaint = (self._cache / name for name in names_of(key))
        with self._places.turn("build", key):
            if library.exists() or complaint.exists():
                cache.touch(library if library.exists() else complaint)
                return
            question = {
                "ask": "build",
                "request": request,
                "name": module_name(request, key),
                "architecture": self._target.architecture,
                "header": str(headers.fitting(request, key, self._cache, self._begin_header) or ""),
            }
            self._ask_builder(question, library, complaint, timeout_s=timeout_s)

    def _begin_header(self, flags: headers.Flags) -> None:
        self._headers.submit(self._make_header, flags)

    def _make_header(self, flags: headers.Flags) -> None:
        """Put a precompiled header into the cache, or the compiler's complaint; builds do not wait for it."""
        header, complaint = headers.places_of(flags, self._cache)
        with self._places.untimed(), self._places.turn("header", header.stem.removeprefix("header-")):
            if not (header.exists() or complaint.exists()):
                question = {"ask": "precompile", "flags": [*flags]}
                try:
                    self._ask_builder(question, header, complaint, timeout_s=HEADER_LIMIT_S)
                except BuildStopped as stopped:
                    # Kept as a complaint: every later build would try again, and lose more time than it can gain.
                    cache.keep(complaint, str(stopped).encode())

    def _ask_builder(self, question: Mapping[str, Any], library: Path, complaint: Path, *, timeout_s: float) -> None:
        """Send a request to a new builder, and keep its library, or its complaint. Raises BuildStopped."""
        builder = self._fork_builder()
        try:
            messages.send(builder.connection, question, timeout_s=messages.SEND_TIMEOUT_S)
            answer, files = answers.receive(builder.connection, question["ask"], timeout_s=max(0.0, timeout_s))
        except messages.DeadlinePassed:
            raise BuildStopped(f"its extensions were not built within {BUILD_LIMIT_S:.0f} s") from None
        except (messages.ConnectionEnded, messages.MalformedFrame) as error:
            raise BuildStopped(f"its extension was not built: the builder ended ({error})") from None
        finally:
            builder.kill()
        try:
            for descriptor in files:
                cache.keep(library, answers.file_content(descriptor))
        except messages.MalformedFrame as error:
            raise BuildStopped(f"its extension cannot be kept: {error}") from None
        finally:
            _close(files)
        if not files:
            self._keep_complaint(complaint, answer)

    def _keep_complaint(self, place: Path, answer: answers.Built | answers.Raised) -> None:
        said = answer.raised if isinstance(answer, answers.Raised) else answer.complaint or "nothing was built"
        if not self._target.on_cpu and NO_NVCC in said:
            raise HarnessError("load_inline: no nvcc on PATH or in /usr/local/cuda/bin; install the CUDA toolkit")
        if isinstance(answer, answers.Raised) or not answer.final:
            raise BuildStopped(said)
        cache.keep(place, said.encode())


def _close(files: list[int]) -> None:
    for descriptor in files:
        os.close(descriptor)
