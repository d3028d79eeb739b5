"""KernelBench's way to CUDA, ``torch.utils.cpp_extension``, in a candidate's process, which compiles nothing itself.

A call of ``load_inline`` or ``load`` becomes a request: sources and flags, no more. The judge has it built by a process
that no candidate was ever in and that sees no GPU, and puts the library, or the compilers' complaint, into a cache
under the request's key. A request whose key is there is answered at once, at import, in a constructor or in a call; a
build that fails raises where torch's own function would.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

FUNCTIONS = ("load_inline", "load")
# Arguments that change the machine code. A candidate cannot choose the others: where and how verbosely it is built.
KEPT = frozenset(
    "name cpp_sources cuda_sources sources functions extra_cflags extra_cuda_cflags extra_ldflags extra_include_paths "
    "with_cuda with_pytorch_error_handling is_python_module no_implicit_headers".split()
)
LISTS = frozenset("cuda_sources extra_cflags extra_cuda_cflags extra_ldflags extra_include_paths".split())
IGNORED = frozenset("build_directory verbose keep_intermediates use_pch".split())
# Stands in a request for the folder that the process may write to.
FOLDER = "{folder}"
# The name in the request of an extension on whose name nothing depends.
ANY_NAME = ""
HEADERS = frozenset((".h", ".hpp", ".cuh", ".inl", ".inc"))
MAX_FILES, MAX_FILE_BYTES = 64, 1 << 18
# The longest request as JSON: the judge takes no longer message (``answers.MAX_ANSWER_BYTES``).
MAX_BYTES = 900_000

Request = Mapping[str, Any]


class Extensions:
    """``load_inline`` and ``load`` in a candidate's process.

    ``known`` is the cache, ``folder`` the one that the process may write to. ``have_built(request)`` returns once the
    library, or the complaint, is in the cache.
    """

    def __init__(self, known: Path, folder: Path, architecture: str, have_built: Callable[[Request], None]) -> None:
        self._known = known
        self._folder = folder
        self._architecture = architecture
        self._have_built = have_built
        self._turn = threading.Lock()
        self._real: dict[str, Callable[..., Any]] = {}
        # The exception of the last build that failed.
        self.raised: RuntimeError | None = None

    def install(self) -> None:
        """Take the place of torch's functions."""
        from torch.utils import cpp_extension

        for name in FUNCTIONS:
            now = getattr(cpp_extension, name)
            self._real[name] = getattr(now, "torch_s_own", now)
            setattr(cpp_extension, name, self._standing_in(name, self._real[name]))

    def _standing_in(self, function: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*positional: Any, **named: Any) -> Any:
            arguments = inspect.signature(real).bind(*positional, **named).arguments
            request = request_of(function, arguments, self._folder)
            return real(*positional, **named) if request is None else self._loaded(request, arguments)

        stand_in.torch_s_own = real  # type: ignore[attr-defined]
        stand_in.__name__, stand_in.__doc__ = function, real.__doc__
        return stand_in

    def _loaded(self, request: Request, arguments: Mapping[str, Any]) -> Any:
        key = key_of(request, self._architecture)
        library, complaint = (self._known / name for name in names_of(key))
        # Several threads of a candidate may ask at once.
        with self._turn:
            if not (library.exists() or complaint.exists()):
                self._have_built(request)
        if not library.exists():
            self.raised = RuntimeError(f"Error building extension '{arguments['name']}':\n{complaint.read_text()}")
            raise self.raised
        if not arguments.get("is_python_module", True):
            torch.ops.load_library(str(library))
            return str(library)
        module = _imported(module_name(request, key), library)
        module.__name__ = arguments["name"]
        return module


def uses_extensions(candidate_source: str) -> bool:
    """Whether a candidate may build extensions."""
    return "cpp_extension" in candidate_source or "load_inline" in candidate_source


