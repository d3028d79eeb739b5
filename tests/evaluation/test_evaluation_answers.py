"""What a worker may answer: each field is read within its bounds, or its answer is malformed."""

import json
import os
import socket
from tempfile import TemporaryFile

import pytest
from hostile_answers import HONEST, REQUEST, hostile_answers
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.boundary.answers import ANSWERS, parse
from pytest_kernelbench.evaluation.boundary.messages import MalformedFrame


def over_the_wire(message):
    return json.loads(json.dumps(message))


def test_every_question_has_an_honest_answer_here():
    assert HONEST.keys() == ANSWERS.keys()


@pytest.mark.parametrize("ask", ANSWERS)
def test_an_honest_answer_is_read(ask):
    assert isinstance(parse(ask, over_the_wire(HONEST[ask])), ANSWERS[ask])


@pytest.mark.parametrize("ask", ANSWERS)
@settings(max_examples=60)  # for each of the questions
@given(data=st.data())
def test_any_answer_is_read_within_its_bounds_or_malformed(ask, data):
    message = over_the_wire(data.draw(hostile_answers(ask)))
    try:
        answer = parse(ask, message)
    except MalformedFrame as error:
        assert str(error).isprintable() and len(str(error)) < 300
        return
    for name in answer.__dataclass_fields__:
        # A call's outputs may be at any address.
        assert within_bounds(getattr(answer, name), 1 << (64 if name == "at" else 51)), (name, answer)


def within_bounds(value, most):
    if isinstance(value, tuple):
        return len(value) <= answers.MAX_CALLS and all(within_bounds(each, most) for each in value)
    if isinstance(value, str):
        return len(value) <= 5000 and all(c.isprintable() or c == "\n" for c in value)
    return value is None or isinstance(value, bool) or 0 <= value <= most


@pytest.mark.parametrize(
    ("ask", "field", "value", "complaint"),
    [
        ("run", "peak_bytes", 10**399, "run: peak_bytes: expected an integer from 0 to 1125899906842624"),
        ("run", "peak_bytes", -1, "run: peak_bytes: expected an integer from 0 to 1125899906842624"),
        ("run", "peak_bytes", True, "run: peak_bytes: expected an integer from 0 to 1125899906842624"),
        ("run", "peak_bytes", 1.0, "run: peak_bytes: expected an integer from 0 to 1125899906842624"),
        ("run", "mismatch", ["x"], "run: mismatch: expected text"),
        ("run", "verdict", "fast", "run: unexpected 'verdict'"),
        ("load", "loaded", 1, "load: loaded: expected True"),
        ("series", "ms", 3, "series: ms: expected a list of at most 100000"),
        ("series", "ms", {"0": 1}, "series: ms: expected a list of at most 100000"),
        ("series", "ms", [0.0], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("series", "ms", [float("nan")], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("series", "ms", [float("inf")], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("series", "ms", [10**400], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("series", "ms", [True], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("series", "ms", ["1"], "series: ms: expected a number from 4.94066e-324 to 1e+09"),
        ("profile", "kernels", ["x" * 4001], "profile: kernels: expected text of at most 4000 characters"),
        ("adopt_weights", "adopted", None, "adopt_weights: adopted: expected true or false"),
        ("build", "final", 1, "build: final: expected true or false"),
        ("explore", "wanted", {"cmd": 1}, "explore: unexpected 'complaint'"),
        ("build", "complaint", 7, "build: complaint: expected text"),
        ("load", "raised", {"no": "text"}, "load: unexpected 'loaded'"),
    ],
)
def test_a_field_beyond_its_bounds_is_named(ask, field, value, complaint):
    with pytest.raises(MalformedFrame) as caught:
        parse(ask, over_the_wire({**HONEST[ask], field: value}))
    assert str(caught.value) == complaint


def test_a_field_that_is_missing_is_named():
    with pytest.raises(MalformedFrame, match=r"^series: ms is missing$"):
        parse("series", {})


def test_as_many_durations_as_were_due():
    assert answers.exactly((1.0, 2.0), 2, "ms") == [1.0, 2.0]
    with pytest.raises(MalformedFrame, match=r"^ms: expected 3$"):
        answers.exactly((1.0, 2.0), 3, "ms")


def test_the_content_of_a_file_that_came_is_read():
    with TemporaryFile() as file:
        file.write(b"x" * 3_000_000)
        file.flush()
        assert answers.file_content(file.fileno()) == b"x" * 3_000_000
        with pytest.raises(MalformedFrame, match=r"^expected a file of 1 to 100 bytes, not 3000000$"):
            answers.file_content(file.fileno(), limit=100)


def test_what_is_no_file_is_not_read():
    reading, writing = os.pipe()
    left, right = socket.socketpair()
    with left, right:
        for descriptor in (reading, writing, left.fileno()):
            with pytest.raises(MalformedFrame, match=r"^expected a regular file$"):
                answers.file_content(descriptor)
    os.close(reading)
    os.close(writing)
    for path in ("/dev/zero", "/tmp", "/proc/self/status"):
        descriptor = os.open(path, os.O_RDONLY)
        with pytest.raises(MalformedFrame, match=r"^expected a regular file|^expected a file of 1 to"):
            answers.file_content(descriptor)
        os.close(descriptor)


def test_the_other_s_own_end_of_the_connection_is_no_file_and_is_let_go(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            messages.send(theirs, {}, [theirs.fileno()])
        with pytest.raises(MalformedFrame, match=r"^expected a regular file$"):
            answers.receive(ours, "build", timeout_s=5)
        assert ours.recv(1) == b""
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_cannot_be_read_is_malformed(tmp_path):
    (tmp_path / "written").write_bytes(b"x")
    descriptor = os.open(tmp_path / "written", os.O_WRONLY)
    with pytest.raises(MalformedFrame, match=r"^a file cannot be read \(Bad file descriptor\)$"):
        answers.file_content(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        {**REQUEST, "function": "system"},
        {**REQUEST, "arguments": []},
        {**REQUEST, "arguments": {}},
        {**REQUEST, "arguments": {"name": 3}},
        {**REQUEST, "files": {"a": 3}},
        {**REQUEST, "more": 3},
    ],
)
def test_what_is_no_request_for_a_build_is_malformed(request_):
    with pytest.raises(MalformedFrame, match=r"^run: wanted: expected sources and flags of an extension$"):
        parse("run", {"wanted": request_})
