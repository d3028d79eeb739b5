"""A kept kernel at each size that its task is gated on: checked, timed, and compared with its baseline. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.records import Evaluation, Task, sha256_of
from pytest_kernelbench.tasks.gate_sizes import GateSize, gate_sizes

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.clock.gates import Comparison
    from pytest_kernelbench.strategy import Strategy
    from pytest_kernelbench.workbench import Workbench

OWN_SIZE = "its own size"
# Beside a spent budget a size is still looked at, for two pairs of processes or so.
LEAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """Settings of the gate on kept kernels. ``sizes``: a file of further sizes, besides the tasks' own.

    ``undecided``: whether an item with an undecided comparison passes or fails. ``seconds``: the time for each size
    (None: a minute); time that one size does not use is available to the next ones, of which each may take ten minutes.
    """

    sizes: Path | None = None
    undecided: Literal["pass", "fail"] = "pass"
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A kernel to be gated. ``baseline`` is the source that it is compared with, None: it is checked and timed only.

    ``max_slowdown`` is the factor by which it may be slower.
    """

    task: Task
    strategy: Strategy
    source: str
    baseline: str | None = None
    max_slowdown: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AtSize:
    """The result at one size, named as in ``GateSize``. ``evaluation`` is None for the run's own size, whose
    evaluation the item has; ``comparison`` is None where there is nothing to compare."""

    size: str
    evaluation: Evaluation | None = None
    comparison: Comparison | None = None

    @property
    def where(self) -> str:
        return self.size or OWN_SIZE

    @property
    def wrong(self) -> str | None:
        """Why the kernel is not correct at this size; None where it is."""
        if self.evaluation is not None and not self.evaluation.correct:
            return f"{self.evaluation.outcome.value}: {self.evaluation.detail}"
        return self.comparison.detail if self.comparison and self.comparison.failed == "kernel" else None

    def shown(self) -> str:
        """One line: ``correct, 1.31x [1.28, 1.34] the reference's speed; 1.002x the time of its baseline [...]``."""
        if self.wrong is not None:
            return self.wrong
        parts = []
        if self.evaluation is not None and self.evaluation.counted_speedup is not None:
            low, high = self.evaluation.counted_low, self.evaluation.counted_high
            interval = f" [{low:.3g}, {high:.3g}]" if low is not None and high is not None else ""
            parts.append(f"correct, {self.evaluation.counted_speedup:.3g}x{interval} the reference's speed")
        if self.comparison is not None:
            parts.append(shown(self.comparison))
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A kernel at all its sizes. ``seconds`` were spent on turns with the baseline, of ``seconds_limit``."""

    at: Sequence[AtSize]
    seconds: float = 0.0
    seconds_limit: float = 0.0

    @property
    def compared(self) -> list[AtSize]:
        """The sizes at which there is a verdict."""
        return [each for each in self.at if each.comparison is not None and each.comparison.verdict is not None]

    def having(self, verdict: str) -> list[AtSize]:
        """The sizes at which the comparison has this verdict."""
        return [each for each in self.compared if each.comparison and each.comparison.verdict == verdict]

    @property
    def verdict(self) -> str | None:
        """``wrong`` or ``slower`` if it is so at any size, else ``undecided`` if any is; None: nothing to say."""
        if any(each.wrong is not None for each in self.at):
            return "wrong"
        found = (name for name in ("slower", "undecided", "same_or_faster") if self.having(name))
        return next(found, None)

    def failure(self, kept: Kept, options: GateOptions, *, file: str = "") -> str | None:
        """Why the item fails, in one line; ``file`` is the baseline's."""
        wrong = [each for each in self.at if each.wrong is not None]
        if wrong:
            return f"at {wrong[0].where}: {wrong[0].wrong}{_and_more(wrong)}"
        of_file = f" ({file})" if file else ""
        if slower := self.having("slower"):
            worst = max(slower, key=lambda each: each.comparison.slowdown if each.comparison else 0.0)
            place = f"at {worst.size}: " if worst.size else ""
            return f"{place}{worst.shown()}, over the limit of {kept.max_slowdown:g}x{of_file}{_and_more(slower)}"
        if options.undecided == "fail" and (undecided := self.having("undecided")):
            place = f"at {undecided[0].size}: " if undecided[0].size else ""
            return f"{place}{undecided[0].shown()}{of_file}{_and_more(undecided)}"
        return None

    def summary(self) -> str:
        """``3 sizes: 2 same_or_faster, 1 undecided; 41 of at most 180 s in turns with the baseline``.

        More than the limit can be used, see ``gate``: that is said in other words.
        """
        counts = {name: len(self.having(name)) for name in ("slower", "undecided", "same_or_faster")}
        counts["wrong"] = sum(each.wrong is not None for each in self.at)
        told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        sizes = f"{len(self.at)} sizes" if len(self.at) > 1 else "1 size"
        return f"{sizes}{f': {told}' if told else ''}{f'; {self._time_used()}' if self.compared else ''}"

    def _time_used(self) -> str:
        limit = f"{self.seconds_limit:g} s"
        if self.seconds <= self.seconds_limit:
            return f"{self.seconds:.0f} of at most {limit} in turns with the baseline"
        return (
            f"{self.seconds:.1f} s in turns with the baseline, over the limit of {limit}, "
            "because a pair of processes is measured to its end"
        )

    def lines(self) -> list[str]:
        """The lines for each size; empty if there is one size only."""
        several = [f"{each.where}: {each.shown()}" for each in self.at if each.shown()]
        return several if len(self.at) > 1 else []

    def to_json(self, name: str) -> dict[str, Any]:
        """The values for the terminal's summary, of builtin types; ``name`` is the item's."""
        return {"name": name, "verdict": self.verdict, "summary": self.summary(), "lines": self.lines()}

    def properties(self) -> list[tuple[str, object]]:
        """For JUnit's XML: the verdict, the time it took, and a line for each further size."""
        told: list[tuple[str, object]] = [] if self.verdict is None else [("gate", self.verdict)]
        if self.compared:
            told += [("gate_seconds", round(self.seconds, 1)), ("gate_seconds_limit", round(self.seconds_limit, 1))]
            told += [("gate_undecided", len(self.having("undecided")))]
        return [*told, *((f"at {each.where}", each.shown()) for each in self.at if len(self.at) > 1 and each.shown())]


