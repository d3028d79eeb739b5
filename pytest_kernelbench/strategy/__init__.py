"""Strategy files: from TOML to checked, frozen, hashed values. Every setting that changes results is here.

A file has ``description``, ``source`` and ``primary`` at the top, and the sections ``[sampling]``, ``[prompt]``,
``[evaluation]``, ``[selection]`` and ``[gate]``. It has ``[search]`` if the policy is asked again after verdicts,
``[stopping]`` if the strategy may draw fewer than K candidates, and ``[adaptation]`` if it trains the policy. A key
that a file leaves out has the default of the section's dataclass. With ``base = "batch-ttt"`` a file inherits the
settings of another strategy.

    sections.py, adaptation.py, stopping.py   the dataclasses; their fields are the keys, their metadata the limits
    strategy.py, hashing.py                   all sections together, and the hashes that key a run's rows
    tables.py, overrides.py                   a file, its base and the command line, as one table
    values.py, rules.py                       limits of values; keys without effect beside the others
    loading.py, primary.py                    names to strategies; the primary comparison of a strategy
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
