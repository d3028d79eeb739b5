"""The command line: pytest's options to a frozen ``RunOptions``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.registries import PROTOCOLS
from pytest_kernelbench.strategy import Strategy, load_strategies
from pytest_kernelbench.strategy.primary import parse_primary

if TYPE_CHECKING:
    from pytest_kernelbench.report.metrics import Gate

DEFAULT_POLICY = "tiny"
DEFAULT_TASKS = "level1:subset1"
RUNS = Path(".kernelbench", "runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What this run was asked for.

    ``tasks`` are selectors, empty when the command line named none. ``device`` and ``sizes`` may still be
    ``auto``; ``judges`` is the address of a server that judges, None for this machine; ``null`` is None where the
    protocol decides. ``shard`` is (i, n), counted from 1. ``pins`` are the
    kernels kept for each strategy that evaluates such, by task id. ``gates`` are those of each strategy, its own and
    the command line's. ``primary`` is the comparison that was named, ``primary_by`` the option or else the
    first strategy that names one.
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
    small: Path | None = None
    gates: Mapping[str, list[Gate]] = field(default_factory=dict)
    null: bool | None = None
    shard: tuple[int, int] = (1, 1)
    pins: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of the command line and its twin in pytest's configuration file.

    ``default`` holds where neither names a value; ``many``: the option is repeatable and the twin is a list.
    """

    name: str
    help: str
    default: Any = None
    many: bool = False
    kind: Callable[[str], Any] = str
    choices: Sequence[str] | None = None
    metavar: str | None = None

    @property
    def destination(self) -> str:
        """Its name in ``config.option``."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def ini(self) -> str:
        """``kernelbench_tasks`` for ``--tasks``, ``kernelbench_seed`` for ``--kernelbench-seed``."""
        return f"kernelbench_{self.destination.removeprefix('kernelbench_')}"

    def read(self, text: str) -> Any:
        """The value of ``text`` in the configuration file. Raises pytest.UsageError."""
        if self.choices and text not in self.choices:
            raise pytest.UsageError(f"{self.ini} = {text}: no such choice; there are {', '.join(self.choices)}")
        try:
            return self.kind(text)
        except (KeyError, ValueError):
            raise pytest.UsageError(f"{self.ini} = {text}: write it as {self.name} takes it") from None


CONFIGURED = "kernelbench_configured"
BOOLEANS = {"true": True, "false": False}
OPTIONS = (
    Option(name="--strategy", help="strategies by name or TOML file", many=True, metavar="NAME,..."),
    Option(name="--policy", help="where candidates come from: tiny (default), hf:ID, replay:FILE.jsonl, ..."),
    Option(name="--tasks", help=f"default: {DEFAULT_TASKS}", many=True, metavar="SELECTOR,..."),
    Option(name="--kernelbench-set", help="override: sampling.k=16", many=True, metavar="KEY=VALUE"),
    Option(name="--kernelbench-seed", help="seed of everything that draws", default=0, kind=int, metavar="N"),
    Option(name="--kernelbench-device", help="default: auto", default="auto", choices=("auto", "cpu", "cuda")),
    Option(
        name="--kernelbench-policy-gpus", help="GPUs for policies alone, from 0; default: the judge's", metavar="I,..."
    ),
    Option(name="--kernelbench-sizes", help="auto: full on a GPU", default="auto", choices=("auto", "full", "small")),
    Option(name="--kernelbench-small", help="TOML file of small sizes, before the tasks' own", metavar="FILE"),
    Option(name="--kernelbench-protocol", help="default: the strategy's", choices=tuple(PROTOCOLS)),
    Option(
        name="--kernelbench-judges",
        help="a server that judges (python -m pytest_kernelbench serve); sampling hosts then need no GPU",
        metavar="URL",
    ),
    Option(
        name="--kernelbench-primary",
        help="the comparison to be believed, said before: surprisal-top3:random-top3:success",
        metavar="SELECTOR:CONTROL:OUTCOME",
    ),
    Option(name="--kernelbench-run", help="run folder; one that exists is resumed", metavar="DIR"),
    Option(name="--kernelbench-fail-under", help="repeatable", many=True, metavar="METRIC:VALUE"),
    Option(name="--kernelbench-shard", help="of every N tasks, the I-th: 1/4 to 4/4 on four hosts", metavar="I/N"),
)
NULL = Option(
    name="--kernelbench-null",
    help="also judge the reference against itself (default: in protocol full)",
    kind=BOOLEANS.__getitem__,
    choices=tuple(BOOLEANS),
)


def add_options(parser: pytest.Parser) -> None:
    """Declare every option of this plugin, and its twin in ``[tool.pytest.ini_options]``."""
    group = parser.getgroup("kernelbench", "GPU kernels: sample, check, time and select")
    for each in OPTIONS:
        # No defaults here: what the command line does not name, the configuration file may.
        kind = {} if each.many else {"type": each.kind, "choices": each.choices}
        action = "append" if each.many else "store"
        group.addoption(each.name, action=action, default=None, help=each.help, metavar=each.metavar, **kind)
    group.addoption(NULL.name, action="store_true", default=None, help=NULL.help)
    group.addoption("--no-kernelbench-null", action="store_false", dest=NULL.destination, help="do not")
    for each in (*OPTIONS, NULL):
        kind = "linelist" if each.many else "string"
        parser.addini(each.ini, f"as {each.name}, which goes before it", type=kind, default=None)


def fill_in(config: pytest.Config) -> None:
    """Give each option that the command line does not name the configuration file's value, or its default.

    ``config.option.kernelbench_configured`` then says whether the strategy comes from the configuration file (or
    ``addopts``) and not from the command line. xdist hands all of it to its workers.
    """
    if not hasattr(config.option, CONFIGURED):
        named = any(str(each).partition("=")[0] == "--strategy" for each in config.invocation_params.args)
        setattr(config.option, CONFIGURED, not named)
    for each in (*OPTIONS, NULL):
        if getattr(config.option, each.destination, None) is not None:
            continue
        told = config.getini(each.ini)
        if each.many:
            value: Any = [each.read(text) for text in told or ()]
        else:
            value = each.default if told in (None, "") else each.read(told)
        setattr(config.option, each.destination, value)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Our usage errors as pytest's: one line and exit status 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def refuse_without_strategy(config: pytest.Config) -> None:
    """Raise pytest.UsageError for an option of ours on the command line, which does nothing without ``--strategy``.

    In ``addopts`` it may stand for the runs that have one.
    """
    given = (str(each).partition("=")[0] for each in config.invocation_params.args)
    ours = ("--policy", "--tasks", "--kernelbench-", "--no-kernelbench-")
    name = next((each for each in given if each in ours[:2] or each.startswith(ours[2:])), None)
    if name is not None:
        raise pytest.UsageError(f"{name}: does nothing without --strategy, as in --strategy=surprisal-top3")


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
        from pytest_kernelbench.policies import check_policy

        strategies = load_strategies(
            option.strategy,
            folders=[here / "strategies", config.rootpath / "strategies", data_folder("strategies")],
            overrides=overrides,
        )
        if not strategies:
            raise UsageError("--strategy: no strategy named; give one, as in --strategy=surprisal-top3")
        own_policies = [each.sampling.policy for each in strategies]
        # Strategies that all bring the same one need no other.
        policy = option.policy or (own_policies[0] if len(set(own_policies)) == 1 else "") or DEFAULT_POLICY
        for each in {policy, *filter(None, own_policies)}:
            check_policy(each)
        return RunOptions(
            strategies=tuple(strategies),
            policy=policy,
            **_primary(option.kernelbench_primary, strategies),
            tasks=tuple(option.tasks),
            seed=option.kernelbench_seed,
            device=option.kernelbench_device,
            sizes=option.kernelbench_sizes,
            small=here / Path(option.kernelbench_small).expanduser() if option.kernelbench_small else None,
            run=run or _run_folder(option.kernelbench_run, here, config.invocation_params.args),
            judges=option.kernelbench_judges,
            gates=_gates(option.kernelbench_fail_under, strategies),
            null=option.kernelbench_null,
            shard=parse_shard(option.kernelbench_shard),
            pins=_pins(strategies, option.policy),
        )


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
    """Device and sizes; what was left to ``auto`` is as the resumed run has it. Raises UsageError.

    So a run of which nothing is left to do asks no device, and loads no torch.
    """
    recorded = recorded or {}
    device = options.device
    if device == "auto" and recorded.get("device_kind"):
        device = recorded["device_kind"]
    elif device == "auto" or not recorded:
        device = _device_asked(options, device)
    sizes = options.sizes
    if sizes == "auto":
        sizes = recorded.get("sizes") or ("full" if device == "cuda" else "small")
    return device, sizes


def _device_asked(options: RunOptions, device: str) -> str:
    """The kind of device that judges: this machine's, or that of the server. Raises UsageError and HarnessError."""
    if options.judges is not None:
        from pytest_kernelbench.serving.client import settings_of

        return str(settings_of(options.judges)["device"])
    from pytest_kernelbench.evaluation import resolve_device

    return resolve_device(device)


def _run_folder(named: str | None, here: Path, arguments: Sequence[object]) -> Path:
    if named is not None:
        return here / Path(named).expanduser()
    tag = sha256_of(" ".join(map(str, arguments)))[:6]
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{tag}"
    folder, count = here / RUNS / stem, 1
    while folder.exists():
        count += 1
        folder = here / RUNS / f"{stem}-{count}"
    return folder


def keep_out_of_git(run: Path) -> None:
    """Let git ignore ``run``, a folder that nobody named, and all that lie beside it."""
    folder = run.parents[len(RUNS.parts) - 1]
    file = folder / ".gitignore"
    if not file.exists():
        file.write_text("# Written by pytest-kernelbench.\n*\n", encoding="utf-8")


def _gates(texts: Sequence[str], strategies: Sequence[Strategy]) -> dict[str, list[Gate]]:
    from pytest_kernelbench.report.metrics import parse_gate, strategy_gates

    for_all = [parse_gate(text) for text in texts]
    return {each.name: [*for_all, *strategy_gates(each)] for each in strategies}
