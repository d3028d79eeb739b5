"""pytest's manners: the plugin costs other suites little, and pytest's own options and plugins keep their meaning."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from project import PLUGIN, answer, made_up_evaluator

ROOT = Path(__file__).parents[2]
MOST_MS = 30
# Evaluations are made up: a candidate that says "x + 1" is wrong, one that says "raise" makes the harness fail.
MADE_UP = made_up_evaluator("""
import time
from pathlib import Path

from pytest_kernelbench.errors import HarnessError


def evaluate(self, task, sources):
    for source in sources:
        if "once" in source and not Path("failed-once").exists():
            Path("failed-once").touch()
            raise HarnessError("the judge on cpu ended; run again to resume")
        if "sleep" in source:
            time.sleep(30)
        if "raise" in source:
            raise HarnessError("the judge on cpu ended; run again to resume")
        outcome = Outcome.INCORRECT if "x + 1" in source else Outcome.CORRECT
        timed = {"speedup": 1.0} if outcome is Outcome.CORRECT else {}
        yield Evaluation(source_sha256=sha256_of(source), outcome=outcome, **timed)
""")


@pytest.fixture
def project(benchmark_project):
    """Three tasks with an answer each; ``answers`` are by the number of the task."""
    benchmark_project.pytester.makepyfile(made_up=MADE_UP)

    def run(*arguments, answers=("x", "x", "x")):
        rows = [
            {"task": f"level1/{number}", "text": answer(text)} for number, text in zip((1, 2, 10), answers, strict=True)
        ]
        benchmark_project.path.joinpath("answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
        fixed = ("-p", "made_up", "--strategy=random", "--tasks=problems/level1", "--policy=replay:answers.jsonl")
        return benchmark_project.run(*fixed, "--no-kernelbench-null", "--kernelbench-run=run", *arguments, apart=True)

    run.path = benchmark_project.path
    return run


def imported_us(code):
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {
        name: int(total) for total, name in re.findall(r"\|\s*(\d+) \|\s*(pytest_kernelbench\S*)$", done.stderr, re.M)
    }


def test_every_run_of_pytest_loses_under_30_ms_to_the_plugin():
    best = min(
        imported_us("import pytest; import pytest_kernelbench.plugin")["pytest_kernelbench.plugin"] for _ in range(5)
    )
    assert best / 1e3 < MOST_MS


def test_a_suite_without_a_strategy_loads_little_of_the_package(benchmark_project):
    benchmark_project.pytester.makepyfile(
        test_own="""
        import sys

        def test_own():
            ours = {name for name in sys.modules if name.startswith("pytest_kernelbench.")}
            print("LOADED", *sorted(ours))
        """
    )
    # From nothing, as elsewhere sessions are forked from a process that has loaded it.
    result = benchmark_project.pytester.runpytest_subprocess(*PLUGIN, "-s", "test_own.py")
    (line,) = [line for line in result.outlines if "LOADED" in line]
    assert set(line.partition("LOADED ")[2].split()) == {
        "pytest_kernelbench.errors",
        "pytest_kernelbench.plugin",
        "pytest_kernelbench.plugin.fixtures",
        "pytest_kernelbench.plugin.hookspecs",
        "pytest_kernelbench.plugin.options",
        "pytest_kernelbench.registries",
    }


def test_harness_errors_are_errors_in_junit_and_unsolved_items_pass(project):
    result = project("--junitxml=junit.xml", answers=("raise", "x + 1", "x"))
    assert result.ret == 1
    suite = ElementTree.parse(project.path / "junit.xml").find("testsuite")
    assert (suite.get("errors"), suite.get("failures"), suite.get("tests")) == ("1", "0", "3")
    (error,) = suite.iter("error")
    assert "the judge on cpu ended; run again to resume" in error.text


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (("-x",), 1),
        (("--maxfail=1",), 1),
        (("--maxfail=2",), 3),
    ],
)
def test_it_stops_after_as_many_errors_as_asked_for(project, arguments, ran):
    result = project(*arguments, answers=("raise", "x", "x"))
    assert result.ret == 1
    rows = project.path.joinpath("run", "completions.jsonl").read_text().splitlines()
    assert len({json.loads(row)["task"] for row in rows}) >= ran
    assert sum(map(int, re.findall(r"(\d+) (?:passed|error)", result.outlines[-1]))) == ran


def test_lf_runs_what_failed(project):
    project("-p", "cacheprovider", answers=("x", "raise", "x"))
    result = project("-p", "cacheprovider", "--lf", "-v", "--kernelbench-run=again", answers=("x", "x", "x"))
    assert [line.split("::")[0] for line in result.outlines if "::kernel" in line] == ["problems/level1/2_Two.py"]


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadscope", "loadfile"])
def test_xdist_s_ways_to_distribute_work(project, dist):
    result = project("-n2", f"--dist={dist}", answers=("x", "x + 1", "x"))
    assert result.ret == 0
    result.assert_outcomes(passed=3)


# As pytest-rerunfailures does it.
RERUNS = """
from _pytest.runner import runtestprotocol


