"""Systems other than Linux: imports work, reports work, and one line says what judging needs."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_up_run import write_run

ROOT = Path(__file__).parents[2]
# Another system, as far as this package can see: its name, and modules that Windows does not have.
ELSEWHERE = """
import sys

sys.platform = {system!r}
MISSING = {missing!r}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


for name in MISSING:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
"""
SYSTEMS = {"darwin": [], "win32": ["fcntl", "grp", "pwd", "resource"]}
NEEDS_LINUX = (
    "judging needs Linux (namespaces, /proc), and this is {}; have a Linux host judge with --kernelbench-judges=URL, "
    "or run there; report, compare, export and plan work here"
)


# Of other projects, whose own code asks for the system as well: loaded while it is what it is.
LIBRARIES = "import jinja2, matplotlib.pyplot, numpy, scipy.special, scipy.stats\n"


def run(system, code, before=""):
    elsewhere = before + ELSEWHERE.format(system=system, missing=SYSTEMS[system])
    command = [sys.executable, "-c", elsewhere + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_is_imported_there(system):
    rooms = ("plugin.hooks", "pipeline", "__main__", "report.render", "evaluation", "ledger")
    done = run(system, "".join(f"import pytest_kernelbench.{room}\n" for room in rooms))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_judging_says_in_one_line_what_it_needs(system):
    code = """
from pytest_kernelbench.errors import UsageError

try:
    from pytest_kernelbench import Evaluator
except UsageError as error:
    print(error)
"""
    assert run(system, code).stdout.strip() == NEEDS_LINUX.format(system)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_finished_run_is_reported_compared_and_exported_there(system, tmp_path, made_up_folder):
    code = """
from pytest_kernelbench.__main__ import main

folder = {folder!r}
print([main(["report", folder]), main(["compare", folder, {other!r}]), main(["export", folder, "--to", {to!r}])])
"""
    other = write_run(tmp_path / "other", "random", k=2)
    done = run(
        system, code.format(folder=str(made_up_folder), other=str(other), to=str(tmp_path / "tables")), before=LIBRARIES
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0]", done.stdout + done.stderr


def test_a_run_folder_is_only_read_on_windows(tmp_path):
    code = f"""
from pathlib import Path
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import Ledger

try:
    Ledger.open(Path({str(tmp_path)!r}), {{"strategies": [], "tasks": [], "task_sha256": {{}}}})
except UsageError as error:
    print(error)
"""
    said = f"{tmp_path / 'locks'}: a run folder is written on Linux or macOS; on win32 it is only read"
    assert run("win32", code).stdout.strip() == said


@pytest.fixture
def made_up_folder(tmp_path):
    return write_run(tmp_path / "run", "random", k=2)
