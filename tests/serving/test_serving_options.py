"""The options of the server: unusable values are refused before Ray is started."""

import argparse
import socket
import sys

import pytest

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.serving import deployment


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """A refused option starts nothing: ``import ray`` fails."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("KERNELBENCH_TOKEN", "secret")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--port=99999", "--port=99999: write a port from 1 to 65535, as in 8000"),
        ("--port=0", "--port=0: write a port from 1 to 65535, as in 8000"),
        ("--port=-1", "--port=-1: write a port from 1 to 65535, as in 8000"),
        ("--requests-a-minute=0", "--requests-a-minute=0: write 1 or more, as in 600"),
        ("--requests-a-minute=-5", "--requests-a-minute=-5: write 1 or more, as in 600"),
        (
            "--judges=nosuch",
            "--judges=nosuch: 'nosuch' is no such device; write auto, or a kind for each judge, of cpu, cuda",
        ),
        (
            "--judges=cpu,,cpu",
            "--judges=cpu,,cpu: '' is no such device; write auto, or a kind for each judge, of cpu, cuda",
        ),
        ("--judges=", "--judges=: '' is no such device; write auto, or a kind for each judge, of cpu, cuda"),
        (
            "--judges=cuda:0",
            "--judges=cuda:0: 'cuda:0' is no such device; write auto, or a kind for each judge, of cpu, cuda",
        ),
        (
            "--judges=cpu --host=192.0.2.77",
            "--port=8000: cannot listen at 192.0.2.77:8000 (Cannot assign requested address); name another port, or "
            "another host",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(capsys, options, problem):
    assert main(["serve", *options.split()]) == 4
    assert capsys.readouterr().err == f"error: {problem}\n"


@pytest.mark.parametrize("host", ["", "a..b", "nosuch.invalid"])
def test_a_host_that_is_none_is_one_line(capsys, host):
    assert main(["serve", "--judges=cpu", f"--host={host}"]) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"error: --host={host}: no such address (") and said.endswith("; use --host=127.0.0.1\n")


def test_a_port_that_another_program_has_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--judges=cpu", f"--port={port}"]) == 4
    assert capsys.readouterr().err == (
        f"error: --port={port}: cannot listen at 127.0.0.1:{port} (Address already in use); name another port, or "
        "another host\n"
    )


def test_more_judges_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(deployment, "resolve_device", lambda device, place: device)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    deployment._check_judges("cuda,cpu,cuda", here=True)
    with pytest.raises(UsageError, match=r"^--judges=cuda,cuda,cuda: 2 GPUs are visible here; name at most as many"):
        deployment._check_judges("cuda,cuda,cuda", here=True)
    # Of another machine's GPUs nothing is known here.
    deployment._check_judges("cuda,cuda,cuda", here=False)


def test_an_empty_token_is_none(monkeypatch):
    monkeypatch.setenv("KERNELBENCH_TOKEN", "")
    options = argparse.Namespace(host="127.0.0.1", port=1, ray="auto", judges="cpu", requests_a_minute=1)
    assert deployment.check(options) is None
    options.host = "0.0.0.0"
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 is not loopback; set KERNELBENCH_TOKEN to a secret"):
        deployment.check(options)
