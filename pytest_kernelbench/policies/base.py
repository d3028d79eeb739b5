"""The protocol of a policy: it answers a task with completions. The same question has the same answers every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import Sampling


class Policy(Protocol):
    """A source of completions.

    ``name``: the text given to ``--policy``. ``version``: identifies the weights (or the replayed file), so that the
    distribution of every surprisal is known. ``gives_logprobs``: whether completions have log-probabilities; a
    completion without them is not ranked. ``label``: a text that is printed beside every result; None for none.
    """

    name: str
    version: str
    gives_logprobs: bool
    label: str | None

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """Yield one completion for each of ``indices``, in the order in which they are finished.

        ``advice``: text at the end of the prompt, such as verdicts on earlier answers. A policy without a prompt
        ignores it. Completion ``i`` depends only on policy version, task id and source, sampling, seed, i and advice.
        It does not depend on the other indices, nor on whether the run was interrupted. (With one exception: a model's
        floating-point results may round differently in a batch of another size, which can change a draw.) A replay
        yields only the completions that its file has. Raises PolicyError.
        """
        ...


def random_seed(seed: int, task_id: str, index: int) -> int:
    """The seed, of 63 bits, for the random numbers of completion ``index`` of a task."""
    digest = hashlib.sha256(f"{seed}\0{task_id}\0{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# Of a larger file only the size and both ends are hashed: hashing 100 GB of weights takes minutes.
WHOLE_FILE_BYTES = 64 * 2**20
END_BYTES = 2**20


def version_of(files: Sequence[Path], *settings: object) -> str:
    """A hash, of twelve hexadecimal digits, of the names and contents of ``files`` and of ``settings``."""
    digest = hashlib.sha256(repr(settings).encode())
    for file in sorted(files):
        size = file.stat().st_size
        digest.update(f"\0{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= WHOLE_FILE_BYTES:
                digest.update(stream.read())
            else:
                digest.update(stream.read(END_BYTES))
                stream.seek(-END_BYTES, 2)
                digest.update(stream.read())
    return digest.hexdigest()[:12]
