"""The prompts: what each style asks for, the user's own text, and the description of the device."""

import ast
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.prompting.blocks import plain_blocks
from pytest_kernelbench.prompting.device_facts import device_facts, facts_of_cpu, facts_of_gpu
from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.prompting.question import Question, question_of
from pytest_kernelbench.prompting.styles import EXAMPLE_NEW
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


def asked(answer: str, **prompt: Any) -> list[dict[str, str]]:
    return build_messages(TASK, Question(answer=answer, **prompt).encoded(), "cpu")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_kernelbench_s_style_shows_a_worked_example_that_is_python(target: str) -> None:
    (user,) = build_messages(TASK, Question(answer="module", style="kernelbench").encoded(), target)
    found = [block.code for block in plain_blocks(user["content"], lambda code: True)]
    blocks = [code for code in found if code]  # it speaks of fences too
    assert TASK.source.strip() in blocks and len(blocks) == 3
    for block in blocks[:2]:
        ast.parse(block)
    assert "class ModelNew" in blocks[1] and ("load_inline" in blocks[1]) is (target == "cuda")


def test_the_worked_example_for_a_cpu_adds() -> None:
    torch = pytest.importorskip("torch")
    namespace: dict[str, Any] = {}
    exec(EXAMPLE_NEW["cpu"], namespace)
    a, b = torch.arange(8.0), torch.ones(8)
    assert torch.equal(namespace["ModelNew"]()(a, b), a + b)


def test_the_paper_s_style_asks_for_statements_or_pass() -> None:
    system, user = asked("forward_body", style="paper")
    assert "answer: pass" in system["content"] and system["content"].count("Answer: return") == 3
    assert user["content"].startswith("Problem 7: Scale\n") and TASK.source.strip() in user["content"]


def test_a_text_of_one_s_own_is_asked_with_the_reference_in_it() -> None:
    text = "Be quick.\n---\nFor {{task}} write `{x}`:\n{{source}}\n{{backends}}\n{{other}}"
    system, user = asked("module", text=text)
    assert system["content"] == "Be quick."
    assert user["content"].startswith(f"For {TASK.id} write `{{x}}`:\n{TASK.source.strip()}\n- You may use")
    assert user["content"].endswith("{{other}}")
    assert [message["role"] for message in asked("module", text="{{source}}")] == ["user"]


@pytest.mark.parametrize("style", ["ours", "kernelbench", "paper"])
def test_the_device_is_described_where_that_is_asked_for(style: str) -> None:
    answer = "forward_body" if style == "paper" else "module"
    plain, told = (asked(answer, style=style, device_facts=facts)[-1]["content"] for facts in (False, True))
    assert device_facts("cpu") in told and device_facts("cpu") not in plain
    assert "cores that may be used" in device_facts("cpu")


def test_facts_are_those_that_the_machine_tells() -> None:
    cpu = "processor : 0\nmodel name : Some CPU\nflags : fpu avx2 avx512f\n"
    assert facts_of_cpu(cpu, 4) == ["Some CPU", "4 cores that may be used", "vectors: AVX-512, AVX2"]
    gpu = SimpleNamespace(
        name="H", major=9, minor=0, multi_processor_count=132, total_memory=80 * 2**30, L2_cache_size=50 * 2**20
    )
    assert facts_of_gpu(gpu) == [
        "H, compute capability 9.0",
        "132 multiprocessors, 80 GiB of memory",
        "50 MiB of L2 cache",
    ]
    wide = SimpleNamespace(
        **vars(gpu), shared_memory_per_block_optin=232448, memory_clock_rate=2619000, memory_bus_width=5120
    )
    assert facts_of_gpu(wide)[3:] == ["227 KiB of shared memory a block at most", "memory of 3.4 TB/s at best"]


@given(
    st.builds(Question, answer=st.sampled_from(["module", "forward_body"]), text=st.text(), device_facts=st.booleans())
)
def test_a_question_survives_as_text(question: Question) -> None:
    assert question_of(question.encoded()) == question
