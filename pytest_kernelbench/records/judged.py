"""The evaluation of a candidate: its outcome and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from pytest_kernelbench.records.drawn import Candidate
from pytest_kernelbench.records.rows import fields_of, refuse_what_is_not_finite


class Outcome(str, Enum):
    """How the evaluation of a candidate ended; exactly one of these, and never a fault of the harness."""

    CORRECT = "correct"
    NO_SOURCE = "no_source"
    BUILD_ERROR = "build_error"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    INCORRECT = "incorrect"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Verdict on one source, and its timings if it is correct.

    Two clocks measured it. ``speedup`` is the worker's own timing, the median over pairs of reference time / candidate
    time; ``speedup_low`` and ``speedup_high`` bound its 95 % interval. The candidate shares a process with that clock,
    so this timing only ranks candidates and decides which of them are measured by the judge. ``attested``, between
    ``attested_low`` and ``attested_high``, is the judge's measurement; None where none was made. ``counted`` says
    whether the candidate's claim to be fast counts: True if it was attested, False if it was not (``uncounted_because``
    says why), None if it claims nothing that would have to be attested. ``counted_speedup`` and its bounds are the
    numbers that tables, rewards and ``fast`` use.

    ``candidate_times_ms``: the candidate's time in each pair; ``candidate_ms`` is their median. ``floor_ms``: the
    least time that the device needs for this task. ``flags``: names of rows of the cheat catalogue. ``detail``: one
    line for people. ``draw``: the kind of inputs on which an incorrect candidate failed. ``log``: the compiler's
    output for a source that does not build (at most 4,000 characters). ``quoted``: whether ``detail`` and ``log``
    contain text from the candidate or from a compiler. ``seconds``: wall time by stage (``build``, ``wait`` for the
    device, ``load``, ``check``, ``time``, ``attest``, ``total``). ``precision``: the declared precision. ``baseline``:
    what the candidate was timed against (``eager`` or ``compile``). ``weights``: whether the candidate was judged with
    the weights that its own constructor drew (``seeded``) or with the reference's weights (``reference``).
    """

    source_sha256: str | None
    outcome: Outcome
    detail: str = ""
    log: str | None = None
    quoted: bool = False
    flags: tuple[str, ...] = ()
    reference_ms: float | None = None
    candidate_ms: float | None = None
    floor_ms: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    pairs: int | None = None
    candidate_times_ms: tuple[float, ...] | None = None
    attested: float | None = None
    attested_low: float | None = None
    attested_high: float | None = None
    counted: bool | None = None
    uncounted_because: str = ""
    precision: str | None = None
    baseline: str | None = None
    weights: str | None = None
    draw: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.speedup is not None and self.outcome is not Outcome.CORRECT:
            raise ValueError(f"an evaluation that is {self.outcome.value} cannot have a speed-up")
        if self.counted and self.attested is None:
            raise ValueError("an evaluation whose claim counts must have an attested speed-up")
        refuse_what_is_not_finite({name: getattr(self, name) for name in MEASURED})

    @property
    def correct(self) -> bool:
        return self.outcome is Outcome.CORRECT

    @property
    def counted_speedup(self) -> float | None:
        """The speed-up that tables and rewards use: ``attested`` if it was measured. At most 1 if a claim does not
        count.
        """
        if self.counted is None or self.speedup is None:
            return self.speedup
        measured = self.speedup if self.attested is None else self.attested
        return measured if self.counted else min(1.0, measured)

    @property
    def counted_low(self) -> float | None:
        """Lower end of the 95 % interval of ``counted_speedup``; None where it is not known."""
        if self.counted is None:
            return self.speedup_low
        return self.attested_low if self.counted else None

    @property
    def counted_high(self) -> float | None:
        """Upper end of the 95 % interval of ``counted_speedup``; None where it is not known."""
        if self.counted is None:
            return self.speedup_high
        return self.attested_high if self.counted else None

    def fast(self, p: float = 1.0, margin: float = 0.0) -> bool:
        """Whether the candidate is verified fast: correct, and ``counted_low`` is above ``p * (1 + margin)``."""
        return self.correct and self.counted_low is not None and self.counted_low > p * (1 + margin)

    def fast_raw(self, p: float = 1.0) -> bool:
        """Whether the candidate is fast as the literature counts: correct, and the point estimate is above ``p``."""
        return self.correct and self.speedup is not None and self.speedup > p

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value, "flags": list(self.flags)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Evaluation:
        return cls(**{**fields_of(cls, row), "outcome": Outcome(row["outcome"])})


MEASURED = (
    *("reference_ms", "candidate_ms", "floor_ms", "candidate_times_ms", "seconds"),
    *(f"{of}{end}" for of in ("speedup", "attested") for end in ("", "_low", "_high")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate with its evaluation; a selector chooses among these."""

    candidate: Candidate
    evaluation: Evaluation
