"""The HTTP interface and its client, over a real socket."""

import gc
import http.client
import json
import socket
import threading
import time
import tracemalloc
import urllib.error
import urllib.request

import pytest
import uvicorn
from ci_project import GATE, KERNEL, SAVE, CIProject
from made_up_judges import made_up_pool
from project import Project

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation import requests as requests_module
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.records import Outcome, Task
from pytest_kernelbench.serving import client, deployment
from pytest_kernelbench.serving.app import Rate, build_app
from pytest_kernelbench.serving.client import RemoteEvaluator
from pytest_kernelbench.serving.wire import Limits

RELU = Task(id="level1/19_ReLU", source="class Model: pass")
SETTINGS = {"protocol": "fast", "precision": "float32"}


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

    start.stop = stop
    monkeypatch.delenv("KERNELBENCH_TOKEN", raising=False)
    yield start
    stop()


def answer(url, body=None, token=None):
    """Status and text of a request."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=30) as told:
            return told.status, told.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def raw_answer(url, *parts, method="POST /v1/evaluate HTTP/1.1", pause_s=0.0):
    """All bytes that a server sends until it ends the connection."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.settimeout(30)
        connection.sendall(f"{method}\r\nHost: there\r\nConnection: close\r\n".encode())
        for part in parts:
            time.sleep(pause_s)
            connection.sendall(part)
        told = b""
        while chunk := connection.recv(1 << 16):
            told += chunk
    return told.decode()


def body_of(*sources, **fields):
    return json.dumps({"task": {"id": RELU.id, "source": RELU.source}, "sources": sources, **fields}).encode()


def test_a_client_gets_verdicts_in_order_and_identical_sources_are_sent_once(serving):
    with RemoteEvaluator(serving(), **SETTINGS) as evaluator:
        outcomes = [each.outcome for each in evaluator.evaluate(RELU, ["slow", None, "right", "slow"])]
        told = evaluator.describe()
    assert outcomes == [Outcome.INCORRECT, Outcome.NO_SOURCE, Outcome.CORRECT, Outcome.INCORRECT]
    assert (told["judges"], told["protocol"]) == (2, "fast")


def test_a_session_has_its_candidates_judged_by_the_server(serving, tmp_path):
    project = Project(tmp_path)
    done = project.run(f"--kernelbench-judges={serving()}", "--no-kernelbench-null", strategy="random")
    assert done.returncode == 0, done.stdout
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["device_kind"] == "cpu"
    assert {row["outcome"] for row in project.rows("evaluations")} == {"incorrect"}


def test_a_kernel_is_compared_with_its_baseline_by_the_server_as_by_a_judge_here(serving):
    url = serving()
    evaluator = RemoteEvaluator(url, **SETTINGS)
    slower = evaluator.compare(RELU, "takes 1.1", "takes 1.0", max_slowdown=1.05, sizes=3, seconds=7.0)
    assert slower == Comparison(verdict="slower", slowdown=1.1, low=1.1, high=1.1, series=3, seconds=7.0)
    assert evaluator.compare(RELU, "takes 1.1", "takes 1.1").verdict == "same_or_faster"
    with pytest.raises(HarnessError, match=rf"^{url}: level1/19_ReLU: the reference does not run on cpu \(made up\)$"):
        evaluator.compare(RELU, "fault", "")
    with pytest.raises(UsageError, match="max_slowdown=1: no measurement shows that two times are equal"):
        evaluator.compare(RELU, "", "", max_slowdown=1.0)
    refused = rf"^{url}: refused \(400: sizes: must be a whole number from 1 to 1000\)$"
    with pytest.raises(HarnessError, match=refused):
        evaluator.compare(RELU, "", "", sizes=0)


def test_a_comparison_over_which_two_judges_died_is_asked_for_again(serving):
    url = serving()
    assert RemoteEvaluator(url, **SETTINGS).compare(RELU, "dies twice", "").verdict == "same_or_faster"
    assert "kernelbench_faults_total 1.0" in answer(f"{url}/metrics")[1]


