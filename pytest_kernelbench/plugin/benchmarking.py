"""Device times of the chosen kernels as entries of pytest-benchmark, with xdist and without.

The process that runs an item attaches the item's times to its report. The process that owns the session makes entries
of pytest-benchmark from them before pytest-benchmark saves and compares. Files, tables and gates are therefore the same
with xdist and without. (pytest-benchmark switches itself off under xdist because it times on the host. This plugin's
times are measured on the device.)

Uses two private parts of pytest-benchmark: ``config._benchmarksession`` and ``pytest_benchmark.stats.Metadata``. Both
have been the same since version 5.1.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.pinned.regressions import SAME_TEXT, Baseline, Baselines
from pytest_kernelbench.plugin.collection import KernelItem

Entry = dict[str, Any]

# Columns of pytest-benchmark that say how long a kernel takes. stddev and iqr are left out: they say how evenly.
LOCATIONS = ("min", "max", "mean", "median")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One ``--benchmark-compare-fail``: ``median:5%``, or ``mean:0.001`` in seconds."""

    field: str
    percent: float | None
    seconds: float | None

    def __str__(self) -> str:
        return f"{self.field}:{self.percent:g}%" if self.percent is not None else f"{self.field}:{self.seconds:g}"

    def failure(self, stats: Mapping[str, float], baseline: Baseline) -> str | None:
        """One line if the check fails, else None. Compares the two rows' seconds, as pytest-benchmark does."""
        before, now = baseline.stats[self.field], stats[self.field]
        limit = before + (self.seconds or 0.0) if self.percent is None else before * (1 + self.percent / 100)
        if now <= limit:
            return None
        by = f"{100 * (now / before - 1):.1f} % over" if before else "over"
        return f"{self.field} {_time(now)} is {by} the {_time(before)} of {baseline.file} (gate {self})"


ONLY = pytest.StashKey[bool]()


def before_pytest_benchmark(config: pytest.Config) -> None:
    """Change options that pytest-benchmark would refuse or act on twice. Call it before that plugin is configured."""
    option = config.option
    # pytest-benchmark refuses --benchmark-only under xdist. ``bridge_for`` sets the option again.
    config.stash[ONLY] = getattr(option, "benchmark_only", False)
    if config.stash[ONLY]:
        option.benchmark_only = False
    # Up to 5.2 pytest-benchmark warns when it is configured; from 5.3 on, when it switches itself off.
    warnings.filterwarnings("ignore", "Benchmarks are automatically disabled because xdist")
    if hasattr(config, "workerinput"):
        # An xdist worker only reads baselines. The controller saves and prints.
        for name, value in (("json", None), ("save", None), ("autosave", None), ("histogram", []), ("quiet", True)):
            if hasattr(option, f"benchmark_{name}"):
                setattr(option, f"benchmark_{name}", value)
        if not getattr(option, "benchmark_compare_fail", None):
            option.benchmark_compare = []  # without a gate, nothing looks at the baseline here


def bridge_for(config: pytest.Config) -> BenchmarkBridge | None:
    """Make and register the bridge; None without pytest-benchmark. Raises UsageError for options it cannot keep."""
    session = getattr(config, "_benchmarksession", None)
    if session is None:
        return None
    _refuse_what_would_be_lost(config)
    if config.stash[ONLY]:
        config.option.benchmark_only = session.only = True
        session.skip = False
    bridge = BenchmarkBridge(config, session)
    config.pluginmanager.register(bridge, "kernelbench-benchmarks")
    return bridge


def _refuse_what_would_be_lost(config: pytest.Config) -> None:
    """Raise UsageError for a gate that pytest-benchmark drops in silence, and for a picture that it cannot draw."""
    gates = [each for each in map(str, config.invocation_params.args) if each.startswith("--benchmark-compare-fail")]
    if len(gates) > 1:
        raise UsageError(
            "--benchmark-compare-fail: given twice, and only the last would count; "
            "give all at once, as in --benchmark-compare-fail median:2% max:20%"
        )
    if config.option.benchmark_histogram and find_spec("pygal") is None:
        raise UsageError("--benchmark-histogram: needs pygal; pip install 'pytest-benchmark[histogram]'")


