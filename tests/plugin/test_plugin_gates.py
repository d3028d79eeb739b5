"""Kept kernels at several sizes: the terminal, JUnit, the records, and what is undecided. The judge is made up."""

import xml.etree.ElementTree as ElementTree

import pytest
from ci_project import GATE, KERNEL, SAVE, CIProject

pytest.importorskip("pytest_benchmark.plugin", reason="that is what is tested")

# In the project's own conftest.py. At n = 30,000 a kernel with "wrong" in its text is so, and one with "slow" takes
# 1.06 times as long as its baseline; one with "close" is undecided everywhere.
CONFTEST = """
from dataclasses import replace

from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of
from pytest_kernelbench.workbench import Workbench


class MadeUp:
    clocks, findings, was_asked = None, {}, True

    def describe(self):
        return {"hardware": {"name": "made up"}}

    def evaluate(self, task, sources):
        for source in sources:
            wrong = "wrong" in source and task.sizes.get("n") == 30_000
            found = Evaluation(
                source_sha256=sha256_of(source),
                outcome=Outcome.INCORRECT if wrong else Outcome.CORRECT,
                detail="task inputs: error 2" if wrong else "",
            )
            times = {"reference_ms": 1.2, "candidate_ms": 1.0, "candidate_times_ms": (1.0, 1.1, 0.9)}
            yield found if wrong else replace(found, speedup=1.2, speedup_low=1.1, speedup_high=1.3, **times)

    def compare(self, task, source, baseline, *, max_slowdown, sizes, seconds):
        if "close" in source:
            detail = "of 64 pairs"
            return Comparison(verdict="undecided", slowdown=1.05, low=1.0, high=1.1, seconds=seconds, detail=detail)
        if "slow" in source and task.sizes.get("n") == 30_000:
            return Comparison(verdict="slower", slowdown=1.06, low=1.055, high=1.065, series=8, seconds=4.0)
        return Comparison(verdict="same_or_faster", slowdown=1.0, low=0.99, high=1.01, series=8, seconds=4.0)

    def make_ready(self, task):
        pass

    def prepare(self, task, sources):
        pass

    def release(self):
        pass

    close = release


Workbench._local = lambda bench, strategy: MadeUp()
"""
SIZES = "[[1_Relu]]\nn = 30_000\n\n[[2_Relu]]\nn = 30_000\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = CIProject(tmp_path_factory.mktemp("project"))
    (project.folder / "conftest.py").write_text(CONFTEST)
    (project.folder / "problems" / "level1" / "sizes.toml").write_text(SIZES)
    saved = project.run("-q", *SAVE)
    assert saved.returncode == 0, saved.stdout
    return project


@pytest.fixture
def kernels(project):
    """Change a word of the kernels' texts for one test."""

    def write(first="", second=""):
        for name, word in (("1_Relu", first), ("2_Relu", second)):
            project.write_kernel(name, f"{KERNEL}\n# {word}\n" if word else KERNEL)

    yield write
    write()


def properties_in(file):
    return {
        case.get("classname"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ElementTree.parse(file).iter("testcase")
    }


WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])


@WORKERS
def test_slower_and_wrong_at_one_size_fail_and_name_it(project, kernels, workers):
    kernels("slow", "wrong")
    done = project.run("-q", *workers, *GATE, "--junitxml=junit.xml")
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    slower = (
        "level1/1_Relu[pinned]: at n=30000: correct, 1.2x [1.1, 1.3] the reference's speed; 1.060x the time of its "
        "baseline [1.055, 1.065], over the limit of 1.05x (0001_main.json)"
    )
    assert slower in lines
    assert "level1/2_Relu[pinned]: at n=30000: incorrect: task inputs: error 2" in lines
    assert "Traceback" not in done.stdout and "kernelbench: undecided" not in done.stdout
    place = lines.index(
        "level1/1_Relu[pinned]: 2 sizes: 1 slower, 1 same_or_faster; 8 of at most 120 s in turns with the baseline"
    )
    assert lines[place + 1 : place + 3] == [
        "    its own size: 1.000x the time of its baseline [0.990, 1.010]",
        f"    n=30000: {slower.partition(': at n=30000: ')[2].partition(', over')[0]}",
    ]
    told = properties_in(project.folder / "junit.xml")
    assert told["problems.level1.1_Relu"]["gate"] == "slower"
    assert told["problems.level1.1_Relu"]["gate_seconds"] == "8.0"
    assert told["problems.level1.1_Relu"]["at n=30000"].startswith("correct, 1.2x")
    assert told["problems.level1.2_Relu"]["gate"] == "wrong"


