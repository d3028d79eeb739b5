"""The options of the command line, and their twins in pytest's configuration file.

Every pytest run loads this module, so it imports little else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.registries import PROTOCOLS

DEFAULT_TASKS = "level1:subset1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of the command line and its twin in pytest's configuration file.

    ``default`` is the value if neither is given. ``many``: the option is repeatable and the twin is a list. ``path``:
    "always" if a value is a path, "there" if a value counts as a path only if that file or folder exists; paths in the
    configuration file are relative to that file.
    """

    name: str
    help: str
    default: Any = None
    many: bool = False
    kind: Callable[[str], Any] = str
    choices: Sequence[str] | None = None
    metavar: str | None = None
    path: str | None = None

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
            raise pytest.UsageError(f"{self.ini} = {text}: write {KINDS[self.kind]}") from None


KINDS: Mapping[Callable[[str], Any], str] = {int: "a whole number", float: "a number"}
CONFIGURED = "kernelbench_configured"
BOOLEANS = {"true": True, "false": False}
OPTIONS = (
    Option(
        name="--strategy",
        help="strategies by name or TOML file, as in surprisal-top3; without one this plugin does nothing",
        many=True,
        path="there",
        metavar="NAME,...",
    ),
    Option(
        name="--policy", help="where candidates come from: tiny (default), hf:ID, replay:FILE.jsonl, ...", path="there"
    ),
    Option(
        name="--tasks",
        help=f"tasks by level, number, split, file or folder: level1/19, level1:eval; default: {DEFAULT_TASKS}",
        many=True,
        path="there",
        metavar="SELECTOR,...",
    ),
    Option(
        name="--kernelbench-set",
        help="override a setting of the strategies, as in sampling.k=16; repeatable",
        many=True,
        metavar="KEY=VALUE",
    ),
    Option(name="--kernelbench-seed", help="seed of all random draws (default: 0)", default=0, kind=int, metavar="N"),
    Option(
        name="--kernelbench-device",
        help="where candidates are judged: cpu, cuda, or an extension's (default: auto, a GPU if there is one)",
        default="auto",
        metavar="NAME",
    ),
    Option(
        name="--kernelbench-policy-gpus", help="GPUs for policies alone, from 0; default: the judge's", metavar="I,..."
    ),
    Option(
        name="--kernelbench-sizes",
        help="sizes of the tasks' inputs (default: auto, full on a GPU and small on a CPU)",
        default="auto",
        choices=("auto", "full", "small"),
    ),
    Option(
        name="--kernelbench-small",
        help="TOML file of small sizes, before the tasks' own",
        path="always",
        metavar="FILE",
    ),
    Option(
        name="--kernelbench-protocol",
        help="how carefully candidates are checked and timed (default: as each strategy says)",
        choices=tuple(PROTOCOLS),
    ),
    Option(
        name="--kernelbench-baseline",
        help="what chosen kernels are timed against: eager (default, and always), compile (torch.compile)",
        default="eager",
        metavar="NAME,...",
    ),
    Option(
        name="--kernelbench-judges",
        help="a server that judges (python -m pytest_kernelbench serve); sampling hosts then need no GPU",
        metavar="URL",
    ),
    Option(
        name="--kernelbench-primary",
        help="the primary comparison, named before the run: surprisal-top3:random-top3:success",
        metavar="SELECTOR:CONTROL:OUTCOME",
    ),
    Option(name="--kernelbench-run", help="run folder; one that exists is resumed", path="always", metavar="DIR"),
    Option(
        name="--kernelbench-fail-under",
        help="the run fails if a metric is under the value, as in fast_1:0.8; repeatable",
        many=True,
        metavar="METRIC:VALUE",
    ),
    Option(
        name="--kernelbench-gate-sizes",
        help="TOML file of further sizes that kept kernels are gated at, before the tasks' own sizes.toml",
        path="always",
        metavar="FILE",
    ),
    Option(
        name="--kernelbench-undecided",
        help="whether a kept kernel passes or fails if its comparison with the baseline is undecided (default: pass)",
        default="pass",
        choices=("pass", "fail"),
    ),
    Option(
        name="--kernelbench-gate-seconds",
        help="most seconds to time a kept kernel in turns with its baseline, for each size (default: 60)",
        kind=float,
        metavar="SECONDS",
    ),
    Option(name="--kernelbench-shard", help="of every N tasks, the I-th: 1/4 to 4/4 on four hosts", metavar="I/N"),
)
NULL = Option(
    name="--kernelbench-null",
    help="also judge the reference against itself (default: in protocol full)",
    kind=BOOLEANS.__getitem__,
    choices=tuple(BOOLEANS),
)
NOT_NULL = "do not judge the reference against itself, which saves a quarter of the time with one answer a task"


def add_options(parser: pytest.Parser) -> None:
    """Declare every option of this plugin, and its twin in ``[tool.pytest.ini_options]``."""
    group = parser.getgroup("kernelbench", "GPU kernels: sample, check, time and select")
    for each in OPTIONS:
        # No defaults here: ``fill_in`` must see which options the command line does not name.
        kind = {} if each.many else {"type": each.kind, "choices": each.choices}
        action = "append" if each.many else "store"
        group.addoption(each.name, action=action, default=None, help=each.help, metavar=each.metavar, **kind)
    group.addoption(NULL.name, action="store_true", default=None, help=NULL.help)
    group.addoption("--no-kernelbench-null", action="store_false", dest=NULL.destination, help=NOT_NULL)
    for each in (*OPTIONS, NULL):
        kind = "linelist" if each.many else "string"
        parser.addini(each.ini, f"as {each.name}; the command line has priority", type=kind, default=None)


def fill_in(config: pytest.Config) -> None:
    """Set each option that the command line does not name to the configuration file's value, or to its default.

    Also sets ``config.option.kernelbench_configured``: whether the strategy comes from the configuration file (or
    ``addopts``) and not from the command line. xdist hands ``config.option`` to its workers.
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
        if each.path and config.inipath and config.inipath.parent != config.invocation_params.dir:
            seen = partial(_as_seen_from, config.inipath.parent, always=each.path == "always")
            value = [",".join(map(seen, text.split(","))) for text in value] if each.many else value and seen(value)
        setattr(config.option, each.destination, value)


def _as_seen_from(folder: Path, text: str, *, always: bool) -> str:
    """``text`` of a configuration file in ``folder``, with a path in it made absolute. Text without a path stays."""
    kind, colon, path = text.strip().partition(":") if ":" in text else ("", "", text.strip())
    # A home folder is the same from everywhere.
    is_path = (
        bool(path)
        and not path.startswith("~")
        and (always or (folder / path).exists() or (_is_glob(path) and any(folder.glob(path))))
    )
    return f"{kind}{colon}{folder / path}" if is_path else text


def _is_glob(path: str) -> bool:
    return "*" in path and not Path(path).is_absolute()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Raise this package's usage errors as pytest's, which print one line and end with status 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def refuse_without_strategy(config: pytest.Config) -> None:
    """Raise pytest.UsageError for an option of this plugin that the command line has without ``--strategy``.

    Options in ``addopts`` are not refused: they are there for the sessions that have a strategy.
    """
    given = (str(each).partition("=")[0] for each in config.invocation_params.args)
    ours = ("--policy", "--tasks", "--kernelbench-", "--no-kernelbench-")
    name = next((each for each in given if each in ours[:2] or each.startswith(ours[2:])), None)
    if name is not None:
        raise pytest.UsageError(f"{name}: does nothing without --strategy, as in --strategy=surprisal-top3")
