"""Gates: is a kernel slower than the one that it replaces? The plan of the measurement, and its record. No torch.

The measurement is that of claims (``attestation``): the judge's clock, two processes that take turns, one frozen.
The control runs the kernel that is to be replaced, and is checked as the new one is. A gate may ask the same of one
kernel at several sizes: the rates of error below hold for all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_kernelbench.evaluation.clock.attestation import Answer, Plan, Verdict, between_processes
from pytest_kernelbench.records import fields_of

# Of gates on kernels that are exactly as slow as is allowed at all sizes, at most this share calls any size slower. It
# is divided by the numbers of sizes and of looks (Bonferroni). Holm's procedure would find a second slow size more
# easily, but the gate has failed by then.
FAMILY_ERROR = 0.01
# At most this share of kernels that are exactly as slow as is allowed is called the same; divided by the number of
# looks.
SAME_ERROR = 0.05
# Processes differ by 1 % on a GPU and 2 % on a CPU. For 3 % at a limit of 1 % on one of 20 sizes, 16 and 32 series are
# needed, and for an answer on a kernel that is the same, twice as many on a CPU (benchmarks/gate_simulated.py).
LOOKS_AT_SERIES = (2, 4, 8, 16, 32, 64)
SECONDS_PER_SIZE = 60.0
# With the time that other sizes have left over; a server measures no longer than that.
MOST_SECONDS_PER_SIZE = 600

GateVerdict = Literal["same_or_faster", "slower", "undecided"]
Side = Literal["kernel", "baseline"]
VERDICTS: Mapping[Answer, GateVerdict] = {"above": "same_or_faster", "below": "slower", "undecided": "undecided"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How much slower a kernel may be (``max_slowdown`` 1.01: 1 %), at how many sizes that is asked of it together,
    and for how many seconds it is measured at this one."""

    max_slowdown: float
    sizes: int = 1
    seconds: float = SECONDS_PER_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A kernel against its baseline, at one size.

    ``verdict`` is None where the two could not be compared, because one of them ``failed``. ``slowdown`` is the ratio
    of times, kernel / baseline, by the judge's clock; ``low`` and ``high`` (None: unbounded) are the interval that the
    verdict is read from. ``kernel_ms`` and ``baseline_ms`` are calls by the worker's own clock. ``series`` counts pairs
    of processes, ``seconds`` is the wall time of the measurement, ``detail`` says why it is undecided or what failed.
    """

    verdict: GateVerdict | None = None
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    kernel_ms: float | None = None
    baseline_ms: float | None = None
    series: int = 0
    seconds: float | None = None
    failed: Side | None = None
    detail: str = ""

    @property
    def slower(self) -> bool:
        return self.verdict == "slower"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Comparison:
        return cls(**fields_of(cls, row))


def plan_of_gate(gate: Gate, device: str, call_ms: float) -> Plan:
    """The plan for the question whether a kernel is at least ``1 / max_slowdown`` times as fast as its baseline."""
    looks = len(LOOKS_AT_SERIES)
    return Plan(
        margin=1 / gate.max_slowdown - 1,
        between=between_processes(device, call_ms),
        above_error=SAME_ERROR / looks,
        below_error=FAMILY_ERROR / gate.sizes / looks,
        looks=LOOKS_AT_SERIES,
        seconds=gate.seconds,
        repeats_disturbed=True,
    )


def told_by(verdict: Verdict) -> dict[str, Any]:
    """Fields of ``Comparison``: a speed-up is turned into a slowdown."""
    assert verdict.answer is not None
    found = verdict.estimate
    told: dict[str, Any] = {"verdict": VERDICTS[verdict.answer], "series": verdict.series}
    told |= {"slowdown": 1 / found.speedup, "low": 1 / found.high, "high": 1 / found.low if found.low > 0 else None}
    if verdict.answer == "undecided":
        told["detail"] = verdict.because
    return told
