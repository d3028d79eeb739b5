"""The protocol of a policy: it answers a task with completions, which are the same every time."""

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

    ``name`` is the text given to ``--policy``. ``version`` identifies the weights that sample (or the replayed
    file), so that a surprisal always names the distribution it was taken under. ``gives_logprobs`` says
    whether completions carry log-probabilities; a completion without them is left out of a ranking. ``label`` is
    printed beside every result; None: nothing is.
    """

    name: str
    version: str
    gives_logprobs: bool
    label: str | None

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """Yield one completion for each of ``indices``, in the order in which they are finished.

        ``advice`` is text that the prompt ends with: verdicts on earlier answers. A policy that does not read a
        prompt ignores it. Completion ``i`` is a function of (policy version, task id and source, sampling, seed, i,
        advice) alone, not of the other indices, nor of a run that was killed and resumed. (A model computes a row in
        floating point, which may round differently in a batch of another size; a draw within that rounding of a
        boundary can change.) A replay yields the completions that it holds, which may be fewer. Raises PolicyError.
        """
        ...


def random_seed(seed: int, task_id: str, index: int) -> int:
    """Seed of the random numbers that draw completion ``index`` of a task; 63 bits."""
    digest = hashlib.sha256(f"{seed}\0{task_id}\0{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# A file larger than this is known by its size and both of its ends: hashing 100 GB of weights takes minutes.
WHOLE_FILE_BYTES = 64 * 2**20
END_BYTES = 2**20


def version_of(files: Sequence[Path], *settings: object) -> str:
    """Twelve hexadecimal digits over names and contents of ``files`` and over ``settings``."""
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
