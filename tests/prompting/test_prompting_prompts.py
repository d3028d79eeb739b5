import pytest

from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Task

TASK = Task(id="level1/7_Scale", source="class Model:  # {braces} stay\n    pass\n")


@pytest.mark.parametrize("answer", ["module", "forward_body"])
@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_every_prompt_quotes_the_whole_reference(answer: str, target: str) -> None:
    system, user = build_messages(TASK, answer, target)
    assert (system["role"], user["role"]) == ("system", "user")
    assert f"```python\n{TASK.source.strip()}\n```" in user["content"]
    assert TASK.id in user["content"]


@pytest.mark.parametrize(
    ("target", "helper", "other"), [("cpu", "compile_c", "Triton"), ("cuda", "compile_cuda", "OpenMP")]
)
def test_module_prompt_names_the_class_and_the_helper_of_its_target(target: str, helper: str, other: str) -> None:
    content = build_messages(TASK, "module", target)[1]["content"]
    assert "class ModelNew" in content
    assert f"from pytest_kernelbench.inline import {helper}\n" in content
    assert other not in content


def test_body_prompt_asks_for_statements_only() -> None:
    content = build_messages(TASK, "forward_body", "cpu")[1]["content"]
    assert "statements of the body only" in content
    assert "ModelNew" not in content


def test_plain_text_ends_where_the_answer_begins() -> None:
    assert as_plain_text(build_messages(TASK, "module", "cpu")).endswith("```python block.\n\nAnswer:\n")