def request_of(function: str, arguments: Mapping[str, Any], folder: Path) -> Request | None:
    """One call as data; None for a call that only torch itself can answer (a program, SYCL, very long sources).

    The caller's lists are copied, because torch puts headers into the lists that it is given.
    """
    given = {name: value for name, value in arguments.items() if value is not None and name not in IGNORED}
    if given.get("is_standalone") or given.keys() - KEPT - {"is_standalone"}:
        return None
    kept = {name: _plain(value, folder) for name, value in given.items() if name in KEPT}
    for name in LISTS & kept.keys():
        # One source is a list of one, and no flags are none.
        kept[name] = [kept[name]] if isinstance(kept[name], str) else kept[name]
        if not kept[name]:
            del kept[name]
    if isinstance(kept.get("cpp_sources"), str):
        kept["cpp_sources"] = [kept["cpp_sources"]]
    files: dict[str, str] = {}
    if function == "load":
        kept["sources"], files = _sources(given["sources"])
    if "extra_include_paths" in given:
        kept["extra_include_paths"] = _include_paths(given["extra_include_paths"], folder, files)
    sources = json.dumps([kept.get("cpp_sources"), kept.get("cuda_sources"), *files.values()])
    if kept.get("is_python_module", True) and "TORCH_LIBRARY" not in sources and kept["name"] not in sources:
        # Many candidates put the time, or a random number, into a name that nothing depends on.
        kept["name"] = ANY_NAME
    request = {"function": function, "arguments": kept, "files": files}
    return request if len(json.dumps(request)) <= MAX_BYTES else None


def _plain(value: Any, folder: Path) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each, folder) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, folder) for each in value]
    return str(value).replace(str(folder), FOLDER)


def _sources(given: Any) -> tuple[list[str], dict[str, str]]:
    """New paths for sources in files, and by new path the texts of the sources and of the headers beside them.

    New, because many candidates write their sources to paths that differ in every process.
    """
    paths = [Path(each).absolute() for each in ([given] if isinstance(given, (str, os.PathLike)) else given)]
    files = {f"sources/{number}{path.suffix}": path.read_text(errors="replace") for number, path in enumerate(paths)}
    sources = [f"{FOLDER}/{place}" for place in files]
    for folder in dict.fromkeys(path.parent for path in paths):
        files |= _headers(folder, "sources", MAX_FILES - len(files))
    return sources, files


def _include_paths(given: Any, folder: Path, files: dict[str, str]) -> list[str]:
    """Folders of headers. The texts of headers in folders that only this process sees are added to ``files``."""
    paths = []
    for number, each in enumerate(map(str, given)):
        paths.append(each)
        if Path(each).absolute().is_relative_to(folder):
            paths[-1] = f"{FOLDER}/include-{number}"
            files |= _headers(Path(each), f"include-{number}", MAX_FILES - len(files))
    return paths


def _headers(folder: Path, place: str, most: int) -> dict[str, str]:
    found = [path for path in sorted(folder.glob("*")) if path.suffix in HEADERS and path.is_file()]
    small = [path for path in found if path.stat().st_size <= MAX_FILE_BYTES]
    return {f"{place}/{path.name}": path.read_text(errors="replace") for path in small[: max(0, most)]}


def key_of(request: Request, architecture: str) -> str:
    """The key of a build: a hash of the request, torch's version, the GPU's architecture and the compilers."""
    keyed = json.dumps([request, torch.__version__, architecture, compilers()], sort_keys=True)
    return hashlib.sha256(keyed.encode(errors="surrogatepass")).hexdigest()[:32]


def names_of(key: str) -> tuple[str, str]:
    """Names of the files in the cache: the library, and the compilers' complaint where there is no library."""
    return f"extension-{key}.so", f"extension-{key}.txt"


def module_name(request: Request, key: str) -> str:
    """The name under which an extension is built and imported; of two with one name, pybind11 returns the first."""
    return str(request["arguments"]["name"]) or f"extension_{key}"


@cache
def compilers() -> list[list[Any]]:
    """The compilers on this machine: path, size in bytes and time of change in nanoseconds of each."""
    found = []
    for name in ("c++", "nvcc"):
        path = shutil.which(os.environ.get("CXX", name) if name == "c++" else name)
        path = path or (shutil.which(name, path="/usr/local/cuda/bin") if name == "nvcc" else None)
        if path is not None:
            state = os.stat(path)
            found.append([os.path.realpath(path), state.st_size, state.st_mtime_ns])
    return found


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
