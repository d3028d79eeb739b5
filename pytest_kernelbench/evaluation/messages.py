"""Frames across the trust boundary: a length, JSON, and file descriptors beside it. Nothing is ever unpickled.

What a worker says is checked against the schema of the question before anyone looks at it, because the
candidate shares its process and can write to its socket.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = struct.Struct("!I")
MAX_FRAME_BYTES = 16 << 20
MAX_DESCRIPTORS = 128
MAX_DURATION_MS = 1e9


class ConnectionEnded(Exception):
    """The other side closed its socket, or died."""


class DeadlinePassed(Exception):
    """No whole frame came in time."""


class MalformedFrame(Exception):
    """The bytes are no frame of ours, or break the schema of the answer that was due."""


def send(connection: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one frame. Raises ConnectionEnded when nobody is there to read it."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME_BYTES}")
    try:
        socket.send_fds(connection, [_HEADER.pack(len(payload))], descriptors)
        connection.sendall(payload)
    except OSError as error:
        raise ConnectionEnded(str(error)) from None


def receive(
    connection: socket.socket, *, timeout_s: float | None = None, watch: socket.socket | None = None
) -> tuple[dict[str, Any], list[int]]:
    """One frame and its descriptors.

    Raises DeadlinePassed after ``timeout_s``, ConnectionEnded at the end of ``connection`` or, where given, of
    ``watch`` (the owner's socket: an orphan must not wait), MalformedFrame for anything that is no JSON object.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    descriptors: list[int] = []
    try:
        (length,) = _HEADER.unpack(_receive_exactly(connection, _HEADER.size, descriptors, deadline, watch))
        if length > MAX_FRAME_BYTES:
            raise MalformedFrame(f"frame of {length} bytes announced")
        try:
            message = json.loads(_receive_exactly(connection, length, descriptors, deadline, watch))
        except (ValueError, RecursionError) as error:
            raise MalformedFrame(f"not JSON: {error}") from None
        if not isinstance(message, dict):
            raise MalformedFrame("not a JSON object")
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
        if not chunk:
            raise ConnectionEnded("end of stream")
        received += chunk
    return bytes(received)


def _wait_readable(connection: socket.socket, deadline: float | None, watch: socket.socket | None) -> None:
    watched = [connection] if watch is None else [connection, watch]
    while True:
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], remaining)
        if connection in ready:
            return
        if watch is not None and watch in ready:
            # The owner never speaks while it waits for an answer: readable means that it is gone.
            raise ConnectionEnded("the owner is gone")
        if not ready:
            raise DeadlinePassed


def durations_ms(message: Mapping[str, Any], key: str, count: int, *, zero: bool = False) -> list[float]:
    """``message[key]`` as ``count`` positive finite milliseconds, ``zero`` allowed. Raises MalformedFrame."""
    values = message.get(key)
    if not isinstance(values, list) or len(values) != count:
        raise MalformedFrame(f"{key}: {count} durations were due")
    # An upper bound rather than math.isfinite, which an integer of 400 digits overflows.
    least = 0 if zero else 5e-324
    if not all(isinstance(value, int | float) and least <= value < MAX_DURATION_MS for value in values):
        raise MalformedFrame(f"{key}: not all are positive durations")
    return [float(value) for value in values]


def text(message: Mapping[str, Any], key: str, limit: int = 2000) -> str:
    """``message[key]`` as printable text of at most ``limit`` characters. Raises MalformedFrame."""
    value = message.get(key)
    if not isinstance(value, str):
        raise MalformedFrame(f"{key}: text was due")
    return printable(value, limit)


def printable(value: str, limit: int) -> str:
    """The end of ``value``, at most ``limit`` characters, lines kept and nothing in it that a terminal would act on."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in value[-limit:])