def _missing(named: Any) -> str:
    """Why pytest-benchmark found no run to compare with under the name given to --benchmark-compare, if any was."""
    if not isinstance(named, str):
        return "needs a baseline"
    with suppress(OSError):  # no file, but the name or number of a saved run
        try:
            json.loads(Path(named).read_bytes())
        except ValueError as error:
            return f"--benchmark-compare={named} is not JSON ({error})"
    return f"--benchmark-compare={named} names no saved run"


class BenchmarkBridge:
    """Hooks around pytest-benchmark's, for a session with ``--strategy``. The constructor raises UsageError."""

    def __init__(self, config: pytest.Config, session: Any) -> None:
        self.config = config
        self.session = session
        self.worker = hasattr(config, "workerinput")
        self.entries: dict[str, Entry] = {}
        self.lines: list[str] = []
        self.failures: list[str] = []
        self.checks = tuple(map(_check_of, self.session.compare_fail or ()))
        # These checks are made here, so that a missed one is a line and not a traceback.
        self.session.compare_fail = None
        for each in self.checks:
            if each.field in LOCATIONS and each.percent is not None and each.percent <= 0:
                raise UsageError(
                    f"--benchmark-compare-fail={each}: no measurement shows that two times are equal; "
                    f"give {each.field}:1% or more"
                )
        if self.checks and not self.session.compared_mapping:
            missing = _missing(self.session.compare)
            raise UsageError(
                f"--benchmark-compare-fail={self.checks[0]}: {missing}; save one with --benchmark-json=FILE, then name "
                "it with --benchmark-compare=FILE (or with --benchmark-save=NAME, and its number)"
            )

    @property
    def enabled(self) -> bool:
        option = self.config.option
        return option.benchmark_enable or not option.benchmark_disable

    @property
    def wanted(self) -> bool:
        """Whether the command line has any ``--benchmark-...`` option. Without one no table is printed."""
        from_environment = os.environ.get("PYTEST_ADDOPTS", "").split()
        arguments = [*self.config.invocation_params.args, *self.config.getini("addopts"), *from_environment]
        return self.enabled and any(str(each).startswith("--benchmark-") for each in arguments)

    @property
    def baselines(self) -> Baselines:
        """The baselines of kept kernels: the latest saved row of each item, and the strictest limit on its time."""
        if not self.checks:
            return Baselines()
        names = dict.fromkeys(name for rows in self.session.compared_mapping.values() for name in rows)
        saved = {name: baseline for name in names if (baseline := self._baseline(name))}
        limits = [each.percent for each in self.checks if each.field in LOCATIONS and each.percent is not None]
        return Baselines(saved=saved, max_slowdown=1 + min(limits) / 100 if limits else None)

    # Selecting

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        ours = [item for item in items if isinstance(item, KernelItem)]
        for item in ours:
            # --benchmark-only and --benchmark-skip go by the fixture's name.
            item.fixturenames.append("benchmark")
        try:
            yield
        finally:
            for item in ours:
                item.fixturenames.remove("benchmark")
        if not any("benchmark" in fixtures_of(item) and "kernel_pool" not in fixtures_of(item) for item in items):
            self.session.xdist_benchmark_found = False  # there is nothing that is switched off

    def skips(self, item: pytest.Item) -> bool:
        """Whether ``--benchmark-skip`` keeps ``item`` from running."""
        return self.session.skip and (isinstance(item, KernelItem) or "benchmark" in fixtures_of(item))

    # From the item to the owner of the session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        entry = getattr(item, "entry", None)
        if call.when == "call" and entry is not None and self.enabled:
            # Builtin values only, checked here: a bad one must not end the run on its way to the controller.
            report.kernelbench_entry = json.loads(json.dumps(entry))  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        entry = getattr(report, "kernelbench_entry", None)
        if entry is not None:
            self.entries[entry["fullname"]] = entry

    # The end

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if self.worker:
            self.session.benchmarks.clear()
        elif self.wanted:
            entries = [self.entries[name] for name in sorted(self.entries, key=_natural)]
            host_timed = list(self.session.benchmarks)
            self.session.benchmarks += map(_metadata, entries)
            if self.checks:
                self._compare(entries, host_timed)
            if self.failures and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.lines:
            terminalreporter.write_line(line)
        for line in self.failures:
            terminalreporter.write_line(f"kernelbench: {line}", red=True)

    def _compare(self, entries: list[Entry], host_timed: list[Any]) -> None:
        """Fill ``lines`` and ``failures``. A kernel that was timed in turns with its baseline was gated in its item."""
        without: list[str] = []
        same_text = by_pairs = by_seconds = 0
        for name, stats, entry in [
            *((each["fullname"], _metadata(each), each) for each in entries),
            *((each.fullname, each, None) for each in host_timed),
        ]:
            baseline = self._baseline(name)
            if baseline is None:
                without.append(name)
                continue
            checks = self.checks
            if entry is not None and "compared" in entry:
                same_text += entry["compared"] == SAME_TEXT
                by_pairs += entry["compared"] != SAME_TEXT
                self.lines.append(f"{name}: {entry['compared']}")
                checks = tuple(each for each in checks if each.field not in LOCATIONS)
            else:
                by_seconds += 1
                if entry is not None and "not_compared" in entry:
                    self.lines.append(f"{name}: cannot take turns with its baseline: {entry['not_compared']}")
            device = entry["extra_info"]["device"] if entry is not None else baseline.device
            if checks and baseline.device != device:
                self.failures.append(
                    f"{name}: {baseline.file} was timed on {baseline.device}, this is {device}; save a baseline here"
                )
                continue
            self.failures += [f"{name}: {line}" for each in checks if (line := each.failure(stats, baseline))]
        counts = {
            "of the same text": same_text,
            "in turns with the baseline": by_pairs,
            "by recorded times": by_seconds,
            "without a baseline": len(without),
        }
        self.lines.append("compared: " + (", ".join(f"{n} {how}" for how, n in counts.items() if n) or "nothing"))
        if without:
            self.lines.append(f"no baseline, so no gate: {', '.join(without)}")
        if without and not same_text + by_pairs + by_seconds:
            files = ", ".join(Path(path).name for path in self.session.compared_mapping)
            self.failures.append(f"nothing of this run is in {files}, so no gate was applied; save a new baseline")

    def _baseline(self, name: str) -> Baseline | None:
        for path, rows in reversed(self.session.compared_mapping.items()):
            if name in rows:
                told = rows[name].get("extra_info") or {}
                return Baseline(
                    file=Path(path).name,
                    stats=rows[name]["stats"],
                    source=told.get("source"),
                    device=told.get("device"),
                    task=(rows[name].get("params") or {}).get("task"),
                )
        return None


def fixtures_of(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))


def _check_of(check: Any) -> Check:
    relative = type(check).__name__ == "PercentageRegressionCheck"
    return Check(
        field=check.field,
        percent=check.threshold if relative else None,
        seconds=None if relative else check.threshold,
    )


def _metadata(entry: Entry) -> Any:
    from pytest_benchmark.stats import Metadata

    fixture = SimpleNamespace(
        **{key: entry[key] for key in ("name", "fullname", "group", "params", "extra_info")},
        param=None,
        cprofile_stats=None,
        has_error=False,
    )
    metadata = Metadata(fixture, iterations=1, options={"timer": "device"})
    for ms in entry["times_ms"]:
        metadata.update(ms / 1e3)
    return metadata


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
