"""Strategy files: TOML to validated, hashed, frozen values. Everything that changes a number is in here.

A file has ``description``, ``source`` and ``primary`` at the top and the sections ``[sampling]``, ``[prompt]``,
``[evaluation]``, ``[selection]`` and ``[gate]``, ``[search]`` if it asks again after verdicts, ``[stopping]`` if it may
draw fewer than K candidates and ``[adaptation]`` if it trains. A key that a file leaves out has the default of the
section's dataclass. ``base = "batch-ttt"`` builds a strategy on another one.

    sections.py, adaptation.py, stopping.py   the dataclasses; their fields are the keys, their metadata the limits
    strategy.py, hashing.py                   all sections together, and the hashes that key a run's rows
    tables.py, overrides.py                   a file, its base and the command line, as one table
    values.py, rules.py                       what a value may be; which keys do nothing beside the others
    loading.py, primary.py                    names to strategies; the comparison that a strategy is there for
"""

from pytest_kernelbench.strategy.adaptation import (
    Adaptation,
    Clipped,
    Ending,
    Lora,
    MaxK,
    Rewards,
    Sdpo,
)
from pytest_kernelbench.strategy.loading import load_strategies
from pytest_kernelbench.strategy.sections import EvaluationSettings, Sampling, SearchSettings, SelectionSettings
from pytest_kernelbench.strategy.stopping import Stopping
from pytest_kernelbench.strategy.strategy import Strategy, Version
from pytest_kernelbench.strategy.values import did_you_mean

__all__ = [
    "Adaptation",
    "Clipped",
    "Ending",
    "EvaluationSettings",
    "Lora",
    "MaxK",
    "Rewards",
    "Sampling",
    "Sdpo",
    "SearchSettings",
    "SelectionSettings",
    "Stopping",
    "Strategy",
    "Version",
    "did_you_mean",
    "load_strategies",
]
