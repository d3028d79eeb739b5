"""Answers as real models write them: the code that is extracted is the code that a person finds in them."""

import ast

import pytest
from written import FOLDER, SIGNS, written

from pytest_kernelbench.prompting.extraction import extract
from pytest_kernelbench.prompting.reasoning import parts_of
from pytest_kernelbench.records import Task

MODULES, BODIES = written("modules"), written("bodies")
REFERENCE = """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        y = F.softplus(x)
        return y
"""
TASK = Task(id="level1/29_Softplus", source=REFERENCE)


def same(source: str | None, wanted: str) -> bool:
    """Whether both are the same Python, or the same text where they are cut off."""
    try:
        return source is not None and ast.dump(ast.parse(source)) == ast.dump(ast.parse(wanted))
    except SyntaxError:
        return source == wanted


@pytest.mark.parametrize("name", MODULES)
def test_the_module_of_an_answer_is_the_one_that_a_person_finds(name: str) -> None:
    text, wanted = MODULES[name]
    found = extract(parts_of(text).answer, answer="module", task=TASK)
    assert same(found.source, wanted), (found.part, found.missing, found.source)
    assert found.part


@pytest.mark.parametrize("name", BODIES)
def test_the_body_of_an_answer_is_the_one_that_a_person_finds(name: str) -> None:
    text, wanted = BODIES[name]
    source = extract(parts_of(text).answer, answer="forward_body", task=TASK).source
    classes = [node for node in ast.parse(source or "").body if isinstance(node, ast.ClassDef)]
    new = next(node for node in reversed(classes) if node.name == "ModelNew")
    forward = next(node for node in new.body if isinstance(node, ast.FunctionDef) and node.name == "forward")
    statements = ast.parse("def forward():\n" + "\n".join(f"    {line}" for line in wanted.split("\n"))).body[0]
    assert isinstance(statements, ast.FunctionDef)
    assert [ast.dump(node) for node in forward.body] == [ast.dump(node) for node in statements.body]


def test_every_answer_is_written_out() -> None:
    """A sign or a piece of code that is not filled in would be searched for in vain, and found missing rightly."""
    assert len(MODULES) > 80 and len(BODIES) > 20
    for text, wanted in [*MODULES.values(), *BODIES.values()]:
        assert not {"«", "»"} & {*text, *wanted} and wanted.strip()
    assert all(any(sign in text for text, _ in MODULES.values()) for sign in SIGNS.values())
    assert {file.stem for file in FOLDER.iterdir()} == {"modules", "bodies"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("```python\n1 class ModelNew:\n2     x = 1 &lt; 2\n```", "block 1 of 1, unescaped, without line numbers"),
        ("```diff\n+class ModelNew:\n+    x = 1\n```", "block 1 of 1, the new side of a diff"),
        ('{"code": "class ModelNew:\\n    x = 1"}', "a string in the answer"),
        ("```\nclass ModelNew(Model):\n    x = 1\n```", "block 1 of 1, after the reference"),
        ("```\nTake this:\n\nclass ModelNew:\n    x = 1\n```", "block 1 of 1, lines 3 to 4"),
    ],
)
def test_the_record_says_in_which_form_the_module_was_written(text: str, part: str) -> None:
    assert extract(text, answer="module", task=TASK).part == part


@pytest.mark.parametrize(
    "text",
    [
        "```python\n{}\n",  # no other form of the code is complete either
        "{}",
        '{{"code": "{}',
    ],
)
@pytest.mark.parametrize("end", [30, 50, 75, 95, 110])
def test_an_answer_that_is_cut_off_is_not_made_whole(text: str, end: int) -> None:
    module = "class ModelNew:\n    def forward(self, x):\n        y = x + 1\n        return y * (\n            x + 2"
    cut = module[:end].rstrip()
    source = extract(text.format(cut), answer="module", task=TASK).source
    assert source is None or source.rstrip().endswith(cut)


def test_a_class_that_inherits_from_a_model_of_its_own_stays_alone() -> None:
    source = "class Model:\n    pass\n\n\nclass ModelNew(Model):\n    def forward(self, x):\n        return x"
    assert extract(f"```\n{source}\n```", answer="module", task=TASK).source == source


def test_a_change_of_the_reference_that_fits_no_place_is_not_made() -> None:
    text = "<<<<<<< SEARCH\nclass Net(nn.Module):\n=======\nclass ModelNew(nn.Module):\n>>>>>>> REPLACE\n"
    found = extract(text, answer="module", task=TASK)
    assert found.part != "a change of the reference"


def test_the_code_of_an_answer_after_a_byte_order_mark_is_read_from_its_place() -> None:
    found = extract("\ufeffclass ModelNew:\n    x = 1", answer="module", task=TASK)
    assert (found.source, found.place) == ("class ModelNew:\n    x = 1", None)
