"""Kernels in a user's own tests: the items, and the data that the fixtures give them."""

import json

import pytest
from ci_project import CIProject

OWN = """
import pytest

def test_own(kernel_task, kernel_strategy, kernel_pool):
    assert kernel_pool.task is kernel_task and kernel_pool.strategy is kernel_strategy
    assert repr(kernel_pool) == f"KernelPool({kernel_task.id}, {kernel_strategy.name})"
    assert kernel_pool.selection.index == 0
    assert kernel_pool.chosen.evaluation.correct
    assert [each.candidate.index for each in kernel_pool.candidates] == [0]

@pytest.mark.kernelbench(tasks="problems/level1/2", strategies="random")
def test_two(kernel_task, kernel_strategy): pass

def test_task(kernel_task): pass

def test_none(): pass
"""


TIMED = """
def test_timed(kernel_pool, benchmark):
    benchmark.extra_info["mine"] = 1
    kernel_pool.record(benchmark)
"""


@pytest.fixture
def project(benchmark_project):
    benchmark_project.pytester.makepyfile(test_mine=OWN)
    return benchmark_project


def items(project, *arguments):
    own = ("--collect-only", "-q", "--tasks=problems/level1/1*", "test_mine.py", "--strict-markers")
    return [line.partition("::")[2] for line in project.run(*own, *arguments).outlines if "::" in line]


def test_tasks_and_strategies_are_parameters(project):
    assert set(items(project, "--strategy=random,oracle")) == {
        "test_own[level1/1_One-random]",
        "test_own[level1/1_One-oracle]",
        "test_own[level1/10_Ten-random]",
        "test_own[level1/10_Ten-oracle]",
        "test_two[level1/2_Two-random]",
        "test_task[level1/1_One]",
        "test_task[level1/10_Ten]",
        "test_none",
    }


def test_a_folder_without_tasks_says_what_to_name(project):
    project.pytester.mkdir("tests").joinpath("test_more.py").write_text(OWN)
    said = project.run("--strategy=random", "tests")
    assert said.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    said.stdout.fnmatch_lines(
        [
            "kernelbench: no task lies below the paths that were named; without a path, the tasks of --tasks or of "
            "kernels/ run, and tests of your own where their file is named"
        ]
    )
    assert "kernelbench: no task" not in project.run("--strategy=random", "problems", "-k", "none").stdout.str()


def test_keywords_and_markers_select_them(project):
    own = ("--strategy=random,oracle",)
    assert items(project, *own, "-k", "Ten and oracle") == ["test_own[level1/10_Ten-oracle]"]
    assert items(project, *own, "-m", "kernelbench(task='level1/1_One', strategy='random')") == [
        "test_own[level1/1_One-random]"
    ]
    assert items(project, *own, "-m", "kernelbench(level=2)") == []


def test_a_marker_that_names_no_task_is_an_error_in_one_line(project):
    project.pytester.makepyfile(
        test_bad="import pytest\n@pytest.mark.kernelbench(tasks='level1/999')\ndef test_bad(kernel_task): pass\n"
    )
    said = project.run("--strategy=random", "test_bad.py")
    assert said.ret == pytest.ExitCode.INTERRUPTED
    said.stdout.fnmatch_lines(["--tasks=level1/999: no such task; level1 has 1 to 100"])


def test_without_a_strategy_they_are_skipped_and_say_why(project):
    said = project.run("test_mine.py", "-rs")
    said.assert_outcomes(passed=1, skipped=3)
    said.stdout.fnmatch_lines(["*needs a strategy, as in pytest --strategy=pinned*"])


def test_a_test_sees_the_candidates(tmp_path):
    project = CIProject(tmp_path)
    project.judge_by_text()
    (tmp_path / "test_mine.py").write_text(OWN)
    done = project.run("-q", "test_mine.py", "-k", "test_own and 1_Relu")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_the_times_of_a_test_are_an_entry(tmp_path, workers):
    pytest.importorskip("pytest_benchmark.plugin", reason="its entries are what is tested")
    project = CIProject(tmp_path)
    project.judge_by_text()
    (tmp_path / "test_mine.py").write_text(TIMED)
    done = project.run("-q", *workers, "test_mine.py", "-k", "1_Relu", "--benchmark-json=mine.json")
    assert done.returncode == 0, done.stdout
    (entry,) = json.loads((tmp_path / "mine.json").read_text())["benchmarks"]
    assert entry["fullname"] == "test_mine.py::test_timed[level1/1_Relu-pinned]"
    assert entry["extra_info"]["mine"] == 1
    assert entry["stats"]["rounds"] == len(entry["stats"]["data"]) >= 6
