"""Shared by the tests of the plugin."""

import os
import sys
import time

import pytest
from project import LIGHT, PLUGIN, PYTHONPATH, RELU, WITHOUT_FIGURES
from sharing_cores import (  # noqa: F401
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
)
from warm_sessions import warm_process

# Also here: a session within the process would load some of its modules anew, with stash keys of their own.
import pytest_kernelbench.plugin.hooks  # noqa: F401


def pytest_sessionstart(session):
    """The time of one example is the machine's, which may be busy: no test fails for it.

    README's first command reads this file as well, where Hypothesis is not installed.
    """
    if session.config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("suite", deadline=None)
        settings.load_profile("suite")


TORCH_SETTINGS = {
    "gradients are taken": lambda torch: torch.is_grad_enabled(),
    "inference mode": lambda torch: torch.is_inference_mode_enabled(),
    "default dtype": lambda torch: torch.get_default_dtype(),
    "deterministic algorithms": lambda torch: torch.are_deterministic_algorithms_enabled(),
}


def settings_of_torch():
    """What holds for the whole process or thread, by name; None where no test has imported torch yet."""
    torch = sys.modules.get("torch")
    return torch and {name: of(torch) for name, of in TORCH_SETTINGS.items()}


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was():
    """The next test would fail, or pass, for what this one left behind.

    The number of threads changes no result: it is put back and nothing is said (a tiny policy sets it to one).
    """
    before = settings_of_torch()
    threads = before and sys.modules["torch"].get_num_threads()
    yield
    after = settings_of_torch()
    if before is None or after is None:
        return
    torch = sys.modules["torch"]
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    left = [f"{name}: {after[name]} after {before[name]}" for name in before if after[name] != before[name]]
    if left:
        torch.set_grad_enabled(before["gradients are taken"])
        torch.set_default_dtype(before["default dtype"])
        # The first call imports torch's compiler, which takes a second.
        torch.use_deterministic_algorithms(before["deterministic algorithms"])
    assert not left, f"the test leaves torch with other settings ({'; '.join(left)})"


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
        has_strategy = any(each.startswith("--strategy") for each in arguments)
        command = (*PLUGIN, *WITHOUT_FIGURES, *(DEVICE_AND_SIZES if has_strategy else ()), *arguments)
        return self.run_warm(*command) if apart else self.pytester.runpytest_inprocess(*command)

    def run_warm(self, *command):
        """As ``runpytest_subprocess``, forked from a process that has imported what a session imports."""
        path = os.pathsep.join((str(self.path), os.environ.get("PYTHONPATH", "")))
        environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": LIGHT}
        begun = time.monotonic()
        ended = warm_process().run(command, self.path, environment, together=False)
        seconds = time.monotonic() - begun
        return pytest.RunResult(ended.returncode, ended.output.splitlines(), ended.errors.splitlines(), seconds)


@pytest.fixture
def benchmark_project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH, prepend=os.pathsep)
    return BenchmarkProject(pytester)
