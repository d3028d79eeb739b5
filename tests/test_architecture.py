"""The rooms of the package, which of them may import which, and how large a module may become.

``python tests/rooms.py`` prints the rooms and their neighbours; docs/architecture.md is the page about them.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from project import PLUGIN
from repeats import repeats_in
from rooms import MODULES, ROOMS, ROOT, files_imported, names_imported, neighbours_of, room_of

# Inside ``report``: a page shows what an analysis found in records, and a record knows neither.
INNER_LAYERS = ({"render"}, {"analyses"}, {"records"}, {"metrics", "stats"})

MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_ARGUMENTS = 350, 60, 6
PROJECT = ROOT.parent
# Kernels as text are data: one function a family of them, or one module a cheat.
DATA = (ROOT / "tiny_policy" / "corpus", PROJECT / "tests" / "adversarial" / "catalogue")

# Everything that is read as code: the package, the benchmarks and the scripts of docs/.
SCRIPTS = sorted([*PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("docs/*.py")])
SIZED = [path for path in (*MODULES, *SCRIPTS) if path.parent not in DATA]
# Tests and their helpers: a long one is split along its subjects. A test's fixtures are its arguments.
TESTS = [path for path in sorted((PROJECT / "tests").rglob("*.py")) if path.parent not in DATA]


def name_of(path):
    return str(path.relative_to(ROOT if path.is_relative_to(ROOT) else PROJECT))


@cache
def tree_of(path):
    return ast.parse(path.read_text())


@cache
def functions_of(path):
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.fixture(autouse=True, scope="module")
def trees_are_forgotten():
    """After the last test of this file: a million objects, through which Python would go for garbage."""
    yield
    tree_of.cache_clear()
    functions_of.cache_clear()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_its_neighbours_and_from_no_other_room(room):
    imported, allowed = neighbours_of(room), set(ROOMS[room].neighbours)
    assert not imported - allowed, f"{room} imports another room: find another way, or add it in tests/rooms.py"
    assert not allowed - imported, f"{room} no longer imports it: take it out of tests/rooms.py"


def test_every_room_is_in_the_table_and_its_neighbours_stand_below_it():
    assert {room_of(path) for path in MODULES} - {"__init__"} == set(ROOMS)
    order = list(ROOMS)
    for name, room in ROOMS.items():
        for other in room.neighbours:
            assert order.index(other) > order.index(name), f"{other} stands above {name}"


def test_inside_the_report_imports_point_down_as_well():
    heights = {part: -number for number, layer in enumerate(INNER_LAYERS) for part in layer}
    for path in (path for path in MODULES if room_of(path) == "report"):
        room = path.relative_to(ROOT).parts[1]
        for name in names_imported(path):
            if name[0] == "report" and len(name) > 1 and name[1] != room and room in heights:
                below = heights[name[1]] < heights[room]
                assert below, f"{name_of(path)} imports report.{name[1]}, which is not below it"


def test_no_module_imports_what_imports_it():
    try:
        TopologicalSorter({path: files_imported(path) for path in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(map(name_of, error.args[1])))


def test_only_the_worker_s_own_folder_runs_beside_a_candidate():
    worker = ROOT / "evaluation" / "worker"
    of_device = tuple(
        f"device.{each}" for each in ("cuda_memory.release_persisting_l2", "device_named", "host", "names", "traits")
    )
    allowed = (*of_device, "device.shared", "layouts", "boundary.messages", "modules", "precision")
    allowed += ("torch_state", "trees", "worker")
    for path in worker.glob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module and "evaluation" in node.module:
                above = node.module.split(".")[2:]
                for alias in node.names:
                    name = ".".join([*above, alias.name])
                    assert any(name == each or name.startswith(f"{each}.") for each in allowed), (path.name, name)


# What callers in Python and over HTTP meet, and in it the files of names that pytest's options have.
LIBRARY = ("tasks", "evaluation", "environments", "serving")
OF_PYTEST = {"tasks/__init__.py", "tasks/gate_sizes.py", "serving/client.py"}


def test_no_error_of_the_library_names_an_option_of_pytest():
    found = {}
    for path in (path for path in MODULES if room_of(path) in LIBRARY and name_of(path) not in OF_PYTEST):
        docstrings = [node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Expr)]
        for node in ast.walk(tree_of(path)):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
            if is_text and re.search(r"--(kernelbench-|tasks\b|policy\b|strategy\b)", node.value):
                found[f"{name_of(path)}:{node.lineno}"] = node.value
    assert not found, "name the caller's argument, or take its name (as load_tasks and resolve_device do)"


def test_every_module_says_what_it_is_for():
    assert not [name_of(path) for path in (*MODULES, *SCRIPTS) if not ast.get_docstring(tree_of(path))]


def test_no_module_is_too_long_to_read():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in (*SIZED, *TESTS)}
    assert not {name: n for name, n in lines.items() if n > MOST_LINES}, f"at most {MOST_LINES} lines; take it apart"


def test_no_function_is_too_long_to_read():
    lines = {
        f"{name_of(path)}:{function.name}": function.end_lineno - function.lineno + 1
        for path in (*SIZED, *TESTS)
        for function in functions_of(path)
    }
    found = {name: n for name, n in lines.items() if n > MOST_LINES_OF_A_FUNCTION}
    assert not found, f"at most {MOST_LINES_OF_A_FUNCTION} lines"


def test_no_function_takes_more_arguments_than_one_remembers():
    """``self`` aside. A constructor may take more where all but the first are keywords: a call then names each."""
    found = {}
    for path in (*SIZED, *TESTS):
        for function in functions_of(path):
            given = function.args
            places = [each.arg for each in (*given.posonlyargs, *given.args) if each.arg not in ("self", "cls")]
            count = len(places) + len(given.kwonlyargs)
            name, named = f"{name_of(path)}:{function.name}", function.name == "__init__" and len(places) <= 1
            if count > MOST_ARGUMENTS and not named:
                found[name] = count
    assert not found, f"at most {MOST_ARGUMENTS} arguments"


def test_no_two_places_do_the_same_in_ten_lines():
    repeats = repeats_in(SIZED)
    assert not [f"{name_of(a)}:{i} and {name_of(b)}:{j}" for (a, i), (b, j) in repeats]


MODES_OF_TORCH = {"no_grad", "inference_mode", "set_grad_enabled", "enable_grad", "autocast", "device"}


def yields_under_a_mode(path: Path) -> list[int]:
    """Lines on which a generator hands something out inside ``with torch.no_grad()`` or the like.

    The mode is the thread's: while the generator waits, and for good if nobody asks on, it is its consumer's. In a
    context manager that is what is asked for, and ``@torch.inference_mode()`` on a generator ends at each yield.
    """
    found = []
    for function in functions_of(path):
        if any("contextmanager" in ast.unparse(each) for each in function.decorator_list):
            continue
        for block in ast.walk(function):
            if isinstance(block, ast.With) and any(
                isinstance(each, ast.Attribute) and each.attr in MODES_OF_TORCH and ast.unparse(each.value) == "torch"
                for item in block.items
                for each in ast.walk(item.context_expr)
            ):
                found += [each.lineno for each in ast.walk(block) if isinstance(each, ast.Yield | ast.YieldFrom)]
    return found


def test_no_generator_holds_a_mode_of_torch_while_it_waits(tmp_path):
    held = {str(path.relative_to(ROOT)): lines for path in MODULES if (lines := yields_under_a_mode(path))}
    assert held == {}
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def rows():\n    with lock, torch.no_grad():\n        for row in found:\n            yield row\n")
    assert yields_under_a_mode(wrong) == [4]


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


def test_the_picture_of_the_rooms_is_the_one_that_the_imports_draw():
    docs = Path(__file__).parent.parent / "docs"
    command = [sys.executable, str(docs / "draw_architecture.py"), "--print"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    current = (docs / "architecture.svg").read_text() == drawn
    assert current, "imports changed: run python docs/draw_architecture.py"
