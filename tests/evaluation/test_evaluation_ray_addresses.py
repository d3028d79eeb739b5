"""Addresses of Ray clusters that are not there."""

import socket

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.judges import ray_judges

NOT_FOUND = "Could not find any running Ray instance. Please specify the one to connect to by setting `--address`."
NO_ADDRESS = (
    "Invalid Ray address: 'http://x'. It looks like you set RAY_ADDRESS to an HTTP address. Either:\n  1. Unset"
)


@pytest.fixture
def init(monkeypatch):
    """``init(error)``: Ray looks for a cluster and fails so."""
    monkeypatch.setattr(ray_judges.ray, "is_initialized", lambda: False)

    def fails_with(error):
        def init(**settings):
            raise error

        monkeypatch.setattr(ray_judges.ray, "init", init)

    fails_with(AssertionError("Ray was asked"))
    return fails_with


@pytest.mark.parametrize("port", ["0", "65536", "99999", "9" * 5000])
def test_a_port_that_is_none_is_refused_before_ray_is_asked(init, port):
    with pytest.raises(UsageError) as refused:
        ray_judges.connect(f"127.0.0.1:{port}", "--ray")
    assert str(refused.value) == (
        f"--ray=127.0.0.1:{port}: no such cluster ({port} is no port); start one with: ray start --head"
    )


def test_a_port_at_which_nothing_answers_is_refused_before_ray_is_asked(init):
    with socket.socket() as bound:
        # Bound and not listening: no other program has it meanwhile.
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UsageError) as refused:
            ray_judges.connect(address)
    assert str(refused.value) == (
        f"ray={address}: no such cluster ([Errno 111] Connection refused); start one with: ray start --head"
    )


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("auto", ConnectionError(NOT_FOUND), "Could not find any running Ray instance"),
        ("http://x", ValueError(NO_ADDRESS), "Invalid Ray address: 'http://x'"),
        ("", ValueError("Invalid address format: "), "Invalid address format:"),
        ("nosuch", ValueError(), "no reason given"),
    ],
)
def test_what_ray_says_of_an_address_is_told_in_one_line(init, address, error, said):
    init(error)
    with pytest.raises(UsageError) as refused:
        ray_judges.connect(address, "--ray")
    assert str(refused.value) == f"--ray={address}: no such cluster ({said}); start one with: ray start --head"
