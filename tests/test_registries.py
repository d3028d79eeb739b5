"""Each name that a strategy may use is in one table, which loads nothing until an object is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_kernelbench
from pytest_kernelbench.adaptation.advantages import ADVANTAGES
from pytest_kernelbench.registries import RANKINGS, TABLES, Registry
from pytest_kernelbench.selection import Ranking, Sees
from pytest_kernelbench.strategy import load_strategies

ROOT = Path(pytest_kernelbench.__file__).parent
LINES = [(table, name) for table, registry in TABLES.items() for name in registry]


@pytest.mark.parametrize(("table", "name"), LINES, ids=[".".join(each) for each in LINES])
def test_every_line_of_a_table_leads_to_an_object(table, name):
    if table == "trained_by":
        pytest.importorskip(name if name == "tinker" else "torch")
    assert TABLES[table][name] is TABLES[table][name] is not None


def test_the_names_are_there_before_anything_heavy_is_loaded():
    code = (
        "import sys; from pytest_kernelbench.registries import TABLES; print([list(each) for each in TABLES.values()]);"
        "print(sorted({'torch', 'numpy', 'scipy', 'tinker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_module_lists_the_names_of_a_table_once_more():
    """A tuple, list, set or dict with all names of a table is a second table, which may fall behind the first."""
    several = {frozenset(registry): table for table, registry in TABLES.items()}
    for path in ROOT.rglob("*.py"):
        if path == ROOT / "registries.py" or "data" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            texts = frozenset(each.value for each in elements if isinstance(each, ast.Constant))
            assert texts not in several, f"{path}:{node.lineno} lists the names of {several[texts]} again"


def test_a_room_s_own_table_is_the_one_of_the_registry():
    assert ADVANTAGES is TABLES["adaptation.method"]


def test_an_object_that_a_program_adds_can_be_named_by_a_strategy(tmp_path, monkeypatch):
    monkeypatch.setitem(RANKINGS, "last", Ranking(order=lambda correct, seed: [], sees=Sees.VERDICTS))
    (tmp_path / "mine.toml").write_text('[selection]\nby = "last"\n')
    (strategy,) = load_strategies(["mine"], folders=[tmp_path])
    assert strategy.selection.by == "last" and not strategy.needs_logprobs


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        Registry({"a": "errors:KernelBenchError"})["b"]
