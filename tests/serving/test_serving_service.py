"""What the server makes of a request: a task by its name, a pool that was closed, a client that hangs up."""

import asyncio
import json
import re

import pytest
from asking import RELU, SETTINGS, answer, body_of
from starlette.requests import ClientDisconnect, Request

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.serving import app
from pytest_kernelbench.serving.client import RemoteEvaluator
from pytest_kernelbench.tasks import load_tasks


def test_a_task_by_its_name_is_judged_in_the_sizes_of_the_judges_device_and_the_answer_says_which(serving):
    url = serving()
    (small,) = load_tasks("level1/19", sizes="small")
    told = answer(f"{url}/v1/evaluate", json.dumps({"task": "level1/19", "sources": ["right"]}).encode())[1]
    said = {"id": small.id, "sizes": dict(small.sizes), "sha256": small.sha256}
    assert json.loads(told.splitlines()[-1]) == {"done": 1, "task": said}
    chosen = {"task": {"name": "level1/19", "sizes": "full"}, "source": "right", "baseline_source": "right"}
    gate = {"max_slowdown": 1.05, "sizes": 3, "seconds": 7}
    told = answer(f"{url}/v1/compare", json.dumps({**chosen, **gate}).encode())[1]
    assert json.loads(told)["task"]["sizes"] == {}
    assert json.loads(answer(f"{url}/v1/settings")[1])["sizes_by_name"] == "small"


def test_what_comes_to_a_pool_that_was_closed_is_a_fault_and_no_broken_answer(serving):
    url = serving()
    serving.close_pools()
    closed = "level1/19_ReLU: the pool is closed; submit before close()"
    status, told = answer(f"{url}/v1/evaluate", body_of("right"))
    assert status == 200
    assert json.loads(told.splitlines()[0]) == {"index": 0, "fault": closed, "judge_ended": False}
    with pytest.raises(HarnessError, match=re.escape(f"{url}: {closed}")):
        RemoteEvaluator(url, **SETTINGS).compare(RELU, "a", "b")


def test_what_a_client_waited_for_is_cancelled_when_it_hangs_up():
    cancelled = []

    async def never():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def ask():
        told = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

        async def receive():
            return next(told)

        with pytest.raises(ClientDisconnect):
            await app._unless_gone(Request({"type": "http"}, receive), never())
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert cancelled == [True]
