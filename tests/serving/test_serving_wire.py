"""Requests to the server: a well-formed one is read unchanged, and the refusal of a malformed one names the field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.clock.gates import Gate
from pytest_kernelbench.records import Task
from pytest_kernelbench.serving.wire import BadRequest, CompareRequest, EvaluateRequest, Limits
from pytest_kernelbench.tasks import load_tasks

TASK = {"id": "level1/1_x", "source": "class Model: pass"}
NO_TASK = 'task: must be a name such as "level1/12", or an object with name and sizes, or with id and source'
SMALL = Limits(body_bytes=2000, sources=3, source_bytes=50, task_bytes=100)
texts = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(comment=texts, sources=st.lists(st.none() | texts, max_size=3), within_s=st.none() | st.floats(0.001, 86_400))
def test_a_request_is_read_as_it_was_written(comment, sources, within_s):
    task = Task(id="level1/1_x", source=f"n = 1\n# {comment!a}", sizes={"n": 3})
    request = EvaluateRequest(task=task, sources=tuple(sources), within_s=within_s)
    assert EvaluateRequest.parse(json.dumps(request.to_json()).encode(), Limits()) == request


@given(task=anything, sources=anything, within_s=anything)
def test_whatever_else_is_sent_is_a_request_or_refused(task, sources, within_s):
    body = json.dumps({"task": task, "sources": sources, "within_s": within_s}).encode()
    try:
        EvaluateRequest.parse(body, SMALL)
    except BadRequest as error:
        assert error.status in (400, 404, 413) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("row", "status", "message"),
    [
        ([], 400, 'the request must be an object, such as {"task": ..., "sources": [...]}'),
        ({"tasks": 1}, 400, "'tasks': no such field; there are task, sources and within_s"),
        ({"a\nb" * 300: 1}, 400, None),
        ({"task": 3}, 400, NO_TASK),
        ({"task": {"id": "x", "source": ""}}, 400, 'task: id "x" has no level; write it as level1/12_name'),
        ({"task": {**TASK, "id": "level1/\n"}}, 400, "task: id must be printable, of at most 200 characters"),
        ({"task": {**TASK, "id": "/" * 201}}, 400, "task: id must be printable, of at most 200 characters"),
        ({"task": {**TASK, "size": {}}}, 400, "task: 'size': no such field; there are id, source and sizes"),
        *(
            (
                {"task": {**TASK, "sizes": sizes}},
                400,
                "task: sizes must be an object of constants by name: numbers, texts, or lists of these",
            )
            for sizes in ([1], {"n": [[1]]}, {"n": None})
        ),
        ({"task": {**TASK, "source": "x" * 101}}, 413, "task: source: 101 characters; 100 are allowed"),
        (
            {"task": {**TASK, "sizes": {"n": 3}}},
            400,
            'task: cannot size "n": the task assigns no such module-level constant; there are none',
        ),
        (
            {"task": {**TASK, "source": "class"}},
            400,
            "task: source is no Python (SyntaxError: invalid syntax (<unknown>, line 1))",
        ),
        (
            {"task": {**TASK, "source": "\ud800"}},
            400,
            "task: source is no Python (UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800' in position "
            "0: surrogates not allowed)",
        ),
        ({"task": {**TASK, "source": "\0"}}, 400, None),
        ({"task": "level1/eval"}, 404, None),
        ({"task": "level1/1000"}, 404, "task: level1/1000: no such task; level1 has 1 to 100"),
        ({"task": "level1:subset1", "sources": []}, 400, "task: level1:subset1 names 5 tasks; name one"),
        ({"task": TASK}, 400, "sources: must be a list of texts"),
        ({"task": TASK, "sources": [1]}, 400, "sources[0]: must be a text or null"),
        ({"task": TASK, "sources": [None] * 4}, 413, "sources: 4 at once; 3 are allowed"),
        ({"task": TASK, "sources": ["x" * 51]}, 413, "sources[0]: 51 characters; 50 are allowed"),
        ({"task": TASK, "sources": "import torch"}, 400, "sources: must be a list of texts"),
        (
            {"task": TASK, "sources": [], "within_s": 0},
            400,
            "within_s: must be a number of seconds over 0, at most 86400, or null",
        ),
        ({"task": TASK, "sources": [], "within_s": 1e9}, 400, None),
        ({"task": "x" * 3000}, 413, "the request is over 2000 bytes; send fewer sources"),
    ],
)
def test_a_refusal_names_the_field(row, status, message):
    with pytest.raises(BadRequest) as refused:
        EvaluateRequest.parse(json.dumps(row).encode(), SMALL)
    assert refused.value.status == status
    if message is not None:
        assert str(refused.value) == message


@given(
    source=texts,
    baseline_source=texts,
    max_slowdown=st.floats(1, 1e6, exclude_min=True),
    sizes=st.integers(1, 1000),
    seconds=st.floats(0, 600, exclude_min=True),
)
def test_a_comparison_is_read_as_it_was_written(**asked):
    sources = {name: asked.pop(name) for name in ("source", "baseline_source")}
    task = Task(id="level1/1_x", source="n = 1", sizes={"n": 3})
    request = CompareRequest(task=task, **sources, gate=Gate(**asked))
    assert CompareRequest.parse(json.dumps(request.to_json()).encode(), Limits()) == request


@pytest.mark.parametrize(
    ("changed", "status", "message"),
    [
        (
            {"gate": 1},
            400,
            "'gate': no such field; there are task, source, baseline_source, max_slowdown, sizes and seconds",
        ),
        ({"max_slowdown": 1}, 400, "max_slowdown: must be a number over 1, such as 1.01 for 1 %, at most 1000000"),
        (
            {"max_slowdown": 10**400},
            400,
            "max_slowdown: must be a number over 1, such as 1.01 for 1 %, at most 1000000",
        ),
        ({"max_slowdown": "2"}, 400, "max_slowdown: must be a number over 1, such as 1.01 for 1 %, at most 1000000"),
        ({"sizes": 0}, 400, "sizes: must be a whole number from 1 to 1000"),
        ({"sizes": True}, 400, "sizes: must be a whole number from 1 to 1000"),
        ({"seconds": 601}, 400, "seconds: must be a number over 0, at most 600"),
        ({"source": None}, 400, "source: must be a text"),
        ({"baseline_source": "x" * 51}, 413, "baseline_source: 51 characters; 50 are allowed"),
        ({"task": 3}, 400, NO_TASK),
    ],
)
def test_a_refused_comparison_names_the_field(changed, status, message):
    row = {"task": TASK, "source": "a", "baseline_source": "b", "max_slowdown": 1.05, "sizes": 1, "seconds": 60}
    with pytest.raises(BadRequest) as refused:
        CompareRequest.parse(json.dumps({**row, **changed}).encode(), SMALL)
    assert (refused.value.status, str(refused.value)) == (status, message)


SMALL_RELU, FULL_RELU = (load_tasks("level1/19", sizes=sizes)[0] for sizes in ("small", "full"))


@pytest.mark.parametrize(
    ("named", "auto_sizes", "task"),
    [
        ("level1/19", "small", SMALL_RELU),
        ("level1/19", "full", FULL_RELU),
        ({"name": "level1/19"}, "small", SMALL_RELU),
        ({"name": "level1/19", "sizes": "auto"}, "small", SMALL_RELU),
        ({"name": "level1/19", "sizes": "full"}, "small", FULL_RELU),
        ({"name": "level1/19", "sizes": "small"}, "full", SMALL_RELU),
    ],
)
def test_a_task_by_name_has_the_sizes_of_a_session_there_or_those_that_the_request_chooses(named, auto_sizes, task):
    body = json.dumps({"task": named, "sources": []}).encode()
    assert EvaluateRequest.parse(body, Limits(), auto_sizes=auto_sizes).task.sha256 == task.sha256
    gate = {"source": "a", "baseline_source": "b", "max_slowdown": 1.05, "sizes": 1, "seconds": 60}
    body = json.dumps({"task": named, **gate}).encode()
    assert CompareRequest.parse(body, Limits(), auto_sizes=auto_sizes).task.sha256 == task.sha256
    assert SMALL_RELU.sha256 != FULL_RELU.sha256


@pytest.mark.parametrize(
    ("named", "status", "message"),
    [
        ({"name": "level1/19", "sizes": "huge"}, 400, "task: sizes of a task by name must be one of auto, full, small"),
        ({"name": "level1/19", "sizes": {}}, 400, "task: sizes of a task by name must be one of auto, full, small"),
        ({"name": "level1/19", "size": 1}, 400, "task: 'size': no such field; there are name and sizes"),
        ({"name": "level1/19\n"}, 400, "task: a name must be printable, of at most 200 characters"),
        ("level1/\ud800", 400, "task: a name must be printable, of at most 200 characters"),
        ("x" * 201, 400, "task: a name must be printable, of at most 200 characters"),
        ({"name": "level1/1000"}, 404, "task: level1/1000: no such task; level1 has 1 to 100"),
        ("~nobody-has-this-name/x", 404, None),
    ],
)
def test_a_refused_name_is_one_line(named, status, message):
    with pytest.raises(BadRequest) as refused:
        EvaluateRequest.parse(json.dumps({"task": named, "sources": []}).encode(), Limits())
    assert refused.value.status == status and "\n" not in str(refused.value)
    if message is not None:
        assert str(refused.value) == message


def test_a_task_file_without_small_sizes_can_be_asked_for_in_its_own(tmp_path):
    file = tmp_path / "level9" / "1_own.py"
    file.parent.mkdir()
    file.write_text("class Model: pass\ndef get_inputs(): pass\ndef get_init_inputs(): pass\n")
    with pytest.raises(BadRequest) as refused:
        EvaluateRequest.parse(json.dumps({"task": str(file), "sources": []}).encode(), Limits(), auto_sizes="small")
    assert refused.value.status == 400
    assert str(refused.value) == (
        f'task: {{"name": "{file}", "sizes": "small"}}: no small size for level9/1_own; '
        f"add [1_own] to {file.parent / 'small.toml'} or use "
        f'{{"name": "{file}", "sizes": "full"}}'
    )
    body = json.dumps({"task": {"name": str(file), "sizes": "full"}, "sources": []}).encode()
    assert EvaluateRequest.parse(body, Limits(), auto_sizes="small").task.id == "level9/1_own"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "[NaN]", "1e999"])
def test_a_size_that_no_text_can_spell_is_refused(value):
    body = f'{{"task": {{"id": "level1/1_x", "source": "n = 1", "sizes": {{"n": {value}}}}}, "sources": []}}'
    with pytest.raises(BadRequest, match="sizes must be an object of constants by name"):
        EvaluateRequest.parse(body.encode(), Limits())


def test_a_task_with_a_list_among_its_sizes_has_the_same_hash_on_both_sides():
    task = Task(id="level1/1_x", source="shape = (1, 2)", sizes={"shape": (3, 4)})
    request = EvaluateRequest(task=task, sources=())
    assert EvaluateRequest.parse(json.dumps(request.to_json()).encode(), Limits()).task.sha256 == task.sha256


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the request is no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        (b"", "the request is no JSON (Expecting value: line 1 column 1 (char 0))"),
        (b"\xff", None),
        (b"[" * 100_000, "the request has too many lists or objects in each other"),
        (b"null", 'the request must be an object, such as {"task": ..., "sources": [...]}'),
    ],
)
def test_what_is_no_json_is_refused_in_one_line(body, message):
    with pytest.raises(BadRequest) as refused:
        EvaluateRequest.parse(body, Limits())
    assert refused.value.status == 400 and "\n" not in str(refused.value)
    if message is not None:
        assert str(refused.value) == message
