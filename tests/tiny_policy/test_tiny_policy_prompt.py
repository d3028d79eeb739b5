"""The prompt of the tiny policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.tiny_policy.prompt import compact, prompt_for

SOURCE = '''
import torch
import torch.nn as nn

class Model(nn.Module):
    """Multiplies."""

    def __init__(self, scale: float = 2.0):
        """Keeps it."""
        super().__init__()
        self.scale: float = scale  # a comment

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale

N = 4

def get_inputs():
    return [torch.rand(N)]
'''

COMPACT = """N = 4
class Model(nn.Module):

    def __init__(self, scale=2.0):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * self.scale
def get_inputs():
    return [torch.rand(N)]"""


def test_constants_the_bare_class_and_the_inputs_are_left():
    assert compact(SOURCE) == COMPACT


def test_compacting_twice_changes_nothing():
    assert compact(compact(SOURCE)) == COMPACT


def test_no_two_tasks_ask_the_same():
    prompts = {prompt_for(task.source, "cpu") for task in load_tasks("level1")}
    assert len(prompts) == 100


def test_the_target_comes_first():
    assert prompt_for(SOURCE, "cuda") == f"<target>cuda</target>\n{COMPACT}\n"


def test_a_body_of_nothing_but_a_docstring_becomes_pass():
    assert compact('class Model:\n    """Nothing."""') == "class Model:\n    pass"


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), max_size=40))
def test_docstrings_and_comments_never_reach_the_prompt(words):
    text = SOURCE.replace("Multiplies.", words.replace("\\", "")).replace("a comment", words)
    assert compact(text) == COMPACT


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Other: pass", "task source: no class Model; a KernelBench task defines one"),
        ("class Model(", "task source: line 1 does not parse ('(' was never closed); correct the file"),
    ],
)
def test_a_source_without_a_model_is_named(source, message):
    with pytest.raises(TaskError) as raised:
        compact(source)
    assert str(raised.value) == message


def test_an_unknown_target_is_named():
    with pytest.raises(ValueError, match='tiny policy: unknown target "cud"; did you mean "cuda"'):
        prompt_for(SOURCE, "cud")
    with pytest.raises(ValueError, match='tiny policy: unknown target "tpu7x"; it knows cpu and cuda'):
        prompt_for(SOURCE, "tpu7x")
