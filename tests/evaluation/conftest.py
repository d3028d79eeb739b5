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
