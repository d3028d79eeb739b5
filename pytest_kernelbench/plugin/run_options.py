"""The options of a run with ``--strategy``, read and checked: a frozen ``RunOptions``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation.baselines import EAGER, parse_baselines, stronger
from pytest_kernelbench.evaluation.device.names import check_device, sizes_on
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.pinned.gates import GateOptions
from pytest_kernelbench.plugin.options import fill_in, one_line_errors
from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.strategy import Strategy, load_strategies
from pytest_kernelbench.strategy.primary import parse_primary

if TYPE_CHECKING:
    from pytest_kernelbench.report.metrics import Gate

DEFAULT_POLICY = "tiny"
RUNS = Path(".kernelbench", "runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of one run, checked.

    ``tasks``: selectors; empty if none were named. ``device`` and ``sizes``: may still be ``auto``. ``judges``: the
    address of a server that judges; None for this machine. ``baselines``: what chosen candidates are timed against,
    eager PyTorch first. ``null``: whether the reference is also judged against itself; None if the protocol decides.
    ``shard``: (i, n), counted from 1. ``pins``: for each strategy that evaluates kernel files, these files by task id.
    ``gate_options``: how kernel files are gated. ``gates``: the metrics' gates of each strategy, from its file and from
    the command line. ``primary``: the primary comparison; ``primary_by``: the option or the strategy that names it.
    """

    strategies: tuple[Strategy, ...]
    policy: str
    primary: str | None = None
    primary_by: str | None = None
    tasks: tuple[str, ...]
    seed: int
    device: str
    sizes: str
    run: Path
    judges: str | None = None
    baselines: tuple[str, ...] = (EAGER,)
    small: Path | None = None
    gates: Mapping[str, list[Gate]] = field(default_factory=dict)
    null: bool | None = None
    shard: tuple[int, int] = (1, 1)
    pins: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    gate_options: GateOptions = field(default_factory=GateOptions)


def read_options(config: pytest.Config, *, run: Path | None = None) -> RunOptions:
    """The options of a run with ``--strategy``; ``run`` is the folder that an xdist controller decided on.

    Raises pytest.UsageError.
    """
    fill_in(config)
    option = config.option
    here = config.invocation_params.dir
    overrides = list(option.kernelbench_set)
    if option.kernelbench_protocol:
        overrides.append(f"evaluation.protocol={option.kernelbench_protocol}")
    with one_line_errors():
        from pytest_kernelbench.policies import AT, check_policy

        strategies = load_strategies(
            option.strategy,
            folders=[here / "strategies", config.rootpath / "strategies", data_folder("strategies")],
            overrides=overrides,
        )
        if not strategies:
            raise UsageError("--strategy: no strategy named; give one, as in --strategy=surprisal-top3")
        own_policies = [each.sampling.policy for each in strategies]
        # If all strategies name the same policy, it is the run's policy too.
        policy = option.policy or (own_policies[0] if len(set(own_policies)) == 1 else "") or DEFAULT_POLICY
        # The run's policy may be the strategies'; then a strategy is where it is written.
        theirs = {each.sampling.policy: f"strategy {each.name}: [sampling] policy = " for each in strategies}
        for spec, at in {policy: AT, **theirs}.items():
            if spec:
                check_policy(spec, at)
        check_device(option.kernelbench_device, "--kernelbench-device")
        return RunOptions(
            strategies=tuple(strategies),
            policy=policy,
            **_primary(option.kernelbench_primary, strategies),
            tasks=tuple(option.tasks),
            seed=option.kernelbench_seed,
            device=option.kernelbench_device,
            sizes=option.kernelbench_sizes,
            small=_path("--kernelbench-small", option.kernelbench_small, here),
            run=run or _run_folder(option.kernelbench_run, here, config.invocation_params.args),
            judges=option.kernelbench_judges,
            baselines=_baselines(option.kernelbench_baseline, option.kernelbench_judges),
            gates=_gates(option.kernelbench_fail_under, strategies),
            null=option.kernelbench_null,
            shard=parse_shard(option.kernelbench_shard),
            pins=_pins(strategies, option.policy),
            gate_options=_gate_options(option, here),
        )


def _baselines(named: str, judges: str | None) -> tuple[str, ...]:
    option = f"--kernelbench-baseline={named}"
    baselines = parse_baselines(named, option)
    if judges is not None and stronger(baselines):
        raise UsageError(f"{option}: a server judges against {EAGER} alone; leave out --kernelbench-judges={judges}")
    return baselines


