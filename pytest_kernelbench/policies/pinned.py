"""``pinned:FOLDER``: the kernels that a repository keeps, ``FOLDER/level1/19_ReLU.py`` for that task. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.host.resources import in_project
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

KIND = "pinned"
# Longer than any fence in a kernel's own docstring.
FENCE = "~" * 16


def pins_in(folder: Path) -> dict[str, Path]:
    """The kernels kept in ``folder``, by task id; empty where there is no such folder."""
    files = sorted(folder.glob("*/*.py"))
    return {f"{file.parent.name}/{file.stem}": file for file in files if not file.stem.startswith(("_", "test_"))}


def folder_of(policy: str) -> Path | None:
    """The project's folder ``kernels`` for ``pinned:kernels``; None for another policy."""
    kind, _, folder = policy.partition(":")
    return in_project(Path(folder)) if kind == KIND else None


def version_of(pins: Mapping[str, Path]) -> str:
    """A hash of tasks and kernels, of twelve hexadecimal digits. Raises PolicyError for a file that cannot be read."""
    digest = hashlib.sha256()
    for task, file in pins.items():
        digest.update(f"{task}\0{_text(file)}\0".encode())
    return digest.hexdigest()[:12]


class PinnedPolicy:
    """A policy whose only answer to a task is the kernel kept for it. A task without a kernel has no answer."""

    gives_logprobs = False
    label = None

    def __init__(self, folder: Path, *, name: str) -> None:
        self.name = name
        self._pins = pins_in(folder)
        self.version = version_of(self._pins)

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> PinnedPolicy:
        return cls(in_project(Path(spec.argument)), name=spec.name)

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """See ``Policy.sample``: completion 0 is the only completion."""
        if task.id in self._pins and 0 in indices:
            text = f"{FENCE}python\n{_text(self._pins[task.id])}\n{FENCE}\n"
            yield Completion(task=task.id, index=0, text=text, policy=self.name, policy_version=self.version)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: cannot be read ({error}); a pinned kernel is Python in UTF-8") from None
