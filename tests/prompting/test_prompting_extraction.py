import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.prompting.extraction import extract_source, fenced_blocks
from pytest_kernelbench.records import Task

REFERENCE = '''\
import torch
import torch.nn as nn


class Model(nn.Module):
    """Adds."""

    def forward(self, a: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return a * scale


def get_inputs():
    return [torch.rand(4)]
'''
TASK = Task(id="level1/7_Scale", source=REFERENCE)
MODULE = "class ModelNew:\n    def forward(self, x):\n        return x"
CODE = st.text(st.sampled_from("`~\n\r\t class ModelNew:def forward(self)return x'\"\\\0\ud800#{}[]"), max_size=200)


def module(text: str) -> str | None:
    return extract_source(text, answer="module", task=TASK)


def body(text: str) -> str | None:
    return extract_source(text, answer="forward_body", task=TASK)


@pytest.mark.parametrize("tag", ["python", "py", "Python", "", " python3 {.numberLines}"])
@pytest.mark.parametrize("marks", ["```", "~~~", "````"])
def test_fenced_module_is_found_whatever_its_tag_and_marks(marks: str, tag: str) -> None:
    assert module(f"Here:\n\n{marks}{tag}\n{MODULE}\n{marks}\nDone.") == MODULE


def test_carriage_returns_do_not_reach_the_source() -> None:
    assert module(f"```python\n{MODULE}\n```\n".replace("\n", "\r\n")) == MODULE


def test_fence_inside_a_list_loses_its_indentation() -> None:
    assert module("1. so:\n" + textwrap.indent(f"```python\n{MODULE}\n```", "   ")) == MODULE


def test_of_several_modules_the_last_one_counts() -> None:
    later = MODULE.replace("return x", "return x + 1")
    assert module(f"```python\n{MODULE}\n```\nBetter:\n```python\n{later}\n```\nTry:\n```\nModelNew()\n```") == later


def test_finished_module_is_preferred_to_a_truncated_revision() -> None:
    assert module(f"```python\n{MODULE}\n```\nBetter:\n```python\nclass ModelNew:\n    def forward(") == MODULE


def test_truncated_module_is_a_source_and_left_to_fail_in_the_build() -> None:
    assert module("```python\nclass ModelNew:\n    def forward(") == "class ModelNew:\n    def forward("


def test_module_without_fences_is_taken_whole() -> None:
    assert module(MODULE) == MODULE


def test_name_bound_by_assignment_counts_as_defined() -> None:
    source = "class Fast:\n    pass\n\nModelNew = Fast"
    assert module(f"```\n{source}\n```") == source


@pytest.mark.parametrize("text", ["", "I cannot.", "```python\nx = 1\n```", "class ModelNew is what I would write"])
def test_answer_without_model_new_has_no_source(text: str) -> None:
    assert module(text) is None


def test_longer_fence_may_hold_a_shorter_one() -> None:
    assert list(fenced_blocks("````\na\n```\nb\n````\n")) == ["a\n```\nb"]


def test_invalid_escape_in_an_answer_warns_nobody() -> None:
    source = MODULE + '\n\nPATTERN = "\\d"'
    assert module(f"```python\n{source}\n```") == source


def forward_of(source: str | None) -> ast.FunctionDef:
    assert source is not None and source.startswith(REFERENCE)
    new = ast.parse(source).body[-1]
    assert isinstance(new, ast.ClassDef) and new.name == "ModelNew"
    assert [ast.unparse(base) for base in new.bases] == ["Model"]
    forward = new.body[0]
    assert isinstance(forward, ast.FunctionDef)
    return forward


@pytest.mark.parametrize(
    "text",
    [
        "b = a\nreturn b",
        "```python\nb = a\nreturn b\n```",
        "Here it is:\n```\n        b = a\n        return b\n```\nIt is fast.",
        "b = a\n        return b",
        "```python\r\nb = a\r\nreturn b",
        "def forward(self, a: torch.Tensor, *, scale: float=1.0) -> torch.Tensor:\n    b = a\n    return b",
    ],
)
def test_statements_become_forward_with_the_signature_of_the_reference(text: str) -> None:
    assert ast.unparse(forward_of(body(text))) == (
        "def forward(self, a: torch.Tensor, *, scale: float=1.0) -> torch.Tensor:\n    b = a\n    return b"
    )


def test_imports_and_helpers_beside_a_whole_forward_stay_at_module_level() -> None:
    source = body("import math\n\ndef forward(self, a):\n    return half(a)\n\ndef half(a):\n    return a / 2")
    assert ast.unparse(forward_of(source)) == "def forward(self, a):\n    return half(a)"
    names = [getattr(node, "name", type(node).__name__) for node in ast.parse(source or "").body]
    assert names == ["Import", "Import", "Model", "get_inputs", "Import", "half", "ModelNew"]


def test_text_inside_strings_is_not_indented() -> None:
    forward = forward_of(body('code = """\nvoid kernel() {}\n"""\nreturn a'))
    assert ast.unparse(forward.body[0]) == "code = '\\nvoid kernel() {}\\n'"


@pytest.mark.parametrize("name", ["ModelNew", "Fast"])
def test_class_in_place_of_a_body_is_taken_as_it_is(name: str) -> None:
    source = body(f"class {name}(nn.Module):\n    def forward(self, a):\n        return a")
    assert source is not None and source.startswith(REFERENCE)
    last = ast.unparse(ast.parse(source).body[-1])
    assert last.startswith("class ModelNew") if name == "ModelNew" else last == "ModelNew = Fast"


def test_body_that_does_not_parse_is_a_source_and_left_to_fail_in_the_build() -> None:
    source = body("```python\nreturn (a\n```")
    assert source is not None and source.endswith("        return (a\n")


@pytest.mark.parametrize("text", ["", " \n\t\n", "```python\n\n```"])
def test_blank_body_has_no_source(text: str) -> None:
    assert body(text) is None


def test_reference_without_forward_is_the_tasks_fault() -> None:
    with pytest.raises(TaskError) as error:
        extract_source("return x", answer="forward_body", task=Task(id="level1/1_A", source="x = 1"))
    assert str(error.value) == "level1/1_A: no class Model with a forward; a KernelBench task defines both"


@given(text=st.one_of(st.text(), CODE), answer=st.sampled_from(["module", "forward_body"]))
def test_no_text_makes_extraction_raise(text: str, answer: str) -> None:
    source = extract_source(text, answer=answer, task=TASK)
    assert source is None or isinstance(source, str)


@given(
    st.lists(st.sampled_from(["x = 1", "if x:", "    y = 'a'", "# note", "", "class ModelNew: pass"]), max_size=8),
    st.sampled_from(["```", "~~~~"]),
)
def test_what_is_fenced_comes_out_unchanged(lines: list[str], marks: str) -> None:
    content = "\n".join(lines)
    assert list(fenced_blocks(f"words\n{marks}python\n{content}\n{marks}\nwords")) == [content]
