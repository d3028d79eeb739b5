"""Strategy files: TOML to validated, hashed, frozen values. Everything that changes a number is in here.

A file has ``description`` and ``source`` at the top and the sections ``[sampling]``, ``[evaluation]``,
``[selection]`` and ``[gate]``; what it leaves out has the default of the dataclass below.
"""

from __future__ import annotations

import difflib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.records import sha256_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROTOCOLS = ("fast", "full", "paper")
RANKINGS = ("fastest", "random", "confidence", "surprisal")
NEEDS_LOGPROBS = ("confidence", "surprisal")

Section = TypeVar("Section", bound="Sampling | EvaluationSettings | SelectionSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How candidates are drawn: ``k`` a task, each of at most ``max_tokens`` tokens.

    ``answer`` is what the policy is asked for: a whole ``module``, or a ``forward_body`` as the paper did.
    """

    k: int = field(default=64, metadata={"minimum": 1})
    temperature: float = field(default=0.25, metadata={"minimum": 0})
    max_tokens: int = field(default=1024, metadata={"minimum": 1})
    answer: str = field(default="module", metadata={"choices": ("module", "forward_body")})


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How a candidate is checked and timed. ``precision``: float32 means neither TF32 nor half precision."""

    protocol: str = field(default="full", metadata={"choices": PROTOCOLS})
    precision: str = field(default="float32", metadata={"choices": ("float32",)})
    torch_operators: str = field(default="allowed", metadata={"choices": ("allowed", "forbidden")})


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """Which correct candidate is taken: of the first ``top`` ranked ``by``, the one that ``then`` names.

    ``logprob`` says whether a candidate's log-probability is the ``mean`` over its tokens or the ``sum``.
    """

    by: str = field(default="fastest", metadata={"choices": RANKINGS})
    logprob: str = field(default="mean", metadata={"choices": ("mean", "sum")})
    top: int = field(default=1, metadata={"minimum": 1})
    then: str = field(default="fastest", metadata={"choices": ("fastest",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to spend test-time compute. ``gate`` maps a metric's name to the least value that passes."""

    name: str
    description: str = ""
    source: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    gate: Mapping[str, float] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of all that changes a number: not of the name, the prose or the gate."""
        return _sha256_of_json([asdict(self.sampling), asdict(self.evaluation), asdict(self.selection)])

    @property
    def sampling_sha256(self) -> str:
        """Hash of what candidate ``i`` is drawn from. ``k`` is not in it: fewer are the first of more."""
        return _sha256_of_json({key: value for key, value in asdict(self.sampling).items() if key != "k"})

    @property
    def evaluation_sha256(self) -> str:
        """Hash of how a candidate is judged."""
        return _sha256_of_json(asdict(self.evaluation))

    @property
    def needs_logprobs(self) -> bool:
        return self.selection.by in NEEDS_LOGPROBS

    def to_json(self) -> dict[str, Any]:
        """As ``run.json`` holds it: every value, and the three hashes."""
        return {
            **asdict(self),
            "overrides": list(self.overrides),
            "sha256": self.sha256,
            "sampling_sha256": self.sampling_sha256,
            "evaluation_sha256": self.evaluation_sha256,
        }


SECTIONS = {"sampling": Sampling, "evaluation": EvaluationSettings, "selection": SelectionSettings}
TOP_LEVEL = ("description", "source", *SECTIONS, "gate")
KINDS = {"int": "a whole number", "float": "a number", "str": "a string"}


def load_strategies(names: Sequence[str], *, folders: Sequence[Path], overrides: Sequence[str] = ()) -> list[Strategy]:
    """The strategies that ``names`` name, in that order, each once.

    A name is a file's stem in one of ``folders`` (the first that has it) or the path of a TOML file; one
    string may hold several, separated by commas. ``overrides`` (``sampling.k=16``) apply to all of them.
    Raises StrategyError.
    """
    loaded: dict[str, tuple[Path, Strategy]] = {}
    for name in (part.strip() for text in names for part in text.split(",")):
        if not name:
            continue
        path = _find(name, folders)
        strategy = _load(path, overrides)
        if strategy.name in loaded and loaded[strategy.name][0].resolve() != path.resolve():
            other = _shown(loaded[strategy.name][0])
            raise StrategyError(f'--strategy: {other} and {_shown(path)} are both named "{strategy.name}"; rename one')
        loaded.setdefault(strategy.name, (path, strategy))
    return [strategy for _, strategy in loaded.values()]


def did_you_mean(word: str, known: Iterable[str], quoted: str = '"{}"') -> str:
    """``; did you mean "temperature"?``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {quoted.format(near[0])}?" if near else ""


def _find(name: str, folders: Sequence[Path]) -> Path:
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise StrategyError(f"--strategy={name}: no such file")
        return Path(name)
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    near = did_you_mean(name, known)
    there = f"there are {', '.join(known)}" if known else "there are none"
    raise StrategyError(f"--strategy={name}: no such strategy{near or ';'} {there}")


def _load(path: Path, overrides: Sequence[str]) -> Strategy:
    place = _shown(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StrategyError(f"{place}: {error}") from error
    except UnicodeDecodeError as error:
        raise StrategyError(f"{place}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    _check(table, place)
    for override in overrides:
        _apply(override, table)
    # The file was checked before, so whatever is wrong now came from an override, whose place _apply names.
    return Strategy(
        name=path.stem,
        description=table.get("description", ""),
        source=table.get("source", ""),
        sampling=_section(Sampling, table, "sampling", place),
        evaluation=_section(EvaluationSettings, table, "evaluation", place),
        selection=_section(SelectionSettings, table, "selection", place),
        gate=_gate(table, place),
        overrides=tuple(overrides),
    )


def _apply(override: str, table: dict[str, Any]) -> None:
    place = f"--kernelbench-set {override}"
    target, equals, text = override.partition("=")
    section, dot, key = target.strip().partition(".")
    if not (equals and dot):
        raise StrategyError(f"{place}: write SECTION.KEY=VALUE, as in sampling.k=16")
    if section not in (*SECTIONS, "gate"):
        raise StrategyError(f"{place}: unknown section [{section}]{did_you_mean(section, (*SECTIONS, 'gate'), '[{}]')}")
    change = {section: {key: _value(text.strip())}}
    _check(change, place)
    table[section] = {**table.get(section, {}), **change[section]}


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def _check(table: Mapping[str, Any], place: str) -> None:
    for key, value in table.items():
        if key not in TOP_LEVEL and isinstance(value, dict):
            sections = (*SECTIONS, "gate")
            raise StrategyError(f"{place}: unknown section [{key}]{did_you_mean(key, sections, '[{}]')}")
        if key not in TOP_LEVEL:
            raise StrategyError(f'{place}: unknown key "{key}"{did_you_mean(key, TOP_LEVEL)}')
        if key in ("description", "source"):
            if not isinstance(value, str):
                raise StrategyError(f"{place}: {key} must be a string, not {_quoted(value)}")
        elif not isinstance(value, dict):
            raise StrategyError(f"{place}: {key} must be a section; write [{key}] above its keys")
        elif key == "gate":
            _gate(table, place)
        else:
            _section(SECTIONS[key], table, key, place)


def _section(cls: type[Section], table: Mapping[str, Any], name: str, place: str) -> Section:
    rows = {each.name: each for each in fields(cls)}
    values = {}
    for key, value in table.get(name, {}).items():
        if key not in rows:
            raise StrategyError(f'{place}: [{name}] unknown key "{key}"{did_you_mean(key, rows)}')
        kind, limits = str(rows[key].type), rows[key].metadata
        if kind == "float" and _is_number(value):
            value = float(value)
        if type(value).__name__ != kind or (kind == "float" and not math.isfinite(value)):
            raise StrategyError(f"{place}: [{name}] {key} must be {KINDS[kind]}, not {_quoted(value)}")
        if "minimum" in limits and value < limits["minimum"]:
            least = limits["minimum"]
            raise StrategyError(f"{place}: [{name}] {key} must be at least {least}, not {_quoted(value)}")
        if "choices" in limits and value not in limits["choices"]:
            choices = " or ".join(limits["choices"])
            raise StrategyError(f"{place}: [{name}] {key} must be {choices}, not {_quoted(value)}")
        values[key] = value
    return cls(**values)


def _gate(table: Mapping[str, Any], place: str) -> dict[str, float]:
    for metric, minimum in table.get("gate", {}).items():
        if not _is_number(minimum):
            raise StrategyError(f"{place}: [gate] {metric} must be a number, not {_quoted(minimum)}")
    return {metric: float(minimum) for metric, minimum in table.get("gate", {}).items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, default=str)


def _shown(path: Path) -> str:
    absolute = path.absolute()
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


def _sha256_of_json(value: Any) -> str:
    return sha256_of(json.dumps(value, sort_keys=True, separators=(",", ":")))