def pytest_runtest_protocol(item, nextitem):
    for times in (1, 2):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = times == 1 and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            return True


def pytest_report_teststatus(report):
    return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None
"""


def test_an_item_whose_harness_failed_is_run_again_by_a_plugin_for_reruns(project, benchmark_project):
    benchmark_project.pytester.makeconftest(RERUNS)
    result = project(answers=("once", "x", "x"))
    assert result.ret == 0
    assert "3 passed, 1 rerun" in result.outlines[-1]


# As pytest-timeout does it with signals.
TIMEOUT = """
import signal

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("Timeout (>2.0s)"))
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_an_item_that_takes_too_long_fails_and_the_others_run(project, benchmark_project):
    benchmark_project.pytester.makeconftest(TIMEOUT)
    result = project(answers=("sleep", "x", "x"))
    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)


def test_paths_in_the_configuration_file_mean_the_same_from_a_subfolder(project, benchmark_project):
    benchmark_project.pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        kernelbench_strategy = ["mine.toml"]
        kernelbench_policy = "replay:answers.jsonl"
        kernelbench_tasks = ["problems/level1/2*"]
        kernelbench_run = "run"
        kernelbench_device = "cpu"
        kernelbench_sizes = "full"
        kernelbench_null = "false"
        """
    )
    (project.path / "mine.toml").write_text('[selection]\nby = "random"\n[sampling]\nk = 1\n')
    (project.path / "answers.jsonl").write_text(json.dumps({"task": "level1/2", "text": answer("x")}))
    sub = project.path / "sub"
    sub.mkdir()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "made_up",
        "-q",
        f"--rootdir={project.path}",
        "-c",
        "../pyproject.toml",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{project.path}"}
    done = subprocess.run([*command, *PLUGIN], cwd=sub, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.path / "run" / "selections.jsonl").exists() and {each.name for each in sub.iterdir()} <= {
        ".benchmarks"
    }


COUNTS_AT_THE_END = """
import gc, pathlib, pytest

@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    pathlib.Path("frozen.txt").write_text(str(gc.get_freeze_count()))
"""


@pytest.mark.parametrize(
    ("arguments", "freezes"), [(["--strategy=random", "--tasks=problems/level1"], True), (["problems"], False)]
)
def test_at_the_end_of_a_session_with_a_strategy_garbage_is_looked_for_once(project, arguments, freezes):
    project.path.joinpath("conftest.py").write_text(COUNTS_AT_THE_END)
    command = [sys.executable, "-m", "pytest", *PLUGIN, "--collect-only", "-q", *arguments]
    subprocess.run(command, cwd=project.path, capture_output=True)
    assert (int(project.path.joinpath("frozen.txt").read_text()) > 10_000) is freezes
