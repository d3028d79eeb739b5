"""The hooks of this plugin, by which a ``conftest.py`` or another plugin adds to a session with ``--strategy``.

Each hook takes no argument and returns a dictionary from names to objects. docs/extending.md has an example of each.
Hooks are called once, when the session is configured. pytest has then loaded the ``conftest.py`` of the root folder and
of the folders named on the command line, and no other. A name that already exists ends the session with one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.rewards import Reward
    from pytest_kernelbench.evaluation.device.traits import DeviceTraits
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.report.analyses import Analysis
    from pytest_kernelbench.report.metrics.gates import Metric
    from pytest_kernelbench.selection import Ranking


@pytest.hookspec
def pytest_kernelbench_policies() -> Mapping[str, type[Policy]]:
    """Policies by name. ``--policy`` takes the name, or the name, a colon and an argument.

    A policy is a class that follows the protocol ``policies.base.Policy`` and has a class method
    ``load(spec, *, device)``. Its attribute ``form`` says how users write it, as in ``"echo:FILE"``; a class without
    this attribute is written as its name alone.
    """


@pytest.hookspec
def pytest_kernelbench_selectors() -> Mapping[str, Ranking]:
    """Selectors by the name that ``[selection] by`` takes."""


@pytest.hookspec
def pytest_kernelbench_metrics() -> Mapping[str, Metric]:
    """Metrics by the name that ``--kernelbench-fail-under`` and ``[gate]`` take. ``report.json`` has every metric."""


@pytest.hookspec
def pytest_kernelbench_rewards() -> Mapping[str, Reward]:
    """Rewards by the name that ``[adaptation] reward`` takes."""


@pytest.hookspec
def pytest_kernelbench_prompts() -> Mapping[str, str]:
    """Prompts by the name that ``[prompt] style`` takes: texts in which ``{{source}}`` stands for the reference."""


@pytest.hookspec
def pytest_kernelbench_analyses() -> Mapping[str, Analysis]:
    """Analyses by the name that they have in ``report.json``: functions of a ``Study`` that return JSON values."""


@pytest.hookspec
def pytest_kernelbench_devices() -> Mapping[str, DeviceTraits]:
    """Devices by the name that ``--kernelbench-device`` takes.

    The judge's processes read no ``conftest.py``: they import the module that ``DeviceTraits.module`` names, which has
    to be an installed package or a file in the folder where pytest runs.
    """
