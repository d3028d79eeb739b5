"""The ``pinned`` policy answers a task with the kernel file that a repository keeps for it."""

from pathlib import Path

import pytest
from contract import texts
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import load_policy, require_logprobs
from pytest_kernelbench.policies.pinned import FENCE, PinnedPolicy, pins_in
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

TASK = Task(id="level1/19_ReLU", source="")


def keep(folder: Path, text: str) -> Path:
    file = folder / "level1" / "19_ReLU.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_kernel_is_the_one_answer_to_its_task(tmp_path):
    keep(tmp_path, "class ModelNew: ...\n")
    (tmp_path / "level1" / "__init__.py").write_text("")
    policy = load_policy(f"pinned:{tmp_path}", device="cpu")
    assert list(pins_in(tmp_path)) == ["level1/19_ReLU"]
    assert texts(policy, TASK, Sampling(), [0, 1, 2]) == {0: f"{FENCE}python\nclass ModelNew: ...\n\n{FENCE}\n"}
    assert texts(policy, TASK, Sampling(), [1]) == {}
    assert texts(policy, Task(id="level1/20_x", source=""), Sampling(), [0]) == {}


@given(lines=st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)))
def test_its_text_is_the_candidate_s_whatever_stands_in_it(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("pins")
    source = "class ModelNew: ...\n" + "".join(f"# {line}\n" for line in lines) + '"""\n```python\n~~~\n"""\n'
    keep(folder, source)
    (answer,) = PinnedPolicy(folder, name="pinned").sample(TASK, Sampling(), seed=0, indices=[0])
    assert extract_source(answer.text, answer="module", task=TASK) == source


def test_another_text_is_another_version(tmp_path):
    keep(tmp_path, "class ModelNew: ...\n")
    before = PinnedPolicy(tmp_path, name="pinned").version
    keep(tmp_path, "class ModelNew: ...  # changed\n")
    assert PinnedPolicy(tmp_path, name="pinned").version != before


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path):
    file = keep(tmp_path, "")
    file.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"cannot be read .*; a pinned kernel is Python in UTF-8") as caught:
        PinnedPolicy(tmp_path, name="pinned")
    assert str(caught.value).startswith(str(file))


def test_there_are_no_log_probabilities(tmp_path):
    keep(tmp_path, "class ModelNew: ...\n")
    with pytest.raises(PolicyError, match='gives no logprobs, which strategy "surprisal" needs'):
        require_logprobs(PinnedPolicy(tmp_path, name=f"pinned:{tmp_path}"), "surprisal")
