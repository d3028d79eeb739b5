"""One extension built from its request, in a process that no candidate was ever in and that sees no GPU."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.complaints import SAID_OF_THE_MACHINE, errors_first
from pytest_kernelbench.evaluation.worker.extensions import FOLDER, Request
from pytest_kernelbench.evaluation.worker.stand_ins import is_the_source_s_own, torch_headers, write_stand_ins


class BuildFailed(Exception):
    """``complaint`` is what the compilers said, errors first; ``final`` whether they would say so again."""

    def __init__(self, complaint: str, *, final: bool) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.final = final


def build(request: Request, name: str, folder: Path) -> Path:
    """The library of one request, a module with this ``name``, in ``folder``. Raises BuildFailed.

    First with stand-ins for torch's headers. What does not compile with them is compiled with torch's own, so that the
    verdict is the same, unless its first error is one that no header can mend.
    """
    arguments = {**_placed(request["arguments"], folder), "name": name}
    for place, text in request["files"].items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = _text(request)
    stand_ins = write_stand_ins(source, folder / "include", torch_headers())
    quick = {**arguments, "extra_include_paths": [str(stand_ins), *arguments.get("extra_include_paths", ())]}
    try:
        return _built(request["function"], quick, folder / "quick")
    except RuntimeError as error:
        if is_the_source_s_own(str(error), source):
            raise _failure(error) from None
    try:
        return _built(request["function"], arguments, folder / "full")
    except Exception as error:
        # torch raises what it likes where arguments are of no use, or a compiler is missing.
        raise _failure(error) from None


def _failure(error: Exception) -> BuildFailed:
    said = str(error)
    # torch's own first words are the candidate's process's to say.
    _, _, log = said.partition("Error building extension '")
    log = log.partition("': ")[2] or said
    final = (
        isinstance(error, RuntimeError) and bool(log != said) and not any(each in said for each in SAID_OF_THE_MACHINE)
    )
    return BuildFailed(errors_first(log), final=final)


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return value.replace(FOLDER, str(folder))
    if isinstance(value, Mapping):
        return {name: _placed(each, folder) for name, each in value.items()}
    return [_placed(each, folder) for each in value] if isinstance(value, list) else value


def _text(request: Request) -> str:
    sources = [request["arguments"].get(name) or [] for name in ("cpp_sources", "cuda_sources")]
    texts = [text for each in sources for text in ([each] if isinstance(each, str) else each)]
    return "\n".join([*texts, *request["files"].values()])


def _built(function: str, arguments: dict[str, Any], folder: Path) -> Path:
    from torch.utils import _cpp_extension_versioner, cpp_extension

    folder.mkdir()
    real: Callable[..., Any] = getattr(cpp_extension, function)
    # A second build of one name would get another, and the library could be imported under that only.
    cpp_extension.JIT_EXTENSION_VERSIONER = _cpp_extension_versioner.ExtensionVersioner()
    # Loading it would run the candidate's code in here.
    cpp_extension._import_module_from_library = lambda name, place, is_python_module: os.path.join(place, f"{name}.so")
    # A copy: torch puts headers into the lists that it is given, and would put them into the second attempt's twice.
    return Path(real(**copy.deepcopy(arguments), build_directory=str(folder), verbose=False))
