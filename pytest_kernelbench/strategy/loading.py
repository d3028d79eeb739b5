"""Strategies by name: their files, their bases and the command line's overrides, as validated values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.prompting.question import Prompt, question_for
from pytest_kernelbench.strategy import rules
from pytest_kernelbench.strategy.adaptation import Adaptation
from pytest_kernelbench.strategy.overrides import overridden
from pytest_kernelbench.strategy.primary import parse_primary
from pytest_kernelbench.strategy.sections import EvaluationSettings, Sampling, SearchSettings, SelectionSettings
from pytest_kernelbench.strategy.stopping import Stopping
from pytest_kernelbench.strategy.strategy import Strategy
from pytest_kernelbench.strategy.tables import OPTIONAL, Table, find, read_table, shown
from pytest_kernelbench.strategy.values import gate_of, quoted, section_of


def load_strategies(names: Sequence[str], *, folders: Sequence[Path], overrides: Sequence[str] = ()) -> list[Strategy]:
    """The strategies that ``names`` name, in that order, each once.

    A name is a file's stem in one of ``folders`` (the first that has it) or the path of a TOML file; one
    string may hold several, separated by commas. ``overrides`` (``sampling.k=16``) apply to all of them; one that no
    strategy reads is an error. Raises StrategyError.
    """
    loaded: dict[str, tuple[Path, Strategy]] = {}
    for name in (part.strip() for text in names for part in text.split(",")):
        if not name:
            continue
        path = _path_of(name, folders)
        strategy = _load(path, folders, overrides)
        if strategy.name in loaded and loaded[strategy.name][0].resolve() != path.resolve():
            other = shown(loaded[strategy.name][0])
            raise StrategyError(f'--strategy: {other} and {shown(path)} are both named "{strategy.name}"; rename one')
        loaded.setdefault(strategy.name, (path, strategy))
    strategies = [strategy for _, strategy in loaded.values()]
    for override in overrides if strategies else ():
        key = override.partition("=")[0].strip()
        section = key.partition(".")[0]
        if section in OPTIONAL and not any(getattr(strategy, section) for strategy in strategies):
            raise StrategyError(f"--kernelbench-set {override}: none of these strategies has [{section}]")
        if section == "selection" and (ignored := rules.ignored_by_all(strategies, key)):
            raise StrategyError(f"--kernelbench-set {override}: {ignored}")
    return strategies


def strategy_of(table: Table, *, path: Path, place: str, overrides: Sequence[str] = ()) -> Strategy:
    """The strategy that an effective table describes. ``path`` is its file, whose stem is its name.

    ``overrides`` are those of the command line, which the table has already.
    Raises StrategyError, which names ``place``, where sections do not go together.
    """
    sampling = section_of(Sampling, table.get("sampling", {}), "sampling", place)
    prompt = section_of(Prompt, table.get("prompt", {}), "prompt", place)
    primary = table.get("primary", "")
    strategy = Strategy(
        name=path.stem,
        description=table.get("description", ""),
        source=table.get("source", ""),
        primary=str(parse_primary(primary, f"{place}: primary = {quoted(primary)}")) if primary else "",
        sampling=replace(sampling, question=_question(prompt, sampling.answer, path, place)),
        prompt=prompt,
        evaluation=section_of(EvaluationSettings, table.get("evaluation", {}), "evaluation", place),
        selection=section_of(SelectionSettings, table.get("selection", {}), "selection", place),
        search=section_of(SearchSettings, table["search"], "search", place) if "search" in table else None,
        stopping=section_of(Stopping, table["stopping"], "stopping", place) if "stopping" in table else None,
        adaptation=section_of(Adaptation, table["adaptation"], "adaptation", place) if "adaptation" in table else None,
        gate=gate_of(table.get("gate", {}), place),
        overrides=tuple(overrides),
    )
    if refusal := rules.refusal(strategy, overridden=bool(overrides)):
        raise StrategyError(f"{place}: {refusal}")
    return strategy


def _load(path: Path, folders: Sequence[Path], overrides: Sequence[str]) -> Strategy:
    place = shown(path)
    table = read_table(path, folders)
    strategy = strategy_of(table, path=path, place=place)
    if not overrides:
        return strategy
    for override in overrides:
        table = overridden(table, override)
    # The file was checked before, so a refusal now comes from an override.
    place = " ".join([place, *(f"--kernelbench-set {each}" for each in overrides)])
    return strategy_of(table, path=path, place=place, overrides=overrides)


def _path_of(name: str, folders: Sequence[Path]) -> Path:
    if not name.endswith(".toml"):
        return find(name, folders, f"--strategy={name}")
    if not Path(name).is_file():
        raise StrategyError(f"--strategy={name}: no such file; name a TOML file, or a strategy without .toml")
    return Path(name)


def _question(prompt: Prompt, answer: str, path: Path, place: str) -> str:
    """The question that ``[prompt]`` makes, as text; empty: ``answer`` in this project's own words."""
    if prompt == Prompt():
        return ""

    def read(file: str) -> str:
        try:
            return (path.parent / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ValueError(f"file {file} cannot be read ({reason}); name it as seen from the strategy's") from None

    try:
        return question_for(prompt, answer, read)
    except ValueError as error:
        raise StrategyError(f"{place}: [prompt] {error}") from None
