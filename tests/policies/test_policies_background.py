"""An asyncio program in a thread hands over items as they arrive, raises its first error and ends when closed."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from pytest_kernelbench.policies.background import all_at_once, in_background


def test_items_arrive_while_the_program_runs_and_inside_another_event_loop() -> None:
    first_came = threading.Event()

    async def program(emit: Any) -> None:
        emit("first")
        emit(await asyncio.to_thread(first_came.wait, 20))

    async def notebook() -> list[Any]:
        items = []
        for item in in_background(program):
            items.append(item)
            first_came.set()
        return items

    assert asyncio.run(notebook()) == ["first", True]


def test_error_is_raised_after_what_was_emitted() -> None:
    async def program(emit: Any) -> None:
        emit(1)
        raise KeyError("here")

    items = in_background(program)
    assert next(items) == 1
    with pytest.raises(KeyError, match="here"):
        next(items)


def test_closing_cancels_the_program_and_leaves_no_thread() -> None:
    cancelled = threading.Event()

    async def program(emit: Any) -> None:
        emit(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    before = set(threading.enumerate())
    items = in_background(program)
    next(items)
    items.close()
    assert cancelled.is_set() and set(threading.enumerate()) <= before


def test_a_connection_that_the_program_left_open_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def program(emit: Any) -> None:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, *server.getsockname())
            emit("connected")
            raise ValueError

        with pytest.raises(ValueError):
            list(in_background(program))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(1) == b""


def test_first_error_ends_the_others() -> None:
    ended = []

    async def wait(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(all_at_once([wait(1), fail(), wait(2)]))
    assert sorted(ended) == [1, 2]