def gate(kept: Kept, options: GateOptions, bench: Workbench, *, further: bool = True) -> Gated:
    """Check, time and compare the kernel at each of its sizes; without ``further`` at the run's own size only.

    No pair of processes begins after its size's seconds, but each size has one, which is measured to its end. Raises
    TaskError and HarnessError, which name the size. Recorded results are used again, but for an undecided comparison
    that may take longer now.
    """
    sizes = gate_sizes(kept.task, options.sizes) if further else [GateSize("", kept.task)]
    from pytest_kernelbench.evaluation.clock.gates import MOST_SECONDS_PER_SIZE, SECONDS_PER_SIZE

    seconds_per_size = options.seconds or SECONDS_PER_SIZE
    limit, most = seconds_per_size * len(sizes), max(seconds_per_size, MOST_SECONDS_PER_SIZE)
    compares = kept.baseline is not None and kept.baseline != kept.source
    spent = 0.0
    found = []
    for place, size in enumerate(sizes):
        try:
            evaluation = _evaluation(kept, size, bench) if size.name else None
            comparison = None
            if compares and (evaluation is None or evaluation.correct):
                seconds = min(most, max(LEAST_SECONDS, (limit - spent) / (len(sizes) - place)))
                comparison = _comparison(kept, size, bench, n_sizes=len(sizes), seconds=seconds)
                spent += comparison.seconds or 0.0
        except HarnessError as error:
            if not size.name:
                raise
            raise HarnessError(f"at {size.name}: {error}", traceback=error.traceback) from error
        found.append(AtSize(size=size.name, evaluation=evaluation, comparison=comparison))
    return Gated(at=found, seconds=spent, seconds_limit=limit if compares else 0.0)


def _evaluation(kept: Kept, size: GateSize, bench: Workbench) -> Evaluation:
    """The kernel beside the reference, at a further size."""
    source_sha256 = sha256_of(kept.source)
    recorded = bench.ledger.evaluation_at(kept.task.id, kept.strategy, size.name, source_sha256)
    if recorded is not None:
        return recorded
    bench.say(f"{kept.task.short_id}: at {size.name}")
    (evaluation,) = bench.evaluator_for(kept.strategy).evaluate(size.task, [kept.source])
    bench.ledger.add_evaluation_at(kept.task.id, kept.strategy, size.name, evaluation)
    return evaluation


def _comparison(kept: Kept, size: GateSize, bench: Workbench, *, n_sizes: int, seconds: float) -> Comparison:
    """The kernel and its baseline in turns."""
    from pytest_kernelbench.evaluation.clock.gates import Comparison

    assert kept.baseline is not None
    key: Mapping[str, Any] = {
        "source_sha256": sha256_of(kept.source),
        "baseline_sha256": sha256_of(kept.baseline),
        "evaluation_sha256": kept.strategy.evaluation_sha256,
        "max_slowdown": f"{kept.max_slowdown:g}",
        "sizes": size.name,
        "n_sizes": n_sizes,
    }
    recorded = bench.ledger.comparison(kept.task.id, key)
    if recorded is not None and not (recorded["verdict"] == "undecided" and seconds > _seconds_given(recorded)):
        return Comparison.from_json(recorded)
    bench.say(f"{kept.task.short_id}: in turns with its baseline{f' at {size.name}' if size.name else ''}")
    comparison = bench.evaluator_for(kept.strategy).compare(
        size.task, kept.source, kept.baseline, max_slowdown=kept.max_slowdown, sizes=n_sizes, seconds=seconds
    )
    bench.ledger.add_comparison(kept.task.id, key, {**comparison.to_json(), "seconds_given": seconds})
    return comparison


def _seconds_given(recorded: Mapping[str, Any]) -> float:
    """How long a recorded comparison might take. Where an earlier version did not say: as long as it took."""
    given: float | None = recorded.get("seconds_given")
    return given if given is not None else recorded.get("seconds") or 0.0


def shown(comparison: Comparison) -> str:
    """``1.102x the time of its baseline [1.094, 1.110]``, and whether that is undecided, or not measured."""
    if comparison.verdict is None:
        return f"not compared, because the {comparison.failed} fails: {comparison.detail}"
    undecided = f"undecided ({comparison.detail})" if comparison.verdict == "undecided" else ""
    if comparison.slowdown is None:
        return undecided
    high = "unbounded" if comparison.high is None else f"{comparison.high:.3f}"
    ratio = f"{comparison.slowdown:.3f}x the time of its baseline [{comparison.low:.3f}, {high}]"
    return f"{ratio}, {undecided}" if undecided else ratio


def _and_more(found: Sequence[AtSize]) -> str:
    more = len(found) - 1
    return f", and at {more} more size{'s' if more > 1 else ''}" if more else ""
