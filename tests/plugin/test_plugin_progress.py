"""What is seen while an item runs: lines where output is a file, one status that goes away on a terminal."""

import json
import os
import pty
import subprocess
import sys

import pytest
from project import PLUGIN, answer, made_up_evaluator

from pytest_kernelbench.plugin.progress import RESTORE_CURSOR_AND_ERASE, SAVE_CURSOR

AT_ONCE = made_up_evaluator("""
from pytest_kernelbench.plugin import progress

progress.LINE_EVERY_S = progress.REWRITE_EVERY_S = 0
progress.folder_of_holder = lambda folder, names: "/other/project"


def evaluate(self, task, sources):
    self.waiting()
    self.waiting()
    for source in sources:
        print("captured")
        yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.INCORRECT)
""")
OPTIONS = (
    "--strategy=random",
    "--tasks=problems/level1/2*",
    "--policy=replay:answers.jsonl",
    "--no-kernelbench-null",
)
LAST = "level1/2: sampled 1, evaluated 1/1 distinct, 0 correct"


@pytest.fixture
def project(benchmark_project):
    benchmark_project.pytester.makeconftest(AT_ONCE)
    row = {"task": "level1/2", "text": answer("torch.relu(x)")}
    benchmark_project.path.joinpath("answers.jsonl").write_text(json.dumps(row))
    return benchmark_project


@pytest.mark.parametrize("verbosity", ["-q", "-v"])
def test_without_a_terminal_progress_is_lines_of_their_own(project, verbosity):
    result = project.run(*OPTIONS, verbosity, apart=True)
    assert result.ret == 0
    assert LAST in result.outlines
    assert "captured" not in result.outlines


def test_the_reason_for_waiting_is_said_once(project):
    result = project.run(*OPTIONS, "-q", apart=True)
    said = [line for line in result.outlines if "another run has the device" in line]
    assert said == ["level1/2: sampled 1/64 (another run has the device: /other/project, 0 s)"]


def test_lines_say_how_many_items_are_done_and_how_long_the_others_take(project):
    result = project.run(*OPTIONS, "-q", "--strategy=random,oracle", apart=True)
    assert "0 of 2 done; level1/2[random]" in result.outlines
    assert any(
        line.startswith("1 of 2 done, ") and line.endswith("s left; level1/2[oracle]") for line in result.outlines
    )


def test_the_first_line_of_an_item_comes_within_a_second(project):
    slow = AT_ONCE.replace("progress.LINE_EVERY_S = progress.REWRITE_EVERY_S = 0", "").replace(
        'print("captured")', "import time; time.sleep(1.5)"
    )
    project.pytester.makeconftest(slow)
    result = project.run(*OPTIONS, "-q", apart=True)
    assert result.ret == 0
    assert "level1/2[random]" in result.outlines and LAST not in result.outlines


def test_doubly_quiet_says_nothing(project):
    assert LAST not in project.run(*OPTIONS, "-qq", apart=True).outlines


def test_on_a_terminal_the_status_is_taken_away_before_the_item_s_own_word(project):
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "pytest",
        *PLUGIN,
        "--kernelbench-device=cpu",
        "--kernelbench-sizes=full",
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "PY_COLORS": "1"}
    process = subprocess.Popen(
        [*command, *OPTIONS, "-v"],
        cwd=project.path,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # Linux says EIO where the other end is closed
            break
        if not block:
            break
        seen += block
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = seen.decode()
    assert text.count(SAVE_CURSOR) == text.count(RESTORE_CURSOR_AND_ERASE) > 1
    assert f"{SAVE_CURSOR}  {LAST}" in text
    assert "PASSED unsolved" in text.split(RESTORE_CURSOR_AND_ERASE)[-1]
