"""Frames across the trust boundary."""

import fcntl
import os
import resource
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.boundary.kinds import Many, Whole, Wholes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def frame(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@settings(deadline=None)
@given(json_objects)
def test_what_is_sent_is_received(message):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        messages.send(ours, message)
        assert messages.receive(theirs, timeout_s=5) == (message, [])


def test_frames_keep_their_order_and_their_bounds(ends):
    ours, theirs = ends
    sent = [{"n": n, "text": "x" * (100 * n)} for n in range(20)]
    for message in sent:
        messages.send(ours, message)
    assert [messages.receive(theirs, timeout_s=5)[0] for _ in sent] == sent


def test_a_frame_larger_than_the_socket_s_buffer_arrives_whole(ends):
    ours, theirs = ends
    message = {"text": "x" * (4 << 20)}
    sender = threading.Thread(target=messages.send, args=(ours, message))
    sender.start()
    received, _ = messages.receive(theirs, timeout_s=10)
    sender.join()
    assert received == message


def test_descriptors_travel_beside_a_frame(ends):
    ours, theirs = ends
    read_end, write_end = os.pipe()
    messages.send(ours, {"descriptors": 1}, [write_end])
    os.close(write_end)
    _, (received,) = messages.receive(theirs, timeout_s=5)
    os.write(received, b"through")
    os.close(received)
    assert os.read(read_end, 100) == b"through"
    os.close(read_end)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (frame(b"no json"), "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (frame(b""), "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (frame(b"[1]"), "not a JSON object"),
        (frame(b"null"), "not a JSON object"),
        (struct.pack("!I", messages.MAX_FRAME_BYTES + 1), "frame of 16777217 bytes announced"),
        (b"\xff" * 64, "frame of 4294967295 bytes announced"),
    ],
)
def test_what_is_no_frame_of_ours_is_malformed(ends, data, complaint):
    ours, theirs = ends
    ours.sendall(data)
    with pytest.raises(messages.MalformedFrame) as caught:
        messages.receive(theirs, timeout_s=5)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("payload", [b"\x80\x81", b'{"a": ' + b"[" * 200_000, b'{"a":' + b"9" * 5000 + b"}"])
def test_hostile_json_is_malformed_or_harmless(ends, payload):
    ours, theirs = ends
    sender = threading.Thread(target=ours.sendall, args=(frame(payload),))
    sender.start()
    try:
        message, _ = messages.receive(theirs, timeout_s=5)
    except messages.MalformedFrame:
        return
    finally:
        sender.join()
    with pytest.raises(messages.MalformedFrame):
        answers.parse("run", message)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_one_of_the_three_errors_or_a_message(data):
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(data)
        try:
            message, descriptors = messages.receive(theirs, timeout_s=5)
        except (messages.ConnectionEnded, messages.DeadlinePassed, messages.MalformedFrame):
            return
    assert isinstance(message, dict)
    assert descriptors == []


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", frame(b'{"never": "ends"}')[:-3]])
def test_a_deadline_holds_at_every_byte_of_a_frame(ends, data):
    ours, theirs = ends
    ours.sendall(data)
    started = time.monotonic()
    with pytest.raises(messages.DeadlinePassed):
        messages.receive(theirs, timeout_s=0.2)
    assert 0.15 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"", "end of stream"), (b"\0", "end of stream"), (frame(b"{}")[:-1], "end of stream")],
)
def test_the_end_of_the_other_side_is_told(ends, data, complaint):
    ours, theirs = ends
    ours.sendall(data)
    ours.close()
    with pytest.raises(messages.ConnectionEnded, match=f"^{complaint}"):
        messages.receive(theirs, timeout_s=5)


def test_sending_to_nobody_is_told(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(messages.ConnectionEnded):
        messages.send(ours, {"x": "y" * 100})


def test_a_reset_inside_a_frame_is_the_end_of_the_connection(ends):
    ours, theirs = ends
    theirs.sendall(b"unread")
    ours.sendall(frame(b'{"x": 1}')[:-2])
    ours.close()  # with unread data: the reader gets ECONNRESET and not an end of stream
    with pytest.raises(messages.ConnectionEnded):
        messages.receive(theirs, timeout_s=5)


def test_one_who_waits_for_a_worker_notices_that_the_owner_is_gone(ends):
    _ours, theirs = ends
    owner, owner_s_end = socket.socketpair()
    with owner_s_end:
        closing = threading.Timer(0.1, owner.close)
        closing.start()
        started = time.monotonic()
        with pytest.raises(messages.ConnectionEnded, match=r"^the owner is gone$"):
            messages.receive(theirs, timeout_s=10, watch=owner_s_end)
        assert time.monotonic() - started < 3
        closing.join()


def test_an_oversize_message_is_refused_before_it_is_sent(ends):
    ours, _theirs = ends
    with pytest.raises(ValueError, match=r"^a frame of 16777226 bytes is over the limit of 16777216$"):
        messages.send(ours, {"text": "x" * ((16 << 20) - 1)})


def test_descriptors_beside_a_malformed_frame_are_given_back(ends):
    ours, theirs = ends
    before = open_descriptors()
    for _ in range(5):
        socket.send_fds(ours, [frame(b"garbage")], [0, 1, 2])
        with pytest.raises(messages.MalformedFrame):
            messages.receive(theirs, timeout_s=5)
    assert open_descriptors() == before


def test_text_that_a_terminal_would_act_on_is_not_printed():
    assert messages.printable("a\x1b[31mb\n\ud800", 100) == "a?[31mb\n?"
    assert messages.printable("x" * 50 + "end", 3) == "end"


def test_one_that_does_not_read_does_not_hold_up_the_sender(ends):
    ours, _theirs = ends
    started = time.monotonic()
    with pytest.raises(messages.DeadlinePassed):
        messages.send(ours, {"text": "x" * (4 << 20)}, timeout_s=0.2)
    assert time.monotonic() - started < 5


def test_descriptors_that_come_with_every_byte_are_given_back(ends):
    ours, theirs = ends
    before = open_descriptors()
    sender = threading.Thread(target=flood_with_descriptors, args=(ours,))
    sender.start()
    with pytest.raises(messages.MalformedFrame, match=r"^unexpected descriptors$"):
        messages.receive(theirs, timeout_s=10)
    theirs.close()
    sender.join()
    assert open_descriptors() == before - 1


def flood_with_descriptors(connection):
    with suppress(OSError):
        socket.send_fds(connection, [struct.pack("!I", 1000)], [0])
        for _ in range(40):
            socket.send_fds(connection, [b" "], [0] * 20)


def test_a_descriptor_beyond_what_select_can_take_is_read(ends):
    ours, theirs = ends
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most > 1100
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    high = socket.socket(fileno=fcntl.fcntl(theirs, fcntl.F_DUPFD, 1050))
    with high:
        messages.send(ours, {"said": 1})
        assert messages.receive(high, timeout_s=5) == ({"said": 1}, [])


@given(st.lists(json_values, max_size=4), st.integers(-2, 2), st.integers(0, 5))
def test_lists_of_integers_are_read_as_each_of_them_would_be(values, least, most):
    kind, each = Wholes(least, most, 3), Many(Whole(least, most), 3)
    assert read_by(kind, values) == read_by(each, values)


def read_by(kind, value):
    try:
        return kind.read(value)
    except ValueError:
        return None
