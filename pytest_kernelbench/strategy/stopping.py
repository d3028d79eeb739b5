"""``[stopping]``: a strategy that ends its draws for a task once one more is not worth its cost."""

from __future__ import annotations

from dataclasses import dataclass, field

GAINS = ("fast", "speedup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """When no further candidate of a task is drawn: ``sampling.k`` are there, or one more gains no more than its cost.

    ``gain`` says what is gained. ``fast``: the first verified fast candidate of the task; the cost is in such
    candidates an answer. ``speedup``: a better best; the cost is in the logarithm of its speed-up (0.01: one per cent)
    an answer, and ``scale`` is the mean of the log speed-ups that are expected before any was seen. Verdicts are looked
    at after ``every`` so many candidates; a strategy with ``[search]`` looks after each of its turns.
    ``pytest_kernelbench.search.stopping`` has the formulas.
    """

    gain: str = field(default="fast", metadata={"choices": GAINS})
    cost: float = field(default=0.005, metadata={"minimum": 0})
    every: int = field(default=8, metadata={"minimum": 1})
    scale: float = field(default=0.5, metadata={"minimum": 1e-3})
