"""Judges on a real Ray cluster of several nodes, on this machine."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation import Evaluator, EvaluatorPool, reference_as_candidate
from pytest_kernelbench.records import Outcome, Task
from pytest_kernelbench.serving import deployment
from pytest_kernelbench.serving.client import RemoteEvaluator
from pytest_kernelbench.tasks import load_tasks

# Ray warns of its own affairs: sockets that it leaves open, and what it will change.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster():
    # Else Ray kills judges where other programs take the machine's memory.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        yield from cluster_here()


def cluster_here():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def relu():
    return load_tasks("level1/19", sizes="small")[0]


def wrong(number):
    return f"import torch\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x - {number}\n"


def test_a_node_that_is_lost_in_the_middle_loses_no_candidate(cluster, relu, tmp_path):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    sources = [*(wrong(number) for number in range(1, 11)), reference_as_candidate(relu)]
    with EvaluatorPool(ray="auto", protocol="fast", cache=tmp_path) as pool:
        assert len(pool) == 2
        outcomes = {}
        for index, evaluation in pool.as_completed(relu, sources):
            outcomes[index] = evaluation.outcome
            if len(outcomes) == 2:
                cluster.remove_node(nodes.pop())
        # From the first judge to answer, for the pool's others and for those that take a lost one's place.
        assert all(judge.known.of(judge._hardware, relu.sha256) for judge in pool._judges)
    cluster.remove_node(nodes.pop())
    assert outcomes == {**dict.fromkeys(range(10), Outcome.INCORRECT), 10: Outcome.CORRECT}


def test_an_error_on_another_node_is_the_one_line_that_it_is_here(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)
    broken = Task(id="level1/1_broken", source="import torch\n\n\nclass Model(torch.nn.Module):\n    pass\n")
    asked = (broken, ["class ModelNew: pass"])
    pool = EvaluatorPool(ray="auto", devices="cpu", protocol="fast", cache=tmp_path)
    with pool, pytest.raises(HarnessError) as there:
        list(pool.evaluate(*asked))
    evaluator = Evaluator(device="cpu", protocol="fast", cache=tmp_path)
    with evaluator, pytest.raises(HarnessError) as here:
        list(evaluator.evaluate(*asked))
    cluster.remove_node(node)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"devices": "cpu", "protocol": "slow"},
            'protocol = "slow": no such protocol; there are fast, full, paper',
        ),
        ({"devices": "gpu"}, "devices: 'gpu' is no kind of device of a Ray cluster; there are cpu, cuda"),
        ({"devices": 2}, 'devices: 2 is no list of texts; give "auto", or a list such as ["cuda", "cuda"]'),
        ({"devices": []}, 'devices: none is named; give "auto", or a list such as ["cuda", "cuda"]'),
        ({}, 'devices="auto": the Ray cluster has no GPU and no CPU yet; add a node, or name the kinds'),
    ],
)
def test_settings_that_no_judge_takes_are_refused_before_a_node_is_asked(cluster, settings, message):
    with pytest.raises(UsageError) as refused:
        EvaluatorPool(**{"ray": "auto", **settings})
    assert str(refused.value) == message


def test_the_service_judges_over_http_and_says_how_it_fares(cluster, relu, monkeypatch):
    monkeypatch.delenv("KERNELBENCH_TOKEN", raising=False)
    node = cluster.add_node(num_cpus=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = argparse.Namespace(
        host="127.0.0.1", port=port, ray=None, judges="cpu", protocol="fast", precision="float32", requests_a_minute=600
    )
    deployment.start(options)
    try:
        url = f"http://127.0.0.1:{port}"
        with RemoteEvaluator(url, protocol="fast", precision="float32") as evaluator:
            outcomes = [each.outcome for each in evaluator.evaluate(relu, [wrong(1), reference_as_candidate(relu)])]
            own = reference_as_candidate(relu)
            compared = evaluator.compare(relu, own, own, max_slowdown=2.0, seconds=5.0)
        assert outcomes == [Outcome.INCORRECT, Outcome.CORRECT]
        # As fast as itself, or not decided on a busy machine.
        assert compared.verdict in ("same_or_faster", "undecided"), compared
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as told:
            assert b'kernelbench_evaluations_total{outcome="correct"} 1.0' in told.read()
    finally:
        deployment.stop()
        cluster.remove_node(node)


@pytest.mark.parametrize(
    ("number", "send", "n_judges"),
    [
        # More than Ray takes this machine to have CPUs for.
        (signal.SIGTERM, os.kill, (os.cpu_count() or 1) + 1),
        # As a service manager sends it to all, or a terminal: Ray's own processes get it too.
        (signal.SIGTERM, os.killpg, 1),
        (signal.SIGINT, os.killpg, 1),
    ],
    ids=["SIGTERM to it", "SIGTERM to all", "SIGINT to all"],
)
def test_a_server_ends_with_all_its_processes_when_it_is_told_to(tmp_path, number, send, n_judges):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    judges = ",".join(["cpu"] * n_judges)
    command = [sys.executable, "-m", "pytest_kernelbench", "serve", f"--port={port}", f"--judges={judges}"]
    # As a shell starts what it puts into the background: interrupts are ignored.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with (tmp_path / "said").open("w") as said:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    with server.stdout:
        assert server.stdout.readline() == f"judging at http://127.0.0.1:{port}; stop with Ctrl-C\n"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as told:
            if (health := json.load(told))["ready"] == n_judges:
                break
        time.sleep(0.2)
    assert health == {"judges": n_judges, "ready": n_judges}
    processes = psutil.Process(server.pid).children(recursive=True)
    send(server.pid, number)
    assert server.wait(timeout=60) == 0
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    # Ray Serve says so where it has waited 30 s for a controller that is gone.
    assert "failed to shut down" not in (tmp_path / "said").read_text()


def test_a_server_whose_ray_cluster_has_ended_ends_with_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    patient = "from pytest_kernelbench import __main__; from pytest_kernelbench.serving import deployment; import sys; "
    patient += "deployment.MOST_SILENCE_S = deployment.ANSWER_TIMEOUT_S = 3.0; deployment.BETWEEN_LOOKS_S = 0.5; "
    command = [sys.executable, "-c", f"{patient}sys.exit(__main__.main(['serve', '--port={port}', '--judges=cpu']))"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with server.stdout, server.stderr:
        assert server.stdout.readline() == f"judging at http://127.0.0.1:{port}; stop with Ctrl-C\n"
        processes = psutil.Process(server.pid).children(recursive=True)
        (raylet,) = [each for each in processes if each.name() == "raylet"]
        raylet.kill()
        assert server.wait(timeout=120) == 3
        said = server.stderr.read()
    assert f"error: serve: no answer at 127.0.0.1:{port} for " in said
    assert psutil.wait_procs(processes, timeout=60)[1] == []


def test_a_server_for_the_network_needs_a_token():
    for host in ("0.0.0.0", "judge.example"):
        with pytest.raises(UsageError, match=f"serve: {host} is not loopback; set KERNELBENCH_TOKEN to a secret"):
            deployment.check_token(host, None)
    deployment.check_token("0.0.0.0", "secret")
    deployment.check_token("localhost", None)
