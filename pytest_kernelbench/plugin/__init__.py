"""The pytest plugin's entry point. Without ``--strategy`` it collects nothing and loads nothing heavy.

Every pytest run imports this module, so modules that only sessions with ``--strategy`` need are imported later.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_kernelbench import __version__
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.plugin import fixtures, options

MARKER = (
    'kernelbench(level, task, strategy): a task under a strategy; -m "kernelbench(level=1)" selects. '
    'On a test of your own, kernelbench(tasks="level1/19", strategies="pinned") names what it runs with'
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_kernelbench.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(fixtures, "kernelbench-fixtures")
    options.fill_in(config)
    if config.option.strategy:
        from pytest_kernelbench.plugin import benchmarking
        from pytest_kernelbench.plugin.hooks import KernelBench

        benchmarking.before_pytest_benchmark(config)
        config.pluginmanager.register(KernelBench(config), "kernelbench-session")
    else:
        options.refuse_without_strategy(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"kernelbench: {__version__}" if config.option.strategy else None


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    # Here, not in the session's own plugin, which does not exist yet when xdist calls this hook. None: xdist decides.
    from pytest_kernelbench.evaluation.device.names import needs_no_gpu

    options.fill_in(config)
    if not config.option.strategy or needs_no_gpu(config.option.kernelbench_device):
        return None
    from pytest_kernelbench.host.gpus import visible_gpus
    from pytest_kernelbench.plugin.policy_gpus import divided

    gpus, named = visible_gpus(os.environ), config.option.kernelbench_policy_gpus
    try:
        return len(divided(gpus, named)[0] if named else gpus) or None
    except UsageError:
        return None  # the session's own plugin raises the same error in one line


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    others = yield
    if not parent.config.option.strategy:
        # A task that is named is not imported as a test; this plugin ignores every other file.
        named = parent.session.isinitpath(file_path)
        if not named or file_path.suffix != ".py" or b"def get_init_inputs" not in file_path.read_bytes():
            return others
    from pytest_kernelbench.plugin import collection

    return collection.files_at(file_path, parent, others)
