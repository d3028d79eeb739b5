"""The taskset in the released verifiers; in an environment of its own: pytest -m verifiers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from blocks import blocks_of

from pytest_kernelbench.environments.judging import close_pools
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.tasks import load_tasks

# The library warns of its own affairs.
pytestmark = [pytest.mark.verifiers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def taskset(tmp_path, monkeypatch):
    """The module that the page has a project make, where it can be imported."""
    (tmp_path / "kernels.py").write_text(blocks_of("verifiers")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    yield
    close_pools()


@pytest.fixture
def model():
    """``model(answer)`` starts a server that streams always the same, and returns its address."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                row = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "MODEL"}
                delta = {"index": 0, "delta": {"role": "assistant", "content": answer}, "finish_reason": None}
                last = {"index": 0, "delta": {}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
                rows = [{**row, "choices": [delta]}, {**row, "choices": [last]}, {**row, "choices": [], "usage": usage}]
                lines = [*map(json.dumps, rows), "[DONE]"]
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.wfile.write("".join(f"data: {line}\n\n" for line in lines).encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    asked = start.asked = []
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def relu():
    return load_tasks("level1/19", sizes="small")[0]


def test_an_episode_has_the_reward_of_the_model_s_answer(taskset, model, capsys):
    url = model(f"```python\n{reference_as_candidate(relu())}\n```")
    code = blocks_of("verifiers")[1]
    assert "http://127.0.0.1:8000/v1" in code
    names = {}
    exec(code.replace("http://127.0.0.1:8000/v1", url), names)
    trace = names["trace"]
    assert trace.ok, trace.errors
    assert trace.metrics["correct"] == 1.0 and 0.3 <= trace.reward < 0.5
    assert trace.info["kernelbench"]["outcome"] == "correct"
    assert capsys.readouterr().out.startswith("level1/19_ReLU 0.3")
    (asked,) = model.asked
    assert relu().source.strip() in asked["messages"][-1]["content"]


def test_where_the_harness_fails_there_is_an_error_and_no_reward(taskset, model, monkeypatch):
    from pytest_kernelbench.environments import verifiers as adapter

    async def failing(task, answer, **_):
        raise HarnessError(f"{task.id}: the reference does not run on cpu (made up)")

    monkeypatch.setattr(adapter, "judge", failing)
    names = {}
    exec(blocks_of("verifiers")[1].replace("http://127.0.0.1:8000/v1", model("I cannot.")), names)
    trace = names["trace"]
    assert (trace.ok, trace.rewards) == (False, {"kernel": None})
    assert "level1/19_ReLU: the reference does not run on cpu (made up)" in trace.errors[-1].message
