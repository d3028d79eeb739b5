"""Strategies from files: the packaged ones, and texts of a test."""

import pytest

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.strategy import Strategy, load_strategies

PACKAGED = data_folder("strategies")


def error_of(load, *arguments: str) -> str:
    with pytest.raises(StrategyError) as caught:
        load(*arguments)
    return str(caught.value)


def packaged(*names: str, overrides: tuple[str, ...] = ()) -> list[Strategy]:
    return load_strategies(names, folders=[PACKAGED], overrides=overrides)
