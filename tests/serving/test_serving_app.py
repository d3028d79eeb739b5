"""The HTTP interface over a real socket: answers, refusals and metrics."""

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
from asking import DONE, answer, body_of, raw_answer

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.judges import requests as requests_module
from pytest_kernelbench.serving import deployment
from pytest_kernelbench.serving.app import Rate
from pytest_kernelbench.serving.wire import Limits


def test_health_says_how_many_judges_are_up(serving):
    url = serving()
    until = time.monotonic() + 10
    while '"ready":2' not in (told := answer(f"{url}/health")[1]) and time.monotonic() < until:
        time.sleep(0.01)
    assert told == '{"judges":2,"ready":2}'
    assert "kernelbench_judges_ready 2.0" in answer(f"{url}/metrics")[1]


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
    assert sorted(row["index"] for row in rows[:2]) == [0, 1] and rows[2]["done"] == 2


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
    assert answer(f"{url}/v1/evaluate", body_of("right"))[1].endswith(DONE)


def test_a_client_that_goes_away_while_it_sends_is_no_error_of_the_server(serving, capfd):
    url = serving()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: there\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.2)
    time.sleep(0.5)
    assert answer(f"{url}/v1/evaluate", body_of("right"))[1].endswith(DONE)
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
    assert [status for status, text in told if text.endswith(DONE)] == [200] * 200


def test_memory_of_the_server_does_not_grow_with_the_number_of_requests(serving, monkeypatch):
    monkeypatch.setattr(requests_module, "LEAST_TO_TIDY", 20)
    url = serving(limits=Limits(requests_a_minute=1_000_000))
    connection = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]))

    def ask(numbers):
        for number in numbers:
            task = {"id": f"level1/{number}_x", "source": f"n = {number}"}
            row = {"task": task, "sources": [f"{number}" * 100], "within_s": 80_000}
            connection.request("POST", "/v1/evaluate", json.dumps(row))
            assert connection.getresponse().read().splitlines()[-1].startswith(b'{"done": 1, ')

    def held():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        ask(range(200))
        before = held()
        ask(range(200, 600))
        # The sources alone have 120 kB.
        assert held() < before + 80_000
    finally:
        tracemalloc.stop()
        connection.close()


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
