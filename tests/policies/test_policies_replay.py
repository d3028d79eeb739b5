"""The ``replay`` policy returns the completions of a recorded file, and refuses a file that it cannot use."""

import json
from pathlib import Path
from typing import Any

import pytest
from contract import keeps_the_contract
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import check_policy, load_policy, require_logprobs
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def replay(*rows: Any) -> ReplayPolicy:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    Path("candidates.jsonl").write_text("\n".join(lines) + "\n")
    policy = load_policy("replay:candidates.jsonl", device="cpu")
    assert isinstance(policy, ReplayPolicy)
    return policy


def replayed(policy: ReplayPolicy, task: Task, sampling: Sampling) -> list[Completion]:
    return list(policy.sample(task, sampling, seed=0, indices=range(sampling.k)))


def test_replay_keeps_the_contract(task: Task, sampling: Sampling) -> None:
    rows = [{"task": "level1/19", "text": f"x{i}", "logprobs": [-0.5, -i]} for i in range(sampling.k)]
    completions = keeps_the_contract(replay(*rows), task, sampling)
    assert [done.text for done in completions] == [f"x{i}" for i in range(sampling.k)]
    assert completions[3].mean_logprob == -1.75


def test_rows_are_numbered_within_their_task_by_level_and_number(task: Task, sampling: Sampling) -> None:
    policy = replay(
        {"task": "level1/19", "text": "a"},
        {"task": "level1/20", "text": "other"},
        "",
        {"task": "level1/19_ReLU", "text": "b"},
    )
    assert [(done.task, done.index, done.text) for done in replayed(policy, task, sampling)] == [
        ("level1/19_ReLU", 0, "a"),
        ("level1/19_ReLU", 1, "b"),
    ]


def test_task_without_rows_has_no_completions(sampling: Sampling) -> None:
    policy = replay({"task": "level1/19", "text": "a"})
    assert replayed(policy, Task(id="level1/1_A", source=""), sampling) == []


def test_recorded_completions_come_back_whole(task: Task, sampling: Sampling) -> None:
    row = {
        "task": task.id,
        "index": 4,
        "text": "x",
        "seed": 7,
        "token_ids": [3, 0],
        "logprobs": [-1, -0.25],
        "sampling_logprobs": [-0.5, 0.0],
        "stop_reason": "stop",
        "policy": "tiny",
        "policy_version": "abc",
    }
    policy = replay(row)
    assert replayed(policy, task, sampling) == [
        Completion(
            task=task.id,
            index=4,
            text="x",
            policy="replay:candidates.jsonl",
            policy_version=policy.version,
            seed=7,
            token_ids=(3, 0),
            logprobs=(-1.0, -0.25),
            sampling_logprobs=(-0.5, 0.0),
            stop_reason="stop",
            cut_off=False,
        )
    ]


def test_sum_and_count_stand_in_for_logprobs(task: Task, sampling: Sampling) -> None:
    policy = replay({"task": "level1/19", "text": "x", "sum_logprob": -6, "n_tokens": 3})
    assert policy.gives_logprobs
    require_logprobs(policy, "surprisal")
    assert replayed(policy, task, sampling)[0].mean_logprob == -2.0


BARE = [{}, {"sum_logprob": -1.0}, {"n_tokens": 3}, {"logprobs": []}, {"sum_logprob": -1.0, "n_tokens": 0}]


@pytest.mark.parametrize("bare", BARE)
def test_first_row_without_logprobs_is_named_where_no_row_has_them(bare: dict[str, Any]) -> None:
    policy = replay({"task": "level1/19", "text": "y", **bare}, {"task": "level1/20", "text": "z"})
    assert not policy.gives_logprobs
    with pytest.raises(PolicyError) as error:
        require_logprobs(policy, "surprisal")
    assert str(error.value) == (
        'candidates.jsonl:1: has no logprobs, which strategy "surprisal" needs; add "logprobs" or "sum_logprob" '
        'and "n_tokens", or choose a strategy that needs none (random, best-of-64)'
    )


@pytest.mark.parametrize("bare", BARE)
def test_a_row_without_logprobs_beside_others_is_left_to_the_selection(bare: dict[str, Any]) -> None:
    policy = replay({"task": "level1/19", "text": "y", **bare}, {"task": "level1/20", "text": "x", "logprobs": [-1.0]})
    require_logprobs(policy, "surprisal")


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ("problems/1", "problems/01_double"),
        ("problems/01", "problems/1_double"),
        ("problems/001_double", "problems/01_double"),
        ("problems/01_double", "problems/01_double"),
        ("problems/double", "problems/double"),
    ],
)
def test_a_task_is_meant_whatever_its_number_is_padded_with(row: str, task: str, sampling: Sampling) -> None:
    policy = replay({"task": row, "text": "a"}, {"task": "problems/2", "text": "b"})
    meant = Task(id=task, source="")
    assert [done.text for done in replayed(policy, meant, sampling)] == ["a"]
    assert policy.tasks_without([meant]) == ["problems/2"]


