"""Judges on a real Ray cluster of several nodes, on this machine."""

import argparse
import socket
import urllib.request

import pytest
import ray
from ray.cluster_utils import Cluster

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation import EvaluatorPool, reference_as_candidate
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.serving import deployment
from pytest_kernelbench.serving.client import RemoteEvaluator
from pytest_kernelbench.tasks import load_tasks

# Ray warns of its own affairs: sockets that it leaves open, and what it will change.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
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
    cluster.remove_node(nodes.pop())
    assert outcomes == {**dict.fromkeys(range(10), Outcome.INCORRECT), 10: Outcome.CORRECT}


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
        assert outcomes == [Outcome.INCORRECT, Outcome.CORRECT]
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as told:
            assert b'kernelbench_evaluations_total{outcome="correct"} 1.0' in told.read()
    finally:
        deployment.stop()
        cluster.remove_node(node)


def test_a_server_for_the_network_needs_a_token():
    for host in ("0.0.0.0", "judge.example"):
        with pytest.raises(UsageError, match=f"serve: {host} is not loopback; set KERNELBENCH_TOKEN to a secret"):
            deployment.check_token(host, None)
    deployment.check_token("0.0.0.0", "secret")
    deployment.check_token("localhost", None)
