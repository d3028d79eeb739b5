"""The key of a server is sent to it, and is in no message, record, log or traceback."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai_policies import error_of, load, refusal, sampled, slowly
from openai_stand_in import KEY, Reply
from project import PLUGIN

from pytest_kernelbench.errors import KernelBenchError, PolicyError
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


def echo(handler: Any, status: int) -> Reply:
    seen = handler.headers["Authorization"]
    assert KEY in seen
    return Reply(status, {"error": {"message": f"bad request; your headers: {seen}"}}, {"X-Echo": seen})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_key_that_a_server_quotes_is_nowhere(
    status: int,
    stand_in: Any,
    task: Task,
    sampling: Sampling,
    caplog: pytest.LogCaptureFixture,
    no_waiting: None,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = stand_in(faults=[lambda handler: echo(handler, status)] * 9)
    said = error_of(KernelBenchError, server, task, sampling)
    assert KEY not in said and str(status) in said
    assert ("Bearer ***" in said) is (status not in (401, 403))
    assert KEY not in caplog.text


def in_text(answer: dict[str, Any]) -> None:
    answer["choices"][0]["message"]["content"] = f"Authorization: Bearer {KEY}"


def in_stop_reason(answer: dict[str, Any]) -> None:
    answer["choices"][0]["finish_reason"] = KEY


def in_model(answer: dict[str, Any]) -> None:
    answer["model"] = f"letters-{KEY}"


@pytest.mark.parametrize("change", [in_text, in_stop_reason, in_model])
def test_answer_that_repeats_the_key_is_not_recorded(
    change: Any, stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load(f"openai:letters@{server.url}")
    server.change = change
    with pytest.raises(PolicyError) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value) == (
        f"--policy=openai:letters@{server.url}: repeats the key in OPENAI_API_KEY in its answer, so that it would be "
        "recorded; ask a server that keeps it to itself"
    )


def test_names_of_models_are_shown_without_the_key(stand_in: Any) -> None:
    fault = Reply(404, {"error": {"message": "The model `letters` does not exist."}})
    server = stand_in(models=(f"for-{KEY}",), faults=[fault] * 2)
    spec = f"openai:letters@{server.url}"
    assert refusal(spec) == f'--policy={spec}: has no model "letters"; there is for-***'


def test_short_key_of_a_server_of_one_s_own_may_occur_in_an_answer(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch, task: Task, sampling: Sampling
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    policy = load(f"openai:letters@{stand_in().url}")
    assert any("a" in done.text for done in sampled(policy, task, sampling))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"Bearer {KEY}", f"{KEY}\N{HORIZONTAL ELLIPSIS}"])
def test_key_that_no_header_carries_is_refused_and_not_shown(
    key: str, stand_in: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert refusal(f"openai:letters@{stand_in().url}") == (
        "OPENAI_API_KEY: holds a space, a line end or another character that no key has; set it again"
    )
    assert KEY not in caplog.text


def test_key_is_in_no_traceback_record_or_terminal(stand_in: Any, tmp_path: Path) -> None:
    """The whole plugin, with every local variable shown, on a server that quotes its headers."""
    server = stand_in()
    server.faults = [lambda handler: slowly(server)] * 2 + [lambda handler: echo(handler, 400)] * 9
    command = [
        *(sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider"),
        *("--strategy=best-of-64", "--tasks=level1/19", "--kernelbench-device=cpu", "--kernelbench-run=run"),
        *(f"--policy=openai:letters@{server.url}", "--showlocals", "--full-trace", "--log-level=DEBUG", "-vv"),
        *("--kernelbench-set", "sampling.k=2", "--junitxml=junit.xml"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENAI_LOG": "debug"},
        capture_output=True,
        text=True,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 1 and "Bearer ***" in shown
    assert KEY not in shown
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"run.json", "junit.xml"} <= {file.name for file in written}
    assert not [file for file in written if KEY.encode() in file.read_bytes()]