def test_the_gates_of_a_session_are_judged_by_the_server(serving, tmp_path):
    project = CIProject(tmp_path)
    judges = f"--kernelbench-judges={serving()}"
    saved = project.run("-q", judges, *SAVE)
    assert saved.returncode == 0, saved.stdout
    project.write_kernel("1_Relu", f"{KERNEL}\n# takes 1.1\n")
    done = project.run("-q", judges, *GATE)
    assert done.returncode == 1, done.stdout
    assert "Failed: level1/1_Relu[pinned]: 1.100x the time of its baseline" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_a_fault_of_the_harness_is_raised_where_it_was_asked(serving):
    evaluator = RemoteEvaluator(serving(), **SETTINGS)
    with pytest.raises(HarnessError, match=r"level1/19_ReLU: the reference does not run on cpu \(made up\)"):
        list(evaluator.evaluate(RELU, ["fault"]))


def test_a_source_over_which_two_judges_died_is_asked_for_again(serving):
    url = serving()
    verdicts = RemoteEvaluator(url, **SETTINGS).evaluate(RELU, ["a", "dies twice", "right"])
    assert [each.outcome for each in verdicts] == [Outcome.INCORRECT, Outcome.INCORRECT, Outcome.CORRECT]
    assert "kernelbench_faults_total 1.0" in answer(f"{url}/metrics")[1]


def test_more_sources_than_a_request_may_hold_are_sent_in_several(serving):
    evaluator = RemoteEvaluator(serving(), **SETTINGS)
    sources = [*map(str, range(300)), "right"]
    outcomes = [each.outcome for each in evaluator.evaluate(RELU, sources)]
    assert outcomes == [Outcome.INCORRECT] * 300 + [Outcome.CORRECT]


def test_a_client_waits_where_it_asks_too_often(serving):
    url = serving(limits=Limits(requests_a_minute=30))
    for _ in range(30):
        answer(f"{url}/v1/settings")
    started = time.monotonic()
    assert RemoteEvaluator(url, **SETTINGS).describe()["judges"] == 2
    assert 1 <= time.monotonic() - started < 20


def test_health_says_how_many_judges_are_up(serving):
    url = serving()
    until = time.monotonic() + 10
    while '"ready":2' not in (told := answer(f"{url}/health")[1]) and time.monotonic() < until:
        time.sleep(0.01)
    assert told == '{"judges":2,"ready":2}'
    assert "kernelbench_judges_ready 2.0" in answer(f"{url}/metrics")[1]


