"""The client of a server over a real socket: verdicts, waits, repeated requests and refusals."""

import json
import socket
import threading
import time

import pytest
from asking import RELU, SETTINGS, answer
from ci_project import GATE, KERNEL, SAVE, CIProject
from project import Project

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.serving import client
from pytest_kernelbench.serving.client import RemoteEvaluator
from pytest_kernelbench.serving.wire import Limits


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
                    text = json.dumps({**SETTINGS, "device": "cpu"})
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
