"""One evaluator for all files of a worker whose tests need no processes of their own: a start takes 5 s of a core.

And pools of judges that take no time, and a session with a worker that computes nothing.
"""

import threading

import pytest
from made_up_judge import MadeUpJudge
from made_up_session import Worker, session_of
from made_up_trials import made_up_trials

from pytest_kernelbench import EvaluatorPool
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.sharing import lock


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


@pytest.fixture
def own_locks(tmp_path, monkeypatch):
    """Locks that no other test waits for."""
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)


@pytest.fixture
def trials(own_locks):
    with made_up_trials() as made:
        yield made


@pytest.fixture
def pool_of():
    """``pool_of(judges=2)`` starts a pool of made-up judges, and returns it and their class."""
    made = []

    def make(judges=1, **settings):
        kind = type("Judge", (MadeUpJudge,), {"asked": [], "wait": threading.Event()})
        pool = EvaluatorPool(devices=["cpu"] * judges, evaluator=kind, **settings)
        made.append((pool, kind))
        return pool, kind

    yield make
    for pool, kind in made:
        kind.wait.set()
        pool.close()


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def session(worker):
    with session_of(worker) as session:
        yield session