def test_many_clients_at_once_each_get_all_their_verdicts(serving):
    url = serving(limits=Limits(requests_a_minute=10_000))
    told = {}

    def ask(number):
        sources = [f"{number} {each}" for each in range(5)] + ["right"]
        told[number] = [each.outcome for each in RemoteEvaluator(url, **SETTINGS).evaluate(RELU, sources)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {number: [Outcome.INCORRECT] * 5 + [Outcome.CORRECT] for number in range(20)}
    numbers = answer(f"{url}/metrics")[1]
    assert 'kernelbench_evaluations_total{outcome="correct"} 20.0' in numbers
    assert "kernelbench_sources_waiting 0.0" in numbers


def test_what_is_malformed_too_large_unauthorised_or_too_often_gets_a_clear_answer(serving):
    url = serving(limits=Limits(body_bytes=100, requests_a_minute=6), token="secret")
    evaluate = f"{url}/v1/evaluate"
    assert answer(evaluate, b"{}") == (
        401,
        '{"error":"the token is missing or wrong; send Authorization: Bearer TOKEN"}',
    )
    assert answer(f"{url}/health")[0] == 200
    assert answer(evaluate, b"{", "secret")[0] == 400
    assert answer(evaluate, b"x" * 101, "secret") == (
        413,
        '{"error":"the request is over 100 bytes; send fewer sources"}',
    )
    status, told = answer(f"{url}/v2", None, "secret")
    assert status == 404 and "no such route; there are POST /v1/evaluate, POST /v1/compare, GET /v1/settings" in told
    statuses = [answer(f"{url}/v1/settings", None, "secret")[0] for _ in range(6)]
    assert statuses[-1] == 429
    request = urllib.request.Request(evaluate, data=b"{}", headers={"Authorization": "Bearer secret"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    again_in_s = refused.value.headers["Retry-After"]
    assert refused.value.read().decode() == f'{{"error":"too many requests; try again in {again_in_s} s"}}'
    assert 1 <= int(again_in_s) <= 10


def test_the_client_says_what_the_server_said(serving, monkeypatch):
    url = serving(token="secret")
    with pytest.raises(HarnessError, match=r"refused \(401: the token is missing or wrong"):
        RemoteEvaluator(url, **SETTINGS)
    monkeypatch.setenv("KERNELBENCH_TOKEN", "secret")
    with pytest.raises(
        UsageError, match="judges with protocol fast, the strategy asks for full; start the server with"
    ):
        RemoteEvaluator(url, protocol="full", precision="float32")
    with pytest.raises(
        HarnessError, match=r"http://127.0.0.1:9: no answer \(.*refused.*\); check that the server runs"
    ):
        RemoteEvaluator("http://127.0.0.1:9", **SETTINGS)


def test_an_answer_that_ends_early_is_asked_for_again(monkeypatch):
    """A server that hangs up after each line: every source is answered all the same."""
    seen = []

    def serve(listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(1 << 16)
                head, _, body = request.partition(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    text = json.dumps(SETTINGS)
                    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
                    continue
                length = int(next(line for line in head.lower().split(b"\r\n") if b"content-length" in line).split()[1])
                while len(body) < length:
                    body += connection.recv(1 << 16)
                sources = json.loads(body)["sources"]
                seen.append(sources)
                from pytest_kernelbench.records import Evaluation, sha256_of

                row = Evaluation(source_sha256=sha256_of(sources[0]), outcome=Outcome.INCORRECT).to_json()
                lines = json.dumps({"index": 0, "evaluation": row}) + "\n"
                if len(sources) == 1:
                    lines += '{"done": 1}\n'
                connection.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{lines}".encode())

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        evaluator = RemoteEvaluator(f"http://127.0.0.1:{listening.getsockname()[1]}", **SETTINGS)
        assert len(list(evaluator.evaluate(RELU, ["a", "b", "c"]))) == 3
    assert seen == [["a", "b", "c"], ["b", "c"], ["c"]]


def test_a_bucket_fills_again():
    now = [0.0]
    rate = Rate(60, clock=lambda: now[0])
    assert [rate.take("a") for _ in range(60)] == [0.0] * 60
    assert rate.take("a") == pytest.approx(1.0)
    assert rate.take("b") == 0.0
    now[0] = 1.0
    assert rate.take("a") == 0.0


def test_a_client_of_http_1_0_gets_its_answer_in_one_part(serving):
    body = body_of("a", "right")
    told = raw_answer(
        serving(), b"Content-Length: %d\r\n\r\n%b" % (len(body), body), method="POST /v1/evaluate HTTP/1.0"
    )
    head, _, text = told.partition("\r\n\r\n")
    assert "transfer-encoding" not in head.lower() and f"content-length: {len(text)}" in head.lower()
    rows = [json.loads(line) for line in text.splitlines()]
    assert sorted(row["index"] for row in rows[:2]) == [0, 1] and rows[2] == {"done": 2}


def test_a_body_that_is_said_to_be_huge_is_refused_before_it_is_sent(serving):
    told = raw_answer(serving(), b"Content-Length: 1000000000000\r\n\r\n")
    assert "413" in told.partition("\r\n")[0]
    assert told.endswith('{"error":"the request is over 16777216 bytes; send fewer sources"}')


@pytest.mark.parametrize("head", ["Content-Length: 300\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n12c\r\n"])
def test_a_body_over_the_limit_is_read_to_its_end_so_that_its_client_reads_the_answer(serving, head):
    end = b"\r\n0\r\n\r\n" if "chunked" in head else b""
    told = raw_answer(serving(limits=Limits(body_bytes=100)), head.encode() + b" " * 150, b" " * 150 + end, pause_s=0.2)
    assert (
        "413" in told.partition("\r\n")[0] and '{"error":"the request is over 100 bytes; send fewer sources"}' in told
    )


def test_a_body_that_does_not_arrive_is_refused(serving):
    told = raw_answer(serving(limits=Limits(body_seconds=0.3)), b"Content-Length: 100\r\n\r\n", b"{", pause_s=0.1)
    assert "408" in told.partition("\r\n")[0]
    assert told.endswith('{"error":"the request did not arrive within 0.3 s"}')


def test_what_a_client_that_went_away_asked_for_waits_no_more(serving):
    url = serving()
    body = body_of(*["slow"] * 100)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        head = "POST /v1/evaluate HTTP/1.1\r\nHost: there\r\nContent-Length"
        connection.sendall(f"{head}: {len(body)}\r\n\r\n".encode() + body)
        connection.recv(100)
        assert "kernelbench_sources_waiting 100.0" in answer(f"{url}/metrics")[1]
    until = time.monotonic() + 20
    while "kernelbench_sources_waiting 0.0" not in answer(f"{url}/metrics")[1]:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert answer(f"{url}/v1/evaluate", body_of("right"))[1].endswith('{"done": 1}\n')


def test_a_client_that_goes_away_while_it_sends_is_no_error_of_the_server(serving, capfd):
    url = serving()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: there\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.2)
    time.sleep(0.5)
    assert answer(f"{url}/v1/evaluate", body_of("right"))[1].endswith('{"done": 1}\n')
    assert capfd.readouterr().err == ""


def test_many_connections_at_once_are_all_answered(serving):
    url = serving(limits=Limits(requests_a_minute=10_000))
    told = []
    threads = [
        threading.Thread(target=lambda number=number: told.append(answer(f"{url}/v1/evaluate", body_of(str(number)))))
        for number in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, text in told if text.endswith('{"done": 1}\n')] == [200] * 200


def test_memory_of_the_server_does_not_grow_with_the_number_of_requests(serving, monkeypatch):
    monkeypatch.setattr(requests_module, "LEAST_TO_TIDY", 20)
    url = serving(limits=Limits(requests_a_minute=1_000_000))
    connection = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]))

    def ask(numbers):
        for number in numbers:
            task = {"id": f"level1/{number}_x", "source": f"n = {number}"}
            row = {"task": task, "sources": [f"{number}" * 100], "within_s": 80_000}
            connection.request("POST", "/v1/evaluate", json.dumps(row))
            assert connection.getresponse().read().endswith(b'{"done": 1}\n')

    def held():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        ask(range(200))
        before = held()
        ask(range(200, 1200))
        # The sources alone have 400 kB.
        assert held() < before + 200_000
    finally:
        tracemalloc.stop()
        connection.close()


def test_a_client_waits_for_a_server_that_starts_again(serving):
    url = serving()
    evaluator = RemoteEvaluator(url, **SETTINGS)
    serving.stop()
    again = threading.Timer(1.5, serving, [int(url.rpartition(":")[2])])
    again.start()
    assert [each.outcome for each in evaluator.evaluate(RELU, ["a", "right"])] == [Outcome.INCORRECT, Outcome.CORRECT]
    again.join()


def test_a_server_that_does_not_come_back_is_waited_for_once(serving, monkeypatch):
    monkeypatch.setattr(client, "RESTART_PATIENCE_S", 1.0)
    url = serving()
    evaluator = RemoteEvaluator(url, **SETTINGS)
    serving.stop()
    took_s = []
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(HarnessError, match=rf"^{url}: no answer \(.*refused.*\); check that the server runs"):
            list(evaluator.evaluate(RELU, ["a"]))
        took_s.append(time.monotonic() - started)
    assert took_s[0] > 1.5 > took_s[1]


def test_a_server_that_answers_no_more_is_told_to_its_owner_in_one_line(serving, monkeypatch):
    monkeypatch.setattr(deployment, "BETWEEN_LOOKS_S", 0.05)
    monkeypatch.setattr(deployment, "MOST_SILENCE_S", 0.3)
    port = int(serving().rpartition(":")[2])
    threading.Timer(1.0, serving.stop).start()
    started = time.monotonic()
    message = rf"^serve: no answer at 127.0.0.1:{port} for \d+ s, so its Ray cluster has ended; start it again$"
    with pytest.raises(HarnessError, match=message):
        deployment.watch("127.0.0.1", port, threading.Event())
    assert time.monotonic() - started > 1
    ended = threading.Event()
    ended.set()
    deployment.watch("127.0.0.1", port, ended)
