"""One extension built from its request, in a process that no candidate was ever in and that sees no GPU."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation.worker import precompiled
from pytest_kernelbench.evaluation.worker.extensions import FOLDER, Request
from pytest_kernelbench.evaluation.worker.own_errors import are_own
from pytest_kernelbench.evaluation.worker.stand_ins import NAME, torch_headers, write_stand_ins
from pytest_kernelbench.inline.complaints import SAID_OF_THE_MACHINE, errors_first


class BuildFailed(Exception):
    """``complaint`` is what the compilers said, errors first; ``final`` whether they would say so again."""

    def __init__(self, complaint: str, *, final: bool) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.final = final


def build(request: Request, name: str, folder: Path, *, header: Path | None = None) -> Path:
    """The library of one request, a module with this ``name``, in ``folder``. Raises BuildFailed.

    ``header``: a precompiled header for the request's flags.

    Host and device part are compiled side by side, each first with stand-ins for torch's headers. A part that does not
    compile with these is compiled with torch's own headers, so that the verdict is the same, unless no header could
    mend its errors. If one part fails, the other is not waited for.
    """
    arguments = {**_placed(request["arguments"], folder), "name": name}
    for place, text in request["files"].items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source, cuda_source = _texts(request)
    stand_ins = write_stand_ins(source, folder / "include", torch_headers(), cuda_source=cuda_source)
    first = None
    if header is not None:
        first = precompiled.offered(header, stand_ins, "\n".join(arguments.get("cpp_sources") or []))
    arguments["extra_include_paths"] = [str(stand_ins), *arguments.get("extra_include_paths", ())]
    parts = Parts(stand_ins, source, undeclared=_undeclared(request), first=first)
    try:
        return _built(request["function"], arguments, folder / "build", parts)
    except Exception as error:
        # Any exception: torch raises many kinds for useless arguments or a missing compiler.
        raise _failure(error) from None


def build_header(flags: Sequence[str], folder: Path) -> Path:
    """A precompiled header for bindings with these flags, in ``folder``, made from no candidate's text.

    Raises BuildFailed where the compiler makes none, or does not take the one that it made.
    """
    include = write_stand_ins("", folder / "include", torch_headers())
    header = (include / NAME).rename(include / precompiled.HEADER)
    asked = _Asked()
    arguments = {"name": "x", "cpp_sources": [""], "extra_cflags": [*flags], "extra_include_paths": [str(include)]}
    try:
        _built("load_inline", arguments, folder / "build", asked)
    except Exception as error:
        raise _failure(error) from None
    # Without the extension's name: a header can be used only with the macros that it was made with.
    command = re.sub(r" -DTORCH_EXTENSION_NAME=\S+| -MMD -MF \S+", "", asked.command)
    made = header.with_name(f"{header.name}.gch")
    _run_alone(re.sub(r" -c \S+ -o \S+", f" -x c++-header {header} -o {made}", command))
    header.write_text("")
    trial = folder / "trial.cpp"
    trial.write_text(f"#include <{precompiled.HEADER}>\nat::Tensor f(at::Tensor x) {{ return x; }}\n")
    _run_alone(re.sub(r" -c \S+ -o \S+", f" -DTORCH_EXTENSION_NAME=y -fsyntax-only {trial}", command))
    return made


class _Asked:
    """Takes the place of ``Parts`` to learn the ``command`` for the first part; compiles nothing."""

    command = ""

    def compile(self, build_directory: str, verbose: bool, error_prefix: str) -> None:
        self.command = _commands(build_directory)[0]


def _run_alone(command: str) -> None:
    done = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise _failure(RuntimeError(done.stderr))


def _failure(error: Exception) -> BuildFailed:
    said = str(error)
    # Without torch's own first words, which the candidate's process puts before the log.
    _, _, log = said.partition("Error building extension '")
    log = log.partition("': ")[2] or said
    final = not any(each in said for each in (*SAID_OF_THE_MACHINE, "Ninja is required"))
    return BuildFailed(errors_first(log), final=final)


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return value.replace(FOLDER, str(folder))
    if isinstance(value, Mapping):
        return {name: _placed(each, folder) for name, each in value.items()}
    return [_placed(each, folder) for each in value] if isinstance(value, list) else value


def _undeclared(request: Request) -> frozenset[str]:
    """The functions to be bound that the C++ sources, where they are bound, do not name."""
    arguments = request["arguments"]
    functions, sources = arguments.get("functions") or [], "\n".join(arguments.get("cpp_sources") or [])
    functions = [functions] if isinstance(functions, str) else functions
    if not isinstance(functions, list | dict):
        return frozenset()  # torch will refuse them
    return frozenset(each for each in functions if not re.search(rf"\b{re.escape(each)}\b", sources))


def _texts(request: Request) -> tuple[str, str]:
    """All sources of a request in one text, and the sources that nvcc compiles in another."""
    cpp, cuda = (request["arguments"].get(name) or [] for name in ("cpp_sources", "cuda_sources"))
    files = request["files"].items()
    in_cuda = "\n".join([*cuda, *(text for place, text in files if place.endswith((".cu", ".cuh")))])
    return "\n".join([*cpp, *(text for _, text in files), in_cuda]), in_cuda


def _built(function: str, arguments: dict[str, Any], folder: Path, parts: Parts | _Asked) -> Path:
    from torch.utils import _cpp_extension_versioner, cpp_extension

    folder.mkdir()
    # A second build in one process would get another name.
    cpp_extension.JIT_EXTENSION_VERSIONER = _cpp_extension_versioner.ExtensionVersioner()
    real: Callable[..., Any] = getattr(cpp_extension, function)
    cpp_extension._run_ninja_build = parts.compile
    # Loading the library would run the candidate's code in this process.
    cpp_extension._import_module_from_library = lambda name, place, is_python_module: os.path.join(place, f"{name}.so")
    return Path(real(**arguments, build_directory=str(folder), verbose=False))


class Parts:
    """The objects of one extension, compiled in ninja's place with the commands that torch wrote for it.

    ``source``: all texts of the extension. ``undeclared``: see ``own_errors.are_own``. ``first``: a header that the
    host part includes before all else. ``with_torch_s_headers``: names of the parts that needed torch's own headers.
    """

    def __init__(
        self, stand_ins: Path, source: str, *, undeclared: Set[str] = frozenset(), first: Path | None = None
    ) -> None:
        self._undeclared = undeclared
        self._first = first
        self._stand_ins = stand_ins
        self._source = source
        self._running: list[subprocess.Popen[str]] = []
        self._failed: str | None = None
        self._turn = threading.Lock()
        self.with_torch_s_headers: set[str] = set()

    def compile(self, build_directory: str, verbose: bool, error_prefix: str) -> None:
        """As torch's ``_run_ninja_build``: raises RuntimeError with what the first command that failed said."""
        listed = Path(build_directory, "build.ninja").read_text()
        objects = re.findall(r"^build (\S+): (cuda_)?compile ", listed, re.MULTILINE)
        with ThreadPoolExecutor(max_workers=len(objects)) as pool:
            list(pool.map(lambda each: self._compile_one(each[0], build_directory, on_host=not each[1]), objects))
        if self._failed is None:
            link = _commands(build_directory)[-1]
            returncode, log = self._run(link, build_directory)
            if returncode != 0:
                self._failed = log
        if self._failed is not None:
            raise RuntimeError(f"{error_prefix}: {self._failed}")

    def _compile_one(self, name: str, folder: str, *, on_host: bool) -> None:
        (command,) = _commands(folder, name)
        first = f" -include {self._first}" if on_host and self._first is not None else ""
        returncode, log = self._run(command.replace(" -c ", f"{first} -c ", 1), folder)
        if first and returncode != 0 and precompiled.UNUSABLE.search(log):
            returncode, log = self._run(command, folder)
        again = returncode != 0 and self._failed is None
        if again and not are_own(log, self._source, header_folders(), self._undeclared):
            self.with_torch_s_headers.add(name)
            returncode, log = self._run(command.replace(f"-I{self._stand_ins} ", ""), folder)
        if returncode != 0:
            self._fail(log)

    def _fail(self, log: str) -> None:
        with self._turn:
            if self._failed is not None:
                return
            self._failed = log
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _run(self, command: str, folder: str) -> tuple[int, str]:
        with self._turn:
            if self._failed is not None:
                return 1, ""
            # A session of its own: nvcc starts other compilers.
            process = subprocess.Popen(
                command,
                shell=True,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.append(process)
        log, _ = process.communicate()
        with self._turn:
            self._running.remove(process)
        return process.returncode, log


def _commands(folder: str, *targets: str) -> list[str]:
    """The commands that ninja would run for ``targets`` (none: for all), one in each line."""
    done = subprocess.run(["ninja", "-t", "commands", *targets], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()


def header_folders() -> list[Path]:
    """The folders of all headers that torch's own could include."""
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    cuda = [Path(nvcc).resolve().parent.parent / "include"] if nvcc else []
    found = [torch_headers(), Path("/usr/include"), Path("/usr/local/cuda/include"), *cuda]
    return [each for each in found if each.is_dir()]