@pytest.mark.parametrize("content", ["", '{"task": "level1/19"}'])
def test_a_file_that_cannot_be_replayed_is_refused_before_anything_runs(content: str) -> None:
    Path("broken.jsonl").write_text(content)
    with pytest.raises(PolicyError) as error:
        check_policy("replay:broken.jsonl")
    assert str(error.value).startswith("broken.jsonl")


def test_reasoning_in_a_recorded_text_is_told_from_the_answer(task: Task, sampling: Sampling) -> None:
    spans = {"answer_tokens": [1, 2], "code_tokens": [1, 2]}
    row = {"task": task.id, "text": "a", "reasoning": "r", "logprobs": [-1.0, -2.0], "prompt_tokens": 5, **spans}
    policy = replay({"task": task.id, "text": "<think>r</think>a"}, row)
    first, second = replayed(policy, task, sampling)
    assert (first.text, first.reasoning) == (second.text, second.reasoning) == ("a", "r")
    assert (first.score("answer", "sum"), second.score("answer", "sum"), second.prompt_tokens) == (None, -2.0, 5)


@pytest.mark.parametrize("span", [[1], [2, 1], [-1, 2]])
def test_a_span_that_is_none_is_refused(span: list[int]) -> None:
    with pytest.raises(PolicyError) as error:
        replay({"task": "level1/1", "text": "x", "answer_tokens": span})
    assert str(error.value) == (
        'candidates.jsonl:1: "answer_tokens" must be the first token and the one after the last; correct the row'
    )


EACH = 'each line is an object with "task" and "text"'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"index": ' + "1" * 5000 + "}", f"has an integer of thousands of digits; {EACH}"),
        ("{task: 1}", f"not JSON (Expecting property name enclosed in double quotes); {EACH}"),
        ("[1]", f"not an object; {EACH}"),
        ('{"task": "level1/1"}', f'has no "text"; {EACH}'),
        ('{"text": "x"}', f'has no "task"; {EACH}'),
        ('{"task": 12, "text": "x"}', '"task" must be a string; correct the row'),
        ('{"task": "level1/1", "text": "x", "logprobs": -1}',
         '"logprobs" must be a list in which each is a finite number; correct the row'),
        ('{"task": "level1/1", "text": "x", "logprobs": [NaN]}',
         '"logprobs" must be a list in which each is a finite number; correct the row'),
        ('{"task": "level1/1", "text": "x", "n_tokens": 2.5}', '"n_tokens" must be a whole number; correct the row'),
        ('{"task": "level1/1", "text": "x", "index": -1}',
         '"index" must be a whole number from 0; or leave it out'),
    ],
)  # fmt: skip
def test_row_that_is_no_row_is_named_by_its_line(row: str, message: str) -> None:
    with pytest.raises(PolicyError) as error:
        replay({"task": "level1/1", "text": "x"}, "", row)
    assert str(error.value) == f"candidates.jsonl:3: {message}"


def test_index_that_comes_twice_names_both_lines() -> None:
    row = {"task": "level1/19", "text": "x", "index": 2}
    with pytest.raises(PolicyError) as error:
        replay(row, {**row, "task": "level1/19_ReLU"})
    assert str(error.value) == (
        "candidates.jsonl:2: index 2 of level1/19 is on line 1 already; "
        'number the rows of a task from 0, or leave "index" out of all of them'
    )


def test_file_without_rows_is_refused() -> None:
    with pytest.raises(PolicyError) as error:
        replay("")
    assert str(error.value) == f"candidates.jsonl: has no rows; {EACH}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    *("task", "text", "index", "seed", "logprobs", "token_ids", "sum_logprob", "n_tokens", "stop_reason"),
    *("reasoning", "answer_tokens", "prompt_tokens"),
)


@given(st.binary(max_size=40) | st.dictionaries(st.sampled_from(KEYS), json_values).map(json.dumps).map(str.encode))
def test_any_file_is_read_or_refused_in_words(content: bytes) -> None:
    file = Path("any.jsonl")
    file.write_bytes(content)
    try:
        policy = ReplayPolicy(file, name="replay:any.jsonl")
    except PolicyError as error:
        assert str(error).startswith("any.jsonl")
    else:
        assert policy.gives_logprobs or policy.no_logprobs_at is not None
