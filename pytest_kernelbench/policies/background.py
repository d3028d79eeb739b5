"""Many concurrent requests, for policies that are behind a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that knows the connections that were made in it.

    A request that is cancelled while its connection is being made may leave the connection open (httpcore2 2.16: 4 of
    1,500 cancelled programs did), and its socket would stay open for as long as the process does not look for garbage.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: list[asyncio.Transport] = []

    async def create_connection(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        made = await super().create_connection(*args, **kwargs)
        self._made = [each for each in self._made if not each.is_closing()] + [made[0]]
        return made

    async def close_connections(self) -> None:
        """Close what the program left open. A transport closes its socket in the loop's next turn."""
        for each in self._made:
            each.abort()
        await asyncio.sleep(0)


async def all_at_once(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all coroutines concurrently. The first error cancels the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def in_background(program: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]) -> Iterator[T]:
    """Run ``program`` in an event loop of its own thread, and yield the values that it emits.

    Closing the iterator cancels the program. It has its own thread because the caller may already be in an event loop
    (a notebook), and because requests should go on while the caller is busy.
    """
    emitted: SimpleQueue[tuple[T] | None] = SimpleQueue()
    loop = _Loop()
    task = loop.create_task(program(lambda item: emitted.put((item,))))

    def run() -> None:
        with suppress(BaseException):  # the task keeps it, and it is raised below
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.close_connections())
        loop.close()
        emitted.put(None)

    thread = Thread(target=run, name="policy")
    thread.start()
    try:
        while (item := emitted.get()) is not None:
            yield item[0]
    finally:
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
    task.result()
