"""Bodies of ``forward`` in answers: found, and put into the reference's class."""

import ast

import pytest
from scale_task import REFERENCE, TASK

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.prompting.extraction import extract, extract_source
from pytest_kernelbench.records import Task


def body(text: str) -> str | None:
    return extract_source(text, answer="forward_body", task=TASK)


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


@pytest.mark.parametrize("parts", [1, 2])
def test_future_imports_of_a_body_go_to_the_top(parts: int) -> None:
    imports = "from __future__ import annotations" + ("\nfrom __future__ import division; import math" * (parts - 1))
    source = body(f"```python\n{imports}\n\ndef forward(self, a):\n    return a\n```")
    assert source is not None and source.startswith("from __future__ import annotations\n")
    compile(source, "answer", "exec")
    assert "ModelNew" in source and source.count("__future__") == parts


def test_the_first_block_of_python_is_the_body() -> None:
    source = body("```bash\npip install triton\n```\nThen: ```python\nreturn a\n```<|im_end|>")
    assert source is not None and source.endswith("        return a\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here it is:\n\nb = a * 2\nreturn b\n\nThis reads `a` once, so it's fast.", "b = a * 2\n        return b"),
        ("I'd write this:\n\n    return a * 2\n\nDone.", "return a * 2"),
    ],
)
def test_a_body_without_fences_is_found_between_sentences(text: str, code: str) -> None:
    source = body(text)
    assert source is not None and source.endswith(f"\n        {code}\n")


def test_a_text_in_which_nothing_looks_like_code_holds_none() -> None:
    found = extract("This can't be made faster, I'm afraid.\nAsk me again.", answer="forward_body", task=TASK)
    assert (found.source, found.missing) == (None, "holds no code")
