"""``[stopping]``: when a strategy stops sampling for a task because another candidate is not worth its cost."""

from __future__ import annotations

from dataclasses import dataclass, field

GAINS = ("fast", "speedup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """Sampling for a task stops after ``sampling.k`` candidates, or if one more is expected to gain at most ``cost``.

    ``gain``: what a candidate can gain. ``fast``: being the task's first verified fast candidate; ``cost`` is the least
    probability of that for which another answer is drawn. ``speedup``: a better best candidate; ``cost`` is in units of
    the log speed-up (0.01 is about one per cent), and ``scale`` is the prior mean of the log speed-up. ``every``: how
    many candidates are drawn between two decisions; with ``[search]``, one of its turns.
    ``pytest_kernelbench.search.stopping`` has the formulas.
    """

    gain: str = field(default="fast", metadata={"choices": GAINS})
    cost: float = field(default=0.005, metadata={"minimum": 0})
    every: int = field(default=8, metadata={"minimum": 1})
    scale: float = field(default=0.5, metadata={"minimum": 1e-3})
