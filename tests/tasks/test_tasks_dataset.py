"""Tasks from KernelBench's dataset."""

import sys
from types import ModuleType

import pytest
from task_files import TASK, ids, refusal

from pytest_kernelbench.tasks import load_tasks


@pytest.fixture
def dataset(monkeypatch):
    """A stand-in for the package ``datasets``, in the shape of the real dataset."""
    module = ModuleType("datasets")
    rows = {
        "level_1": [
            {"code": TASK, "level": 1, "name": "2_B", "problem_id": 2},
            {"code": TASK, "level": 1, "name": "1_A.py", "problem_id": 1},
        ],
        "level_2": [{"code": TASK, "level": 2, "name": "Fused", "problem_id": 7}],
    }
    module.load_dataset = {"ScalingIntelligence/KernelBench": rows}.__getitem__
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_the_dataset_holds_all_levels(dataset):
    tasks = load_tasks("hf")
    assert ids(tasks) == ["level1/1_A", "level1/2_B", "level2/7_Fused"]
    assert {(task.source, task.path) for task in tasks} == {(TASK, None)}
    assert ids(load_tasks("hf:level2")) == ["level2/7_Fused"]
    assert refusal("hf:level9") == "tasks=hf:level9: no such level; there are level1, level2"
    assert refusal("hf:level2", sizes="small") == ("sizes=small: no small size for level2/7_Fused; use sizes=full")


def test_a_row_of_the_dataset_that_is_no_task_is_refused(dataset):
    dataset.load_dataset("ScalingIntelligence/KernelBench")["level_2"][0]["code"] = "N = 1"
    assert refusal("hf") == (
        "ScalingIntelligence/KernelBench level2/7_Fused: no class Model, no function get_inputs, no function "
        "get_init_inputs; a KernelBench task defines Model, get_inputs and get_init_inputs"
    )


def test_the_dataset_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal("hf") == (
        "tasks=hf: needs the package datasets; pip install datasets, or give a KernelBench checkout"
    )


def test_the_dataset_off_line_says_why_it_did_not_load(dataset):
    def unreachable(name):
        raise ConnectionError("Couldn't reach the Hub\nTraceback follows")

    dataset.load_dataset = unreachable
    assert refusal("hf") == (
        "tasks=hf: ScalingIntelligence/KernelBench did not load (Couldn't reach the Hub); "
        "go online once, or give a KernelBench checkout"
    )
