"""A strategy file as a table: read as TOML, old keys moved to their present sections, merged with the base's table.

``check`` refuses unknown keys and wrong values before tables are merged, so that an error names the file or the
override that has them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import StrategyError, suggestion
from pytest_kernelbench.prompting.question import Prompt
from pytest_kernelbench.strategy.adaptation import MOVED, Adaptation
from pytest_kernelbench.strategy.sections import EvaluationSettings, Sampling, SearchSettings, SelectionSettings
from pytest_kernelbench.strategy.stopping import Stopping
from pytest_kernelbench.strategy.values import did_you_mean, gate_of, keys_of, quoted, section_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = dict[str, Any]

SECTIONS = {
    "sampling": Sampling,
    "prompt": Prompt,
    "evaluation": EvaluationSettings,
    "selection": SelectionSettings,
    "search": SearchSettings,
    "stopping": Stopping,
    "adaptation": Adaptation,
}
# Sections that a strategy may lack: it then has no search, no stopping rule, or no training.
OPTIONAL = ("search", "stopping", "adaptation")
TEXTS = ("description", "source", "primary", "base")
SECTION_NAMES = (*SECTIONS, "gate")
TOP_LEVEL = (*TEXTS, *SECTION_NAMES)


def read_table(path: Path, folders: Sequence[Path], chain: tuple[Path, ...] = ()) -> Table:
    """The effective table of a strategy file: the table of its base, updated with its own. Without the key ``base``.

    ``folders``: where names of strategies are looked up, after the file's own folder. ``chain``: the files whose base
    this file is, to find circles. Raises StrategyError.
    """
    place = shown(path)
    table = in_place(_parsed(path, place), place)
    check(table, place)
    base = table.pop("base", "")
    if not base:
        return table
    chain = (*chain, path)
    below = _base(base, path, folders, place)
    if any(below.samefile(each) for each in chain):
        circle = " -> ".join(shown(each) for each in (*chain, below))
        raise StrategyError(f"{place}: base goes in a circle ({circle}); take one of these bases out")
    under = read_table(below, folders, chain)
    file = under.get("prompt", {}).get("file")
    if file:
        # The path of a prompt's file is relative to the strategy file that names it.
        under["prompt"]["file"] = os.path.relpath(below.parent / file, path.parent)
    return laid_over(under, table)


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """``under`` updated with the values of ``over``; sections are merged key by key."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def in_place(table: Mapping[str, Any], place: str) -> Table:
    """The table with old keys of ``[adaptation]`` moved to their present sections, as ``lora_rank`` to ``lora.rank``.

    Raises StrategyError if a key is given under both names.
    """
    adaptation = table.get("adaptation")
    if not isinstance(adaptation, dict):
        return dict(table)
    moved: Table = {}
    for key, value in adaptation.items():
        if key not in MOVED:
            continue
        section, name = MOVED[key]
        there = adaptation.get(section)
        if isinstance(there, dict) and name in there:
            raise StrategyError(
                f"{place}: [adaptation] {key} and [adaptation.{section}] {name} are one setting; leave out {key}"
            )
        moved.setdefault(section, {})[name] = value
    kept = {key: value for key, value in adaptation.items() if key not in MOVED}
    return {**table, "adaptation": laid_over(moved, kept)}


def check(table: Mapping[str, Any], place: str) -> None:
    """Raise StrategyError for an unknown section, an unknown key or a value of the wrong kind."""
    for key, value in table.items():
        if key not in TOP_LEVEL and isinstance(value, dict):
            raise StrategyError(f"{place}: unknown section [{key}]{did_you_mean(key, SECTION_NAMES, '[{}]')}")
        if key not in TOP_LEVEL:
            raise StrategyError(f'{place}: unknown key "{key}"{_below(key) or did_you_mean(key, TOP_LEVEL)}')
        if key in TEXTS:
            if not isinstance(value, str):
                raise StrategyError(f"{place}: {key} must be a string, not {quoted(value)}")
        elif not isinstance(value, dict):
            raise StrategyError(f"{place}: {key} must be a section; write [{key}] above its keys")
        elif key == "gate":
            gate_of(value, place)
        else:
            section_of(SECTIONS[key], value, key, place)


def _below(key: str) -> str:
    """``; write it below [sampling]`` for a key of some section; empty for any other."""
    sections = [f"[{name}]" for name, section in SECTIONS.items() if key in keys_of(section)]
    return f"; write it below {' or '.join(sections)}" if sections else ""


def find(name: str, folders: Sequence[Path], place: str) -> Path:
    """The file of the strategy called ``name``, in the first folder that has one. Raises StrategyError."""
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    hint = suggestion(name, known, then=" ")
    raise StrategyError(f"{place}: no such strategy; {hint}there are {', '.join(known) or 'none'}")


def shown(path: Path) -> str:
    """A path as errors show it: relative to the working folder if it is inside, else as given."""
    absolute = path.absolute()
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


def _parsed(path: Path, place: str) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StrategyError(f"{place}: not TOML ({error}); correct the file") from error
    except UnicodeDecodeError as error:
        raise StrategyError(f"{place}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _base(name: str, path: Path, folders: Sequence[Path], place: str) -> Path:
    """The file that ``base = name`` refers to: a path relative to this file, or the name of a strategy.

    A file's base may be the packaged strategy with the file's own name.
    """
    if name.endswith(".toml"):
        if not (path.parent / name).is_file():
            raise StrategyError(f'{place}: base = "{name}": no such file; name it as seen from this one')
        return path.parent / name
    around = [path.parent, *folders] if name != path.stem else [each for each in folders if not _is_in(path, each)]
    return find(name, around, f'{place}: base = "{name}"')


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().parent == folder.resolve()
