"""Several workers give the same items, results, ids and report as one, even if a worker dies."""

import json
from types import SimpleNamespace

import pytest
from project import Project

from pytest_kernelbench.host.gpus import device_file, uuids_in, visible_gpus
from pytest_kernelbench.plugin.sharding import LongestFirst, Sharding

LISTING = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb)
  MIG 3g.40gb     Device  0: (UUID: MIG-cccc)
  MIG 3g.40gb     Device  1: (UUID: MIG-dddd)
"""


def test_gpus_are_those_that_the_caller_sees():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3, GPU-aaaa"}, lambda: LISTING) == ["3", "GPU-aaaa"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, lambda: LISTING) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, lambda: LISTING) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, lambda: LISTING) == ["1"]
    assert visible_gpus({}, lambda: LISTING) == ["GPU-aaaa", "MIG-cccc", "MIG-dddd"]
    assert uuids_in("No devices found.\n") == []


def test_a_gpu_has_a_device_file(tmp_path):
    for bus, minor, uuid in (("0000:00:06.0", 1, "GPU-aaaa"), ("0000:00:07.0", 0, "GPU-bbbb")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(
            f"Model: \t\t NVIDIA H200\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n"
        )
    assert device_file("GPU-aaaa", tmp_path) == "/dev/nvidia1"
    assert device_file("GPU-bbbb", tmp_path) == "/dev/nvidia0"
    assert device_file("MIG-cccc", tmp_path) is None
    assert device_file("GPU-aaaa", tmp_path / "missing") is None


def config_with(**options):
    return SimpleNamespace(option=SimpleNamespace(**options))


def test_workers_take_gpus_in_turns_and_one_that_was_given_keeps_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    specs = [SimpleNamespace(popen=True, env={}) for _ in range(4)]
    specs[1].env["CUDA_VISIBLE_DEVICES"] = "9"
    Sharding().pytest_xdist_setupnodes(config_with(kernelbench_device="auto", kernelbench_policy_gpus=None), specs)
    assert [spec.env["CUDA_VISIBLE_DEVICES"] for spec in specs] == ["4", "9", "4", "6"]


def test_a_worker_s_judge_comes_first_and_the_gpus_of_policies_follow(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    specs = [SimpleNamespace(popen=True, env={}) for _ in range(3)]
    Sharding().pytest_xdist_setupnodes(config_with(kernelbench_device="auto", kernelbench_policy_gpus="0"), specs)
    assert [spec.env["CUDA_VISIBLE_DEVICES"] for spec in specs] == ["6,4", "7,4", "6,4"]


def test_n_auto_is_the_number_of_gpus(benchmark_project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    project = benchmark_project.pytester
    project.makeconftest(
        """
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_report_header(config):
            return f"workers: {config.option.numprocesses}"
        """
    )
    own = ("--kernelbench-device=auto", "-n", "auto", "--collect-only")
    said = benchmark_project.run("--strategy=random", *own, apart=True)
    said.stdout.fnmatch_lines(["workers: 3"])


class Node:
    """What the scheduler needs of a worker."""

    def __init__(self):
        self.gateway = SimpleNamespace(id="gw")
        self.shutting_down = False
        self.sent = []

    def send_runtest_some(self, indices):
        self.sent.append(list(indices))

    def shutdown(self):
        self.shutting_down = True


ITEMS = [f"level1/{task}.py::kernel[{strategy}]" for task in "abcd" for strategy in ("x", "y")]


def scheduler_of(nodes, seconds):
    config = SimpleNamespace(getoption=lambda name: None, getvalue=lambda name: ["popen"] * len(nodes))
    config.option = SimpleNamespace(tx=["popen"] * len(nodes))
    scheduler = LongestFirst(config, None, seconds=seconds)
    scheduler.numnodes = len(nodes)
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        scheduler.add_node_collection(node, ITEMS)
    scheduler.schedule()
    return scheduler


def test_the_longest_task_is_first_whole_and_unknown_ones_count_as_long():
    one, two = Node(), Node()
    scheduler = scheduler_of([one, two], {"level1/a.py": 1.0, "level1/b.py": 9.0, "level1/d.py": 5.0})
    assert (one.sent, two.sent) == ([[4, 5]], [[2, 3]])
    scheduler.mark_test_complete(two, 2)
    assert two.sent == [[2, 3], [6, 7]]
    scheduler.mark_test_complete(one, 4)
    assert one.sent == [[4, 5], [0, 1]]
    assert one.shutting_down


def test_what_a_dead_worker_left_goes_to_the_others():
    one, two = Node(), Node()
    scheduler = scheduler_of(
        [one, two], {"level1/a.py": 4.0, "level1/b.py": 3.0, "level1/c.py": 2.0, "level1/d.py": 1.0}
    )
    assert scheduler.remove_node(one) == ITEMS[0]
    scheduler.mark_test_pending(ITEMS[0])
    done = [2, 3]
    while scheduler.node2pending[two]:
        index = scheduler.node2pending[two][0]
        done.append(index)
        scheduler.mark_test_complete(two, index)
    assert sorted(set(done)) == list(range(8))


def report_of(project, run="run"):
    return json.loads((project.folder / run / "report.json").read_text())


KILLS_ITSELF_ONCE = """
import os, signal
from pathlib import Path

