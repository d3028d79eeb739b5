"""Imports point down, and the plugin costs nothing where it is not asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from project import PLUGIN

import pytest_kernelbench

ROOT = Path(pytest_kernelbench.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "data" not in path.relative_to(ROOT).parts)

# A module may import from its own part, and from parts on lines below.
LAYERS = (
    {"plugin", "__main__"},
    {"benchmarking", "fixtures", "sharding"},
    {"options", "collection", "progress"},
    {"regressions", "pins"},
    {"pipeline", "workbench"},
    {"adaptation"},
    {"ledger", "reports"},
    {"analysis"},
    {"runs"},
    {"policies", "evaluation", "selection", "metrics"},
    {"tiny_policy"},
    {"strategy", "tasks", "prompting", "stats"},
    {"inline"},
    {"records", "errors", "resources", "gpus"},
)
HEIGHT = {part: len(LAYERS) - number for number, layer in enumerate(LAYERS) for part in layer}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    """Parts of this package that a module imports, in functions too, but not for type checking only."""
    package = ("pytest_kernelbench", *path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text())
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            names = (*above, *(node.module.split(".") if node.module else ()))
            names = [names] if len(names) > 1 else [(*names, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "pytest_kernelbench" and len(name) > 1}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    part = part_of(path)
    if part == "__init__":
        return
    for imported in parts_imported(path) - {part}:
        assert HEIGHT[imported] < HEIGHT[part], f"{part} imports {imported}, which is not below it"


def test_only_the_worker_s_own_folder_runs_beside_a_candidate():
    worker = ROOT / "evaluation" / "worker"
    allowed = ("messages", "modules", "shared", "worker")
    for path in worker.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and "evaluation" in node.module:
                names = node.module.split(".")[2:] or [alias.name for alias in node.names]
                assert names[0] in allowed, f"{path.name} imports {node.module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), path


def test_the_plugin_loads_nothing_heavy():
    heavy = {"torch", "transformers", "numpy", "scipy"}
    code = f"import sys, pytest_kernelbench.plugin; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_a_suite_that_does_not_ask_for_it_is_left_alone(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\ndef test_other():\n    assert not {'torch', 'pytest_kernelbench.pipeline'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT.parent)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