def _gate_options(option: Any, here: Path) -> GateOptions:
    sizes, seconds = option.kernelbench_gate_sizes, option.kernelbench_gate_seconds
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--kernelbench-gate-seconds={seconds:g}: no time to measure in; give 60 for a minute a size")
    return GateOptions(
        sizes=_path("--kernelbench-gate-sizes", sizes, here),
        undecided=option.kernelbench_undecided,
        seconds=seconds,
    )


def _path(option: str, text: str | None, here: Path) -> Path | None:
    return _expanded(option, text, here) if text else None


def _expanded(option: str, text: str, here: Path) -> Path:
    """A path as seen from ``here``. Raises UsageError for ``~user`` if there is no such user."""
    try:
        return here / Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{option}={text}: there is no such home folder; write the path without ~") from error


def _primary(named: str | None, strategies: Sequence[Strategy]) -> dict[str, str]:
    if named:
        option = f"--kernelbench-primary={named}"
        return {"primary": str(parse_primary(named, option)), "primary_by": "--kernelbench-primary"}
    first = next((each for each in strategies if each.primary), None)
    return {} if first is None else {"primary": first.primary, "primary_by": f"strategy {first.name}"}


def _pins(strategies: Sequence[Strategy], policy: str | None) -> dict[str, dict[str, Path]]:
    from pytest_kernelbench.policies.pinned import folder_of, pins_in

    folders = {each.name: folder_of(each.sampling.policy or policy or "") for each in strategies}
    return {name: pins_in(folder) for name, folder in folders.items() if folder is not None}


def parse_shard(text: str | None) -> tuple[int, int]:
    """``2/8`` as (2, 8). Raises UsageError."""
    if text is None:
        return 1, 1
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise UsageError(f"--kernelbench-shard={text}: write I/N with I from 1 to N, as in 2/8")
    return int(i), int(n)


def resolve(options: RunOptions, recorded: Mapping[str, Any] | None) -> tuple[str, str]:
    """Name of the device, and sizes (``full`` or ``small``). Raises UsageError.

    Instead of ``auto``, a resumed run takes its ``recorded`` values. A finished run that is resumed therefore looks for
    no device and does not import torch.
    """
    recorded = recorded or {}
    device = options.device
    if device == "auto" and recorded.get("device_kind"):
        device = recorded["device_kind"]
    elif device == "auto" or not recorded:
        device = _device_asked(options, device)
    sizes = options.sizes
    if sizes == "auto":
        sizes = recorded.get("sizes") or sizes_on(device)
    return device, sizes


def _device_asked(options: RunOptions, device: str) -> str:
    """The kind of device that judges: this machine's, or that of the server. Raises UsageError."""
    if options.judges is not None:
        from pytest_kernelbench.serving.client import settings_of

        if not options.judges.startswith(("http://", "https://")):
            raise UsageError(f"--kernelbench-judges={options.judges}: not an address; write http://HOST:PORT")
        try:
            return str(settings_of(options.judges)["device"])
        except HarnessError as error:
            raise UsageError(f"--kernelbench-judges={error}") from error
    from pytest_kernelbench.evaluation import resolve_device

    return resolve_device(device, "--kernelbench-device")


def _run_folder(named: str | None, here: Path, arguments: Sequence[object]) -> Path:
    if named is not None:
        return _expanded("--kernelbench-run", named, here)
    tag = sha256_of(" ".join(map(str, arguments)))[:6]
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{tag}"
    folder, count = here / RUNS / stem, 1
    while folder.exists():
        count += 1
        folder = here / RUNS / f"{stem}-{count}"
    return folder


def keep_out_of_git(run: Path) -> None:
    """Write a ``.gitignore`` into the default folder of runs, in which ``run`` lies."""
    folder = run.parents[len(RUNS.parts) - 1]
    file = folder / ".gitignore"
    if not file.exists():
        file.write_text("# Written by pytest-kernelbench.\n*\n", encoding="utf-8")


def _gates(texts: Sequence[str], strategies: Sequence[Strategy]) -> dict[str, list[Gate]]:
    from pytest_kernelbench.report.metrics import parse_gate, strategy_gates

    for_all = [parse_gate(text) for text in texts]
    return {each.name: [*for_all, *strategy_gates(each)] for each in strategies}
