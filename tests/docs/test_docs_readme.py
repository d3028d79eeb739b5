"""README's first command needs no package that only the tests, or an extra, need."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from pytest_kernelbench.tasks.files import tomllib

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Runs pytest as where the modules named first are not installed.
WITHOUT = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = set(sys.argv[1].split(","))
sys.meta_path.insert(0, NotInstalled())
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def names(requirements):
    return {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-") for each in requirements}


def modules_of_extras():
    """Modules of the packages that extras ask for and the package itself does not."""
    extras = names(each for asked in PROJECT["optional-dependencies"].values() for each in asked)
    only = extras - names(PROJECT["dependencies"]) - {PROJECT["name"]}
    found = packages_distributions().items()
    return {module for module, owners in found if names(owners) & only and not names(owners) - only}


def test_the_first_command_collects_the_tasks_where_no_extra_is_installed():
    missing = modules_of_extras()
    assert {"hypothesis", "matplotlib", "openai"} <= missing
    # The tests' own plugins of pytest would be missing there too.
    command = [sys.executable, "-c", WITHOUT, ",".join(sorted(missing)), "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--strategy=surprisal-top3", "--collect-only", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 tests collected" in done.stdout
