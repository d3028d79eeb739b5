"""Frames across the trust boundary: a length, JSON, and file descriptors beside it. Nothing is ever unpickled.

``answers`` defines the frames that a worker may send.
"""

from __future__ import annotations

import json
import math
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = struct.Struct("!I")
MAX_FRAME_BYTES = 16 << 20
MAX_DESCRIPTORS = 128
MAX_DURATION_MS = 1e9
# A worker that reads nothing for so long does not read at all: a frame is copied in milliseconds.
SEND_TIMEOUT_S = 30.0


class ConnectionEnded(Exception):
    """The other side closed its socket, or died."""


class DeadlinePassed(Exception):
    """No whole frame came, or was read, in time."""


class MalformedFrame(Exception):
    """The bytes are no frame of this protocol, or break the schema of the expected answer."""


def send(
    connection: socket.socket,
    message: Mapping[str, Any],
    descriptors: Sequence[int] = (),
    *,
    timeout_s: float | None = None,
) -> None:
    """Send one frame. Raises ConnectionEnded if the reader has ended, DeadlinePassed if it does not read in time."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME_BYTES}")
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    flags = 0 if timeout_s is None else socket.MSG_DONTWAIT
    rest = memoryview(_HEADER.pack(len(payload)) + payload)
    try:
        while rest:
            if deadline is not None and not _ready({connection: select.POLLOUT}, deadline):
                raise DeadlinePassed
            try:
                # Not socket.send_fds: in Python 3.11 it passes no flags on.
                beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
                sent = connection.sendmsg([rest], beside, flags)
            except BlockingIOError:
                continue
            rest, descriptors = rest[sent:], ()
    except OSError as error:
        raise ConnectionEnded(str(error)) from None


def receive(
    connection: socket.socket,
    *,
    timeout_s: float | None = None,
    watch: socket.socket | None = None,
    max_bytes: int = MAX_FRAME_BYTES,
    max_descriptors: int = MAX_DESCRIPTORS,
) -> tuple[dict[str, Any], list[int]]:
    """One frame and its descriptors.

    Raises DeadlinePassed after ``timeout_s``, ConnectionEnded at the end of ``connection`` or, where given, of
    ``watch`` (the owner's socket: an orphan must not wait), MalformedFrame for anything that is no JSON object.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    descriptors: list[int] = []
    try:
        (length,) = _HEADER.unpack(_receive_exactly(connection, _HEADER.size, descriptors, deadline, watch))
        if length > max_bytes:
            raise MalformedFrame(f"frame of {length} bytes announced")
        try:
            message = json.loads(_receive_exactly(connection, length, descriptors, deadline, watch))
        except (ValueError, RecursionError) as error:
            raise MalformedFrame(f"not JSON: {error}") from None
        if not isinstance(message, dict):
            raise MalformedFrame("not a JSON object")
        if len(descriptors) > max_descriptors:
            raise MalformedFrame("unexpected descriptors")
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors


def _receive_exactly(
    connection: socket.socket,
    size: int,
    descriptors: list[int],
    deadline: float | None,
    watch: socket.socket | None,
) -> bytes:
    # Never MSG_WAITALL: half a header would hold this process beyond every deadline.
    received = bytearray()
    while len(received) < size:
        _wait_readable(connection, deadline, watch)
        try:
            chunk, beside, _, _ = socket.recv_fds(connection, min(1 << 20, size - len(received)), MAX_DESCRIPTORS)
        except OSError as error:
            raise ConnectionEnded(str(error)) from None
        descriptors += beside
        if len(descriptors) > 2 * MAX_DESCRIPTORS:
            # Some may come with every byte, until this process can open nothing.
            raise MalformedFrame("unexpected descriptors")
        if not chunk:
            raise ConnectionEnded("end of stream")
        received += chunk
    return bytes(received)


def _wait_readable(connection: socket.socket, deadline: float | None, watch: socket.socket | None) -> None:
    watched = {connection: select.POLLIN} if watch is None else {connection: select.POLLIN, watch: select.POLLIN}
    ready = _ready(watched, deadline)
    if connection.fileno() in ready:
        return
    if ready:
        # The owner never speaks while it waits for an answer: readable means that it is gone.
        raise ConnectionEnded("the owner is gone")
    raise DeadlinePassed


def is_readable(connection: socket.socket | int, *, timeout_s: float = 0.0) -> bool:
    """Whether something can be read, its end included, within ``timeout_s``."""
    return bool(_ready({connection: select.POLLIN}, time.monotonic() + timeout_s))


def _ready(wanted: Mapping[socket.socket | int, int], deadline: float | None) -> set[int]:
    # Not select, which takes no descriptor above 1023: a session of many evaluators has more.
    poll = select.poll()
    for each, events in wanted.items():
        poll.register(each, events)
    remaining_ms = None if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1e3))
    return {descriptor for descriptor, _ in poll.poll(remaining_ms)}


def printable(value: str, limit: int) -> str:
    """The end of ``value``, at most ``limit`` characters, lines kept and nothing in it that a terminal would act on."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in value[-limit:])
