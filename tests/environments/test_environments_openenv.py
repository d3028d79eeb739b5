"""The environment in the released OpenEnv; in an environment of its own: pytest -m openenv."""

import socket
import threading
import time

import pytest
from blocks import blocks_of

from pytest_kernelbench.environments.judging import close_pools
from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.tasks import load_tasks

# The library warns of its own affairs.
pytestmark = [pytest.mark.openenv, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def served(monkeypatch):
    """The server of the page, on a free port; its address."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    made = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: made.append(app))
    exec(blocks_of("OpenEnv")[0], {})
    server = uvicorn.Server(uvicorn.Config(made[0], log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    close_pools()


def test_an_episode_s_rewards_add_up_to_the_best_answer_s(served, capsys):
    good = reference_as_candidate(load_tasks("level1/19", sizes="small")[0])
    answers = iter([good.replace("torch.relu(x)", "x"), good, good, "I cannot."])
    seen = []

    def policy(messages):
        seen.append(list(messages))
        return f"```python\n{next(answers)}\n```"

    code = blocks_of("OpenEnv")[1]
    assert "http://127.0.0.1:8000" in code
    exec(code.replace("http://127.0.0.1:8000", served), {"policy": policy})
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert [row[0] for row in rows] == ["incorrect", "correct", "correct", "no_source"]
    rewards = [float(row[2]) for row in rows]
    assert rewards[0] == rewards[3] == 0.0
    assert 0.3 <= sum(rewards) < 0.6 and rewards[1] >= 0.3
    assert "class Model" in seen[0][-1]["content"]
    assert seen[1][-1]["content"].startswith("outcome: incorrect\nsigned inputs: ")


def test_a_task_is_chosen_by_id_by_number_or_by_seed(served):
    from openenv import GenericEnvClient

    with GenericEnvClient(base_url=served).sync() as env:
        first = env.reset(index=0).observation["task"]
        assert env.reset(task=first).observation["task"] == first
        assert env.reset(seed=7).observation["task"] == env.reset(seed=7).observation["task"]
