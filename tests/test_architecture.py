"""Imports point down, and the plugin costs nothing where it is not asked for."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from project import PLUGIN

import pytest_kernelbench

ROOT = Path(pytest_kernelbench.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "data" not in path.relative_to(ROOT).parts)

# A module may import from its own room, and from rooms on lines below.
LAYERS = (
    {"__main__"},
    {"plugin", "commands"},
    {"pinned", "lookahead"},
    {"pipeline", "workbench"},
    {"adaptation"},
    {"ledger", "report", "serving"},
    {"evaluation", "policies", "search", "selection"},
    {"tiny_policy"},
    {"tasks", "strategy"},
    {"prompting", "inline", "host"},
    {"records", "errors"},
)
# Inside ``report``: a page shows what an analysis found in records, and a record knows neither.
INNER_LAYERS = ({"render"}, {"analyses"}, {"records"}, {"metrics", "stats"})
HEIGHT = {part: len(LAYERS) - number for number, layer in enumerate(LAYERS) for part in layer}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def names_imported(path: Path) -> set[tuple[str, ...]]:
    """Dotted names of this package that a module imports, in functions too, but not for type checking only."""
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
            module = (*above, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {name[1:] for name in names if name[0] == "pytest_kernelbench"}
    return found


def parts_imported(path: Path) -> set[str]:
    """What stands first in them; the package's own names are those of the parts below it."""
    return {name[0] for name in names_imported(path) if len(name) > 1 or (ROOT / f"{name[0]}.py").exists()}


def file_of(name: tuple[str, ...]) -> Path | None:
    """The module that a dotted name is, or is found in; None for the package itself."""
    if not name:
        return None
    for candidate in (ROOT.joinpath(*name).with_suffix(".py"), ROOT.joinpath(*name, "__init__.py")):
        if candidate.exists():
            return candidate
    return file_of(name[:-1])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    part = part_of(path)
    if part == "__init__":
        return
    for imported in parts_imported(path) - {part}:
        assert HEIGHT[imported] < HEIGHT[part], f"{part} imports {imported}, which is not below it"


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) == "report"], ids=lambda path: path.stem)
def test_inside_the_report_imports_point_down_as_well(path):
    heights = {part: -number for number, layer in enumerate(INNER_LAYERS) for part in layer}
    room = path.relative_to(ROOT).parts[1]
    for name in names_imported(path):
        if name[0] == "report" and len(name) > 1 and name[1] != room and room in heights:
            assert heights[name[1]] < heights[room], f"report.{room} imports report.{name[1]}, which is not below it"


def test_no_module_imports_what_imports_it():
    imports = {path: {file for name in names_imported(path) if (file := file_of(name))} - {path} for path in MODULES}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(ROOT)) for path in error.args[1]))


def test_only_the_worker_s_own_folder_runs_beside_a_candidate():
    worker = ROOT / "evaluation" / "worker"
    allowed = ("device.shared", "layouts", "messages", "modules", "precision", "trees", "worker")
    for path in worker.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and "evaluation" in node.module:
                above = node.module.split(".")[2:]
                for alias in node.names:
                    name = ".".join([*above, alias.name])
                    assert any(name == each or name.startswith(f"{each}.") for each in allowed), (path.name, name)


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
