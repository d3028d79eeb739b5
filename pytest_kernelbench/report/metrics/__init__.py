"""Metrics of one strategy by name, as ``--kernelbench-fail-under`` and ``[gate]`` take them.

=====================  ==========================================================================
``fast_P``             tasks whose chosen kernel is verified to be over P times as fast
``fast_P_sample``      the same of a single sample: mean over tasks of the rate among its samples
``fast_P_any``         tasks with at least one such sample among the K, on first timings
``..._raw``            each of these by the point estimate alone, as the literature counts
``solved``             tasks for which a correct kernel was chosen
``any_correct``        tasks with at least one correct sample
``correct``            mean over tasks of the rate of correct samples
``geomean_speedup``    of the chosen kernels, a task without one counting as 1.0
``mean_speedup``       the same, arithmetic
``median_speedup``     the same, median
``floor_share``        of the chosen kernels, the physical floor over their time, where a floor is known
``fast_1_compile``     tasks whose chosen kernel is verified to be faster than ``torch.compile`` of the reference
``geomean_speedup_compile``
                       of the chosen kernels over ``torch.compile`` of the reference
``sol_score``          share of the way from the reference to the floor that the chosen kernels went, a task without
                       one counting as 0, where a floor is known
=====================  ==========================================================================

P is 0, 0.5, 1, 1.5 or 2. Every task that was asked for is in the denominators of choices (``fast_P``, ``solved``, means
of speed-ups); rates of samples are of the judged ones, and a gate on them fails where a task has none. To add a metric:
write ``report/metrics/<name>.py`` and add its line to ``METRICS``. A metric is None where there is nothing to measure.
"""

from __future__ import annotations

from functools import partial

from pytest_kernelbench.report.metrics.against import (
    fast_beside,
    geomean_beside,
    is_fast_beside,
    speedup_beside,
    was_timed_beside,
)
from pytest_kernelbench.report.metrics.correctness import any_correct, correct_rate, correct_rates, solved, void_counts
from pytest_kernelbench.report.metrics.fast_p import (
    THRESHOLDS,
    fast_p,
    fast_p_any,
    fast_p_per_sample,
    sample_rates,
    selection_is_fast,
)
from pytest_kernelbench.report.metrics.floor import floor_share, floor_share_of, headroom_of, timing_of_choice
from pytest_kernelbench.report.metrics.gates import Gate, Metric, gate_from, gates_of
from pytest_kernelbench.report.metrics.results import Sample, StrategyResults, TaskResults, mean, verifiable
from pytest_kernelbench.report.metrics.sol_score import sol_score, sol_score_of
from pytest_kernelbench.report.metrics.speedup import (
    geomean_speedup,
    mean_speedup,
    median_speedup,
    retained_speedup,
    speedup_of,
    speedups,
)
from pytest_kernelbench.strategy import Strategy

METRICS: dict[str, Metric] = {
    **{
        f"fast_{p:g}{of}{reading}": partial(function, p=p, verified=not reading)
        for of, function in (("", fast_p), ("_sample", fast_p_per_sample), ("_any", fast_p_any))
        for p in THRESHOLDS
        for reading in ("", "_raw")
    },
    "solved": solved,
    "any_correct": any_correct,
    "correct": correct_rate,
    "geomean_speedup": geomean_speedup,
    "mean_speedup": mean_speedup,
    "median_speedup": median_speedup,
    "floor_share": floor_share,
    "sol_score": sol_score,
    "fast_1_compile": partial(fast_beside, baseline="compile"),
    "geomean_speedup_compile": partial(geomean_beside, baseline="compile"),
}

# Values from 0 to 1. ``floor_share`` is above 1 where a CPU's caches beat the floor.
SHARES = frozenset(METRICS) - {
    *("geomean_speedup", "mean_speedup", "median_speedup", "geomean_speedup_compile", "floor_share"),
}

__all__ = [
    "METRICS",
    "SHARES",
    "THRESHOLDS",
    "Gate",
    "Metric",
    "Sample",
    "StrategyResults",
    "TaskResults",
    "correct_rates",
    "failed_gates",
    "floor_share_of",
    "headroom_of",
    "is_fast_beside",
    "mean",
    "parse_gate",
    "retained_speedup",
    "sample_rates",
    "selection_is_fast",
    "sol_score_of",
    "speedup_beside",
    "speedup_of",
    "speedups",
    "strategy_gates",
    "timing_of_choice",
    "verifiable",
    "void_counts",
    "was_timed_beside",
]


def parse_gate(text: str) -> Gate:
    """``fast_1:0.8`` as a gate. Raises UsageError for an unknown metric or an impossible value."""
    return gate_from(text, METRICS, SHARES)


def strategy_gates(strategy: Strategy) -> list[Gate]:
    """The gates of a strategy's ``[gate]`` table. Raises StrategyError for an unknown metric or an impossible value."""
    return gates_of(strategy, METRICS, SHARES)


def failed_gates(results: StrategyResults, gates: list[Gate]) -> list[str]:
    """One line for each gate that is missed; a metric that was not measured misses its gate."""
    return [line for gate in gates if (line := gate.failure(results, METRICS)) is not None]
