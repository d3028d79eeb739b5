"""``--kernelbench-set SECTION.KEY=VALUE``: one value of a strategy's table, from the command line."""

from __future__ import annotations

from typing import Any

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.strategy.tables import OPTIONAL, SECTION_NAMES, Table, check, in_place, laid_over, tomllib
from pytest_kernelbench.strategy.values import did_you_mean


def overridden(table: Table, override: str) -> Table:
    """The table with the value that ``override`` names, as in ``sampling.k=16`` or ``adaptation.lora.rank=4``.

    A value is TOML; any other word is taken as text, which needs no quotes. An override of
    an optional section leaves a strategy without it as it is. Raises StrategyError, which names the option.
    """
    place = f"--kernelbench-set {override}"
    target, equals, text = override.partition("=")
    section, dot, key = target.strip().partition(".")
    if not (equals and dot):
        raise StrategyError(f"{place}: write SECTION.KEY=VALUE, as in sampling.k=16")
    if section not in SECTION_NAMES:
        raise StrategyError(f"{place}: unknown section [{section}]{did_you_mean(section, SECTION_NAMES, '[{}]')}")
    inner, dot, inner_key = key.partition(".")
    value = _value(text.strip())
    nested = section == "adaptation" and dot
    change = in_place({section: {inner: {inner_key: value}} if nested else {key: value}}, place)
    check(change, place)
    if section in OPTIONAL and section not in table:
        return table
    return laid_over(table, change)


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text
