"""A chosen candidate against a stronger baseline than eager PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_kernelbench.records.rows import fields_of, refuse_what_is_not_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstBaseline:
    """A candidate timed beside ``baseline`` by the judge's clock: most of a line of ``baselines.jsonl``.

    ``speedup`` is baseline time / candidate time, between ``low`` and ``high`` (95 %; ``high`` None: unbounded); None
    where too little was measured. ``counted``: it was shown to be above the margin, as a claim against eager PyTorch
    must be; else ``uncounted_because`` says why not in one line. ``failed`` names the side that does not work or gives
    wrong answers, None where both work. ``candidate_ms`` and ``baseline_ms`` are calls by the worker's own clock.
    ``series`` counts pairs of processes. ``build_seconds`` is what the baseline was built for in its first process,
    which is not timed, and ``seconds`` the wall time of all, this included.
    """

    baseline: str
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    counted: bool = False
    uncounted_because: str = ""
    failed: Literal["baseline", "candidate"] | None = None
    candidate_ms: float | None = None
    baseline_ms: float | None = None
    series: int = 0
    build_seconds: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        refuse_what_is_not_finite(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> AgainstBaseline:
        return cls(**fields_of(cls, row))
