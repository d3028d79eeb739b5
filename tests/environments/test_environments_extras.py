"""An environment whose library is not installed says what to install."""

import subprocess
import sys

import pytest

# Runs as where the package named last is not installed.
WITHOUT = """
import importlib, sys
sys.modules[sys.argv[2]] = None
try:
    importlib.import_module(f"pytest_kernelbench.environments.{sys.argv[1]}")
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.parametrize(("extra", "package"), [("verifiers", "verifiers"), ("openenv", "fastapi")])
def test_an_environment_without_its_library_names_the_extra_to_install(extra, package):
    command = [sys.executable, "-c", WITHOUT, extra, package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == (
        f"pytest_kernelbench.environments.{extra}: needs the package {package}; "
        f"pip install 'pytest-kernelbench[{extra}]'\n"
    ), done.stderr