@WORKERS
def test_what_is_undecided_passes_or_fails_as_is_asked_for_and_is_told(project, kernels, workers):
    kernels("close", "another text")
    passed = project.run("-q", *workers, *GATE, "--junitxml=junit.xml", "--kernelbench-gate-seconds=30")
    assert passed.returncode == 0, passed.stdout
    assert "2 passed" in passed.stdout
    told = "kernelbench: undecided: 1 of 2 compared with a baseline (level1/1_Relu[pinned]); they "
    assert f"{told}pass (--kernelbench-undecided=pass)" in passed.stdout
    assert "2 sizes: 2 undecided; 60 of at most 60 s in turns with the baseline" in passed.stdout
    assert "compared: 2 in turns with the baseline" in passed.stdout
    found = properties_in(project.folder / "junit.xml")["problems.level1.1_Relu"]
    assert (found["gate"], found["gate_undecided"], found["gate_seconds_limit"]) == ("undecided", "2", "60.0")

    failed = project.run("-q", *workers, *GATE, "--kernelbench-undecided=fail")
    assert failed.returncode == 1, failed.stdout
    assert "1 failed, 1 passed" in failed.stdout
    own = "1.050x the time of its baseline [1.000, 1.100], undecided (of 64 pairs)"
    assert f"level1/1_Relu[pinned]: {own} (0001_main.json), and at 1 more size" in failed.stdout
    assert f"{told}fail (--kernelbench-undecided=fail)" in failed.stdout


def test_the_records_name_the_size_and_are_not_made_again(project, kernels):
    kernels("close", "wrong")
    for _ in range(2):
        done = project.run("-q", *GATE, "--kernelbench-run=kept")
        assert done.returncode == 1, done.stdout
    compared = [
        (row["task"], row["sizes"], row["n_sizes"], row["verdict"]) for row in project.rows("comparisons", "kept")
    ]
    assert compared == [
        ("level1/1_Relu", "", 2, "undecided"),
        ("level1/1_Relu", "n=30000", 2, "undecided"),
        ("level1/2_Relu", "", 2, "same_or_faster"),
    ]
    at_sizes = [(row["sizes"], row["evaluation"]["outcome"]) for row in project.rows("gate_sizes", "kept")]
    assert at_sizes == [("n=30000", "correct"), ("n=30000", "incorrect")]


def test_the_exit_rule_may_stand_in_the_configuration_file(project, kernels):
    kernels("close")
    file = project.folder / "pytest.ini"
    file.write_text("[pytest]\nkernelbench_undecided = fail\n")
    try:
        assert project.run("-q", *GATE, "-k", "1_Relu").returncode == 1
    finally:
        file.unlink()


def test_sizes_of_the_user_s_go_first_and_those_of_no_task_are_told(project, kernels):
    kernels("wrong")
    (project.folder / "mine.toml").write_text("[[1_Relu]]\nn = 50\n\n[[9_Gone]]\nn = 3\n")
    done = project.run("-q", "--kernelbench-gate-sizes=mine.toml", "-k", "1_Relu")
    assert done.returncode == 0, done.stdout
    assert "    n=50: correct, 1.2x [1.1, 1.3] the reference's speed" in done.stdout
    assert "mine.toml has sizes of tasks that are not collected here: 9_Gone" in done.stdout


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[1_Relu]]\nm = 3\n", '[[1_Relu]]: cannot size "m": the task assigns no such module-level constant'),
        ("1_Relu = 3\n", "1_Relu is no list of tables; write [[1_Relu]] and its constants below, for each size"),
    ],
)
def test_sizes_that_do_not_fit_end_the_run_before_anything_is_judged(project, text, line):
    (project.folder / "mine.toml").write_text(text)
    done = project.run("-q", "--kernelbench-gate-sizes=mine.toml", "--kernelbench-run=unfit")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert line in done.stdout
    assert not (project.folder / "unfit" / "evaluations.jsonl").exists()


def test_a_time_of_nothing_is_refused(project):
    done = project.run("-q", "--kernelbench-gate-seconds=0")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--kernelbench-gate-seconds=0: no time to measure in; give 60 for a minute a size" in done.stdout


@WORKERS
def test_a_kernel_whose_task_is_renamed_fails_alone_by_name_in_the_terminal_and_in_junit(project, workers):
    task = project.folder / "problems" / "level1" / "2_Relu.py"
    task.rename(task.with_name("2_Rectifier.py"))
    try:
        done = project.run("-q", *workers, "--junitxml=junit.xml")
    finally:
        task.with_name("2_Rectifier.py").rename(task)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    gone = (
        "level1/2_Relu[pinned]: its task is renamed or gone: none is called level1/2_Relu; "
        "the packaged one of that number is level1/2_Standard_matrix_multiplication_; "
        "rename or remove kernels/level1/2_Relu.py"
    )
    assert gone in done.stdout.splitlines()
    cases = {case.get("classname"): case for case in ElementTree.parse(project.folder / "junit.xml").iter("testcase")}
    assert set(cases) == {"problems.level1.1_Relu", "tasks.level1.2_Relu"}
    assert cases["tasks.level1.2_Relu"].find("failure").get("message") == f"Failed: {gone}"
    assert cases["problems.level1.1_Relu"].find("failure") is None
