"""A server of judges that take no time."""

import socket
import threading
import time

import pytest
import uvicorn
from asking import SETTINGS
from made_up_judges import made_up_pool

from pytest_kernelbench.serving.app import build_app


@pytest.fixture
def serving(monkeypatch):
    """``serving(...)`` starts a server and returns its address."""
    ended = []

    def start(port=0, **settings):
        pool = made_up_pool()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        server = uvicorn.Server(
            uvicorn.Config(build_app(pool, settings={**SETTINGS, "device": pool.device}, **settings), log_level="error")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        ended.append((server, thread, pool))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    def stop():
        for server, thread, pool in ended:
            server.should_exit = True
            thread.join()
            pool.close()
        ended.clear()

    def close_pools():
        for _, _, pool in ended:
            pool.close()

    start.stop, start.close_pools = stop, close_pools
    monkeypatch.delenv("KERNELBENCH_TOKEN", raising=False)
    yield start
    stop()
