"""The tiny policy adapting in real pytest processes: several at once, and one that is killed. The judge is made up."""

import signal
import time

import pytest
from project import Project

from pytest_kernelbench.policies import load_policy

ADAPT = ("--policy=tiny", "--no-kernelbench-null", "--kernelbench-set", "sampling.max_tokens=16")
K = ("--kernelbench-set", "sampling.k=3")
# Of three rollouts none may be correct by chance.
FEW = (*K, "--kernelbench-set", "adaptation.steps=2", "--kernelbench-set", "adaptation.collapse=0")


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.judge_by_text()
    return project


def contiguous(steps):
    lineages = {}
    for row in steps:
        lineages.setdefault(row["lineage"], []).append(row["step"])
    return all(each == [0, 1, 2] for each in lineages.values())


def test_several_workers_adapt_once_and_search_beside_them_shares_step_0(project):
    arguments = ("-q", "-n", "2", *ADAPT, *FEW)
    done = project.run(*arguments, strategy="best-of-64,batch-ttt")
    assert done.returncode == 0, done.stdout
    steps = project.rows("adaptation")
    assert len(steps) == 3 and contiguous(steps)
    completions = project.rows("completions")
    keys = [(row["sampling_sha256"], row["task"], row["index"]) for row in completions]
    assert len(keys) == len(set(keys)) == 2 * 3 * 3
    chosen = {(row["strategy"], row["task"]): row for row in project.rows("selections")}
    assert len(chosen) == 4
    assert {chosen["batch-ttt", task]["cost"]["rollouts"] for task in ("level1/1_Relu", "level1/2_Sum")} == {9}
    # A policy that learnt on other hardware, or here, is named with its adapter.
    adapted = load_policy(f"tiny+{project.folder / 'run' / steps[-1]['checkpoint']}", device="cpu")
    assert adapted.version not in {row["policy_version"] for row in completions}


def test_after_kill_9_adaptation_goes_on_where_it_was(project):
    process = project.start("-q", *ADAPT, *FEW, strategy="batch-ttt")
    try:
        while process.poll() is None and not project.rows("adaptation"):
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = project.rows("completions")
    assert 0 < len(project.rows("adaptation")) < 3
    done = project.run("-q", *ADAPT, *FEW, strategy="batch-ttt")
    assert done.returncode == 0, done.stdout
    after = project.rows("completions")
    assert after[: len(before)] == before and len(after) == 18
    assert contiguous(project.rows("adaptation"))


def test_a_policy_that_cannot_be_trained_ends_the_run_in_one_line(project):
    done = project.run("-q", strategy="batch-ttt")
    assert done.returncode != 0
    assert (
        '--policy=replay:answers.jsonl: has no weights here to train, which strategy "batch-ttt" needs' in done.stdout
    )
