"""``kernel_task``, ``kernel_strategy`` and ``kernel_pool``: a task's judged candidates, in a test of one's own.

    def test_mine(kernel_task, kernel_strategy, kernel_pool, benchmark):
        assert kernel_pool.selection.confirmed_low > 1.1
        kernel_pool.record(benchmark)

runs once for each task and strategy of the command line. ``@pytest.mark.kernelbench(tasks="level1/19",
strategies="pinned")`` names tasks, or which of the strategies, for one test.

Every pytest run loads this module, so the rest of this package is imported where it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kernelbench.plugin.kernel_pool import KernelPool
    from pytest_kernelbench.records import Task
    from pytest_kernelbench.strategy import Strategy

NEEDS_STRATEGY = "needs a strategy, as in pytest --strategy=pinned"
NAMES = ("kernel_task", "kernel_strategy")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not metafunc.config.option.strategy:
        return
    names = [name for name in NAMES if name in metafunc.fixturenames]
    if names:
        from pytest_kernelbench.plugin.kernel_pool import rows_for

        metafunc.parametrize(names, rows_for(metafunc, names), indirect=True)


@pytest.fixture
def kernel_task(request: pytest.FixtureRequest) -> Task:
    """The task that the test runs with: each task of the mark ``kernelbench``, else of --tasks or kernels/, in turn."""
    name = _param(request)
    from pytest_kernelbench.plugin.kernel_pool import TASKS

    return request.config.stash[TASKS][name]


@pytest.fixture
def kernel_strategy(request: pytest.FixtureRequest) -> Strategy:
    """The strategy that the test runs with: each strategy of the mark ``kernelbench``, else of --strategy, in turn."""
    name = _param(request)
    from pytest_kernelbench.plugin.collection import SESSION

    return next(each for each in request.config.stash[SESSION].strategies if each.name == name)


@pytest.fixture
def kernel_pool(kernel_task: Task, kernel_strategy: Strategy, request: pytest.FixtureRequest) -> KernelPool:
    """The judged candidates of ``kernel_task`` under ``kernel_strategy``: ``candidates``, ``chosen``, ``selection``.

    ``record(benchmark)`` gives the chosen kernel's times to pytest-benchmark. Skips the test without --strategy.
    """
    from pytest_kernelbench.plugin.collection import SESSION
    from pytest_kernelbench.plugin.kernel_pool import KernelPool

    return KernelPool(kernel_task, kernel_strategy, request.config.stash[SESSION], request.node)


def _param(request: pytest.FixtureRequest) -> str:
    if not hasattr(request, "param"):
        pytest.skip(NEEDS_STRATEGY)
    return str(request.param)
