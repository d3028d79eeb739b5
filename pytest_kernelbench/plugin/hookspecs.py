"""The hooks of this plugin: what a ``conftest.py`` or another plugin adds to a session with ``--strategy``.

Each takes nothing and returns a dictionary from names to objects. docs/extending.md has an example of each. They are
called once, when the session is configured, so that a ``conftest.py`` has them if it lies in the root folder or in a
folder that is named on the command line. A name that is taken ends the session with one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.rewards import Reward
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.report.analyses import Analysis
    from pytest_kernelbench.report.metrics.gates import Metric
    from pytest_kernelbench.selection import Ranking


@pytest.hookspec
def pytest_kernelbench_policies() -> Mapping[str, type[Policy]]:
    """Policies by the name that ``--policy`` takes, or takes before a colon.

    Each is a class as ``policies.base.Policy`` says, with a class method ``load(spec, *, device)``. Its attribute
    ``form`` is how it is written, as in ``"echo:FILE"``; without one, its name alone.
    """


@pytest.hookspec
def pytest_kernelbench_selectors() -> Mapping[str, Ranking]:
    """Selectors by the name that ``[selection] by`` takes."""


@pytest.hookspec
def pytest_kernelbench_metrics() -> Mapping[str, Metric]:
    """Metrics by the name that ``--kernelbench-fail-under`` and ``[gate]`` take; ``report.json`` has them all."""


@pytest.hookspec
def pytest_kernelbench_rewards() -> Mapping[str, Reward]:
    """Rewards by the name that ``[adaptation] reward`` takes."""


@pytest.hookspec
def pytest_kernelbench_prompts() -> Mapping[str, str]:
    """Prompts by the name that ``[prompt] style`` takes: texts as ``[prompt] file`` holds, with ``{{source}}``."""


@pytest.hookspec
def pytest_kernelbench_analyses() -> Mapping[str, Analysis]:
    """Analyses by the name that they have in ``report.json``: functions of a ``Study`` that return JSON values."""