def pytest_runtest_call(item):
    flag = Path("killed")
    if "KILLED" in item.nodeid and os.environ.get("PYTEST_XDIST_WORKER") and not flag.exists():
        flag.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("killed", ["1_Relu.py::kernel[random]", "2_Sum.py::kernel[best-of-64]"])
def test_a_worker_that_is_killed_loses_nothing(tmp_path, killed):
    project = Project(tmp_path)
    project.judge_by_text(KILLS_ITSELF_ONCE.replace("KILLED", killed))
    done = project.run("-n", "2", "-v", "--no-kernelbench-null", strategy="random,best-of-64")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "killed").exists()
    assert "4 passed, 1 rerun" in done.stdout
    assert len(project.rows("evaluations")) == 5
    assert {(row["task"], row["strategy"]) for row in project.rows("selections")} == {
        (task, strategy) for task in ("level1/1_Relu", "level1/2_Sum") for strategy in ("random", "best-of-64")
    }
    assert set(report_of(project)["strategies"]) == {"random", "best-of-64"}


def test_what_a_dead_worker_leaves_undone_fails_the_run(tmp_path):
    project = Project(tmp_path)
    project.judge_by_text(KILLS_ITSELF_ONCE.replace("KILLED", "2_Sum.py::kernel[random]"))
    own = ("-n", "1", "-q", "--no-kernelbench-null", "--max-worker-restart=0")
    done = project.run(*own, strategy="random,best-of-64")
    assert done.returncode == 1, done.stdout
    left = ", ".join(f"problems/level1/2_Sum.py::kernel[{strategy}]" for strategy in ("random", "best-of-64"))
    assert f"kernelbench: not run, because a worker died and none took its place: {left}" in done.stdout
    assert "2 passed, 1 rerun" in done.stdout
    assert {row["task"] for row in project.rows("selections")} == {"level1/1_Relu"}
    assert project.run(*own, strategy="random,best-of-64").returncode == 0


def test_shards_of_several_hosts_are_reported_as_the_whole(tmp_path):
    project = Project(tmp_path)
    project.judge_by_text()
    for number in (1, 2):
        part = project.run(
            *("-q", "--no-kernelbench-null", f"--kernelbench-shard={number}/2", f"--kernelbench-run=part{number}"),
            strategy="random",
        )
        assert part.returncode == 0, part.stdout
    whole = project.run("-q", "--no-kernelbench-null", strategy="random")
    assert whole.returncode == 0, whole.stdout
    from pytest_kernelbench.__main__ import main

    assert main(["report", str(tmp_path / "part1"), str(tmp_path / "part2")]) == 0
    merged, alone = report_of(project, "part1"), report_of(project)
    assert merged["tasks"] == alone["tasks"]
    for key in ("fast_0", "solved", "any_correct", "correct"):
        assert merged["strategies"]["random"]["metrics"][key] == alone["strategies"]["random"]["metrics"][key]
