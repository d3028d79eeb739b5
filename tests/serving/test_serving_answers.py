"""The client's side of the HTTP interface, against answers that are made up."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.judges.asked import MAX_SOURCE_CHARACTERS
from pytest_kernelbench.records import Evaluation, Outcome, Task, sha256_of
from pytest_kernelbench.serving import client
from pytest_kernelbench.serving.client import RemoteEvaluator, settings_of

RELU = Task(id="level1/19_ReLU", source="class Model: pass")
SETTINGS = {"protocol": "fast", "precision": "float32"}


@pytest.fixture
def answering():
    """``answering(answer_to)`` starts a server; ``answer_to(path, body)``: status, headers and text of its answer."""
    servers = []

    def start(answer_to):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, text = answer_to(self.path, json.loads(body or "null"))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            do_POST = do_GET

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def judging(answer_to):
    """A server's answers: its settings, and ``answer_to(sources)`` for what is to be judged or compared."""

    def answer(path, body):
        if body is None:
            return 200, {}, json.dumps({**SETTINGS, "device": "cpu"})
        return 200, {}, answer_to(body.get("sources"))

    return answer


def verdicts_on(sources):
    rows = [
        {"index": index, "evaluation": Evaluation(source_sha256=sha256_of(each), outcome=Outcome.INCORRECT).to_json()}
        for index, each in enumerate(sources)
    ]
    return "".join(json.dumps(row) + "\n" for row in [*rows, {"done": len(sources)}])


def test_a_source_that_no_judge_reads_gets_its_verdict_without_being_sent(answering):
    sent = []

    def answer(sources):
        sent.append(sources)
        return verdicts_on(sources)

    evaluator = RemoteEvaluator(answering(judging(answer)), **SETTINGS)
    huge = "x" * (MAX_SOURCE_CHARACTERS + 1)
    outcomes = [each.outcome for each in evaluator.evaluate(RELU, ["a", huge, "b", huge])]
    assert outcomes == [Outcome.INCORRECT, Outcome.BUILD_ERROR, Outcome.INCORRECT, Outcome.BUILD_ERROR]
    assert sent == [["a", "b"]]


def test_sources_that_are_too_long_for_one_request_are_sent_in_several(answering, monkeypatch):
    monkeypatch.setattr(client, "BYTES_AT_ONCE", 100)
    sent = []

    def answer(sources):
        sent.append([len(each) for each in sources])
        return verdicts_on(sources)

    evaluator = RemoteEvaluator(answering(judging(answer)), **SETTINGS)
    sources = ["a" * 40, "b" * 40, "é" * 30, "c" * 300, "d"]
    assert len(list(evaluator.evaluate(RELU, sources))) == 5
    assert sent == [[40, 40], [30], [300], [1]]


@pytest.mark.parametrize("told", ["[]", '"cpu"', "{}", '{"device": 3, "protocol": "fast", "precision": "float32"}'])
def test_a_server_of_something_else_is_told_in_one_line(answering, told):
    url = answering(lambda path, body: (200, {}, told))
    with pytest.raises(HarnessError) as failed:
        settings_of(url)
    assert str(failed.value) == (f"{url}: is no server of judges; start one with: python -m pytest_kernelbench serve")


@pytest.mark.parametrize("url", ["http://127.0.0.1:x", "http://a b", "http://[::1"])
def test_an_address_that_is_none_is_told_in_one_line(url):
    with pytest.raises(HarnessError, match=rf"^{re.escape(url)}: no answer \(.*\); check that the server runs: GET "):
        settings_of(url)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "3",
        '{"index": 7, "evaluation": {}}',
        '{"index": "0", "evaluation": {}}',
        '{"index": 0}',
        '{"index": 0, "evaluation": {}}',
        '{"index": 0, "evaluation": []}',
    ],
)
def test_an_answer_of_another_version_is_told_in_one_line(answering, line):
    url = answering(judging(lambda sources: line + "\n"))
    evaluator = RemoteEvaluator(url, **SETTINGS)
    with pytest.raises(HarnessError, match=rf"^{url}: answered .*; update server and client$"):
        list(evaluator.evaluate(RELU, ["a"]))
    with pytest.raises(HarnessError, match=rf"^{url}: answered .*; update server and client$"):
        evaluator.compare(RELU, "a", "b")


class Clock:
    """Instead of ``time``: goes on by what is slept."""

    def __init__(self):
        self.slept_s = []

    def sleep(self, seconds):
        self.slept_s.append(seconds)

    def monotonic(self):
        return sum(self.slept_s)


@pytest.mark.parametrize(
    ("wait", "slept_s"),
    [("9" * 5000, 0.2), ("9" * 30, 0.2), ("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("-1", 1), ("²", 1)],
)
def test_a_server_that_asks_for_a_wait_of_years_is_waited_for_as_long_as_one_that_does_not(
    answering, monkeypatch, wait, slept_s
):
    monkeypatch.setattr(client, "RATE_PATIENCE_S", 0.2)
    monkeypatch.setattr(client, "time", clock := Clock())
    url = answering(lambda path, body: (429, {"Retry-After": wait}, '{"error": "too many\\nrequests"}'))
    with pytest.raises(HarnessError, match=rf"^{url}: refused \(429: too many requests\)$"):
        settings_of(url)
    assert clock.slept_s == [slept_s]
