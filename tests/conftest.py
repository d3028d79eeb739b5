"""Shared by the tests of the plugin."""

import os
from pathlib import Path

import numpy  # noqa: F401  (here, because it cannot be loaded a second time, as after a session within the process)
import pytest
from project import PLUGIN, RELU

DEVICE_AND_SIZES = ("--kernelbench-device=cpu", "--kernelbench-sizes=full")


class BenchmarkProject:
    """A folder with a test of its own and three tasks in ``problems/level1``, and a pytest that has the plugin."""

    def __init__(self, pytester):
        self.path = pytester.path
        self.pytester = pytester
        pytester.makepyfile(test_own="def test_own(): pass")
        level = pytester.mkdir("problems") / "level1"
        level.mkdir()
        for name in ("2_Two", "10_Ten", "1_One"):
            (level / f"{name}.py").write_text(RELU)
        (level / "notes.py").write_text("raise SystemExit('imported')\n")

    def run(self, *arguments, apart=False):
        """``apart``: in a process of its own, for what numpy or a patched module would leave behind in this one."""
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        has_strategy = any(each.startswith("--strategy") for each in arguments)
        return run(*PLUGIN, *(DEVICE_AND_SIZES if has_strategy else ()), *arguments)


@pytest.fixture
def benchmark_project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent), prepend=os.pathsep)
    return BenchmarkProject(pytester)
