"""One evaluator for all files of a worker whose tests need no processes of their own: a start takes 5 s of a core."""

import pytest

from pytest_kernelbench.evaluation import Evaluator


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="session")
def evaluator(cache):
    with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
        yield evaluator


@pytest.fixture(scope="module")
def walls(evaluator):
    """Which namespaces this machine grants; a test about one that is missing has nothing to test."""
    return evaluator.describe()["isolation"]
