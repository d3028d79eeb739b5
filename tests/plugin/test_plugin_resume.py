"""A run that was killed at any moment is resumed, and loses nothing."""

import os
import signal
import time
from pathlib import Path

import pytest
from project import Project, answer


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.answers = [
        {"task": "level1/1", "text": answer("torch.clamp(x, min=0)", f"  # {n}"), "logprobs": [-float(n)]}
        for n in range(6)
    ]
    project.write_answers()
    return project


def wait_for_rows(project, name, count, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while len(project.rows(name)) < count:
        assert time.monotonic() < deadline, f"{name} has {len(project.rows(name))} rows"
        time.sleep(0.02)


def children_of(process: int) -> set[int]:
    """All processes that descend from one, as /proc tells."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {process}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {process}
        found |= more


def alive(processes) -> set[int]:
    def is_alive(number: int) -> bool:
        try:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return {number for number in processes if is_alive(number)}


def wait_until_gone(processes, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while alive(processes):
        assert time.monotonic() < deadline, f"still there: {alive(processes)}"
        time.sleep(0.1)


@pytest.mark.parametrize("evaluated", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_after_kill_9_no_evaluation_is_repeated_and_none_is_missing(project, evaluated):
    process = project.start("-q", "--no-kernelbench-null")
    wait_for_rows(project, "evaluations" if evaluated else "completions", evaluated or 1)
    children = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(children)
    before = project.rows("evaluations")
    done = project.run("-q", "--no-kernelbench-null")
    assert done.returncode == 0, done.stdout
    after = project.rows("evaluations")
    assert after[: len(before)] == before
    assert sorted(row["index"] for row in after) == list(range(6))


def test_a_torn_last_line_is_cut_off_and_said(project):
    project.judge_by_text()
    assert project.run("-q", "--no-kernelbench-null").returncode == 0
    path = project.folder / "run" / "evaluations.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    (project.folder / "run" / "selections.jsonl").unlink()
    done = project.run("-q", "--no-kernelbench-null")
    assert done.returncode == 0, done.stdout
    assert "evaluations.jsonl:6: cut off a record that was not finished; it is made again" in done.stdout
    assert [row["index"] for row in project.rows("evaluations")] == list(range(6))


@pytest.fixture
def heeds_ctrl_c():
    """Where a shell runs the tests in the background, they ignore Ctrl-C, and what they start inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_every_child_and_leaves_a_run_that_resumes(project, heeds_ctrl_c):
    process = project.start("-q", "--no-kernelbench-null")
    wait_for_rows(project, "evaluations", 2)
    children = children_of(process.pid)
    assert children
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    wait_until_gone(children)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert project.run("-q", "--no-kernelbench-null").returncode == 0
    assert sorted(row["index"] for row in project.rows("evaluations")) == list(range(6))


def test_a_run_is_not_resumed_with_another_seed(project):
    project.judge_by_text()
    assert project.run("-q", "--no-kernelbench-null").returncode == 0
    done = project.run("-q", "--kernelbench-seed=7")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "was made with --kernelbench-seed=0, not --kernelbench-seed=7; resume with the same" in done.stdout
