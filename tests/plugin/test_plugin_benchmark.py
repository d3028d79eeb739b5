"""pytest-benchmark's own options on the kernels that were chosen, with xdist and without. The judge is made up."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from ci_project import GATE, KERNEL, CIProject

from pytest_kernelbench.pinned.regressions import Baseline
from pytest_kernelbench.plugin.benchmarking import Check

pytest.importorskip("pytest_benchmark.plugin", reason="that is what is tested")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = CIProject(tmp_path_factory.mktemp("project"))
    project.judge_by_text()
    return project


@pytest.fixture(scope="module")
def first(project):
    outputs = ("--benchmark-save=main", "--benchmark-json=one.json", "--junitxml=junit.xml")
    done = project.run("-q", "--kernelbench-run=first", *outputs)
    assert done.returncode == 0, done.stdout
    return json.loads((project.folder / "one.json").read_text())


def shape_of(entries):
    keys = ("name", "fullname", "group", "params", "param", "options")
    return [[*(each[key] for key in keys), sorted(each["extra_info"])] for each in entries]


def test_entries_have_ids_of_their_own_and_the_times_of_the_device(first, project):
    entry, other = first["benchmarks"]
    assert (entry["fullname"], other["fullname"]) == ("level1/1_Relu[pinned]", "level1/2_Relu[pinned]")
    assert entry["params"] == {"task": "level1/1_Relu", "strategy": "pinned"}
    # The only candidate: its one timing decides.
    timed = {row["task"]: row for row in project.rows("evaluations", "first")}["level1/1_Relu"]
    assert entry["stats"]["data"] == pytest.approx([ms / 1e3 for ms in timed["candidate_times_ms"]])
    assert entry["stats"]["median"] * 1e3 == pytest.approx(timed["candidate_ms"], rel=1e-5)
    assert entry["extra_info"]["speedup"] == timed["speedup"]
    assert entry["extra_info"]["source"] == KERNEL


def test_junit_has_what_was_measured_and_where_the_task_lies(first, project):
    cases = {case.get("classname"): case for case in ElementTree.parse(project.folder / "junit.xml").iter("testcase")}
    assert set(cases) == {"problems.level1.1_Relu", "problems.level1.2_Relu"}
    entry, _ = first["benchmarks"]
    properties = {each.get("name"): each.get("value") for each in cases["problems.level1.1_Relu"].iter("property")}
    assert properties.pop("verdict") in ("fast", "correct")
    measured = ("index", "speedup", "speedup_low", "speedup_high", "candidate_ms", "reference_ms", "device")
    assert properties == {name: str(entry["extra_info"][name]) for name in measured}


WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])


@WORKERS
def test_every_option_does_the_same_with_workers(first, project, workers, tmp_path):
    (project.folder / "test_host.py").write_text("def test_host(): pass\n")
    saved = set(project.folder.glob(".benchmarks/*/*.json"))
    done = project.run(
        *(*workers, "-W", "error", "problems", "test_host.py", "--benchmark-only"),
        *("--benchmark-autosave", "--benchmark-save-data", f"--benchmark-json={tmp_path / 'all.json'}"),
        *(
            "--benchmark-group-by=param:task",
            "--benchmark-columns=median,rounds",
            f"--benchmark-histogram={tmp_path}/h",
        ),
        *("--benchmark-compare=0001", "--benchmark-compare-fail", "median:5%", "stddev:60"),
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed, 1 skipped" in done.stdout
    (autosaved,) = set(project.folder.glob(".benchmarks/*/*.json")) - saved
    for file in (autosaved, tmp_path / "all.json"):
        assert shape_of(json.loads(file.read_text())["benchmarks"]) == shape_of(first["benchmarks"])
    autosaved.unlink()
    assert {file.name for file in tmp_path.glob("h*.svg")} == {f"h-task=level1_{n}_Relu.svg" for n in (1, 2)}
    for name in ("level1/1_Relu", "level1/2_Relu"):
        assert f"benchmark 'task={name}': 2 tests" in done.stdout
        assert f"{name}[pinned]: the same text as its baseline" in done.stdout
    (header, _) = re.findall("^Name .*$", done.stdout, re.MULTILINE)
    assert header.split("  ", 1)[1].split() == ["Median", "Rounds"]
    assert "compared: 2 of the same text" in done.stdout
    assert "Benchmarks are automatically disabled" not in done.stdout


@WORKERS
def test_what_is_disabled_is_judged_and_is_no_entry(first, project, workers, tmp_path):
    done = project.run("-v", *workers, "--benchmark-disable", f"--benchmark-json={tmp_path / 'none.json'}")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout and "Rounds" not in done.stdout
    # Up to 5.2, pytest-benchmark opens the file before there is anything to write.
    assert not [file for file in tmp_path.iterdir() if file.stat().st_size]


def test_a_run_is_not_resumed_with_another_kernel(first, project):
    project.write_kernel("1_Relu", KERNEL + "# changed\n")
    try:
        done = project.run("-q", "--kernelbench-run=first")
    finally:
        project.write_kernel("1_Relu", KERNEL)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "first: was made with pins {'pinned': " in done.stdout
    assert "start another run with --kernelbench-run" in done.stdout


@WORKERS
def test_what_is_skipped_is_no_run_and_misses_no_gate(first, project, workers):
    done = project.run("-q", *workers, "--benchmark-skip", "--kernelbench-run=skipped")
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert not (project.folder / "skipped").exists()


def test_without_the_options_nobody_is_shown_a_table(first, project):
    assert "Rounds" not in project.run("-q", "-k", "1_Relu").stdout


def save(project, change):
    """The saved file as ``0002``, changed by ``change``."""
    saved = project.saved()
    change(saved["benchmarks"])
    (file,) = project.folder.glob(".benchmarks/*/0001_*.json")
    file.with_name("0002_changed.json").write_text(json.dumps(saved))
    return ("-q", "--benchmark-compare=0002", GATE[1], "--no-kernelbench-null")


def test_a_kernel_that_is_gone_fails_by_name_and_workers_make_no_difference(first, project):
    source = project.kernel("2_Relu").read_text()
    project.kernel("2_Relu").unlink()
    try:
        done = project.run("-q", "-n", "2", *GATE)
    finally:
        project.write_kernel("2_Relu", source)
    assert done.returncode == 1
    assert "level1/2_Relu[pinned]: there is no candidate (it is in 0001_main.json)" in done.stdout
    assert "level1/1_Relu[pinned]: the same text as its baseline" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_a_kernel_without_a_baseline_is_said_and_counted(first, project):
    done = project.run(*save(project, lambda entries: entries.pop()))
    assert done.returncode == 0, done.stdout
    assert "no baseline, so no gate: level1/2_Relu[pinned]" in done.stdout
    assert "compared: 1 of the same text, 1 without a baseline" in done.stdout


def test_a_gate_that_compares_nothing_fails(first, project):
    done = project.run(*save(project, list.clear), "-k", "1_Relu")
    assert done.returncode == 1
    line = "kernelbench: nothing of this run is in 0002_changed.json, so no gate was applied; save a new baseline"
    assert line in done.stdout


def test_seconds_of_another_device_are_not_compared(first, project):
    def from_elsewhere(entries):
        for entry in entries:
            entry["extra_info"].update(source=None, device="NVIDIA H200")

    done = project.run(*save(project, from_elsewhere), "-k", "1_Relu")
    assert done.returncode == 1
    assert "kernelbench: level1/1_Relu[pinned]: 0002_changed.json was timed on NVIDIA H200, this is" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("compare", "nothing"),
    [
        ([], "needs a baseline"),
        (["--benchmark-compare=base.json"], "--benchmark-compare=base.json names no saved run"),
        (
            ["--benchmark-compare=broken.json"],
            "--benchmark-compare=broken.json is not JSON (Expecting ',' delimiter: line 1 column 20 (char 19))",
        ),
    ],
)
def test_a_gate_without_a_baseline_is_refused_in_one_line(benchmark_project, compare, nothing):
    (benchmark_project.path / "broken.json").write_text('{"benchmarks": [{} ')
    own = ("--strategy=random", "--tasks=problems/level1", "--benchmark-compare-fail=median:5%")
    said = benchmark_project.run(*own, *compare, apart=True)
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    said.stderr.fnmatch_lines(
        [
            f"ERROR: --benchmark-compare-fail=median:5%: {nothing}; save one with --benchmark-json=FILE, then name it "
            "with --benchmark-compare=FILE (or with --benchmark-save=NAME, and its number)"
        ]
    )


def test_a_gate_of_nothing_is_refused(benchmark_project):
    said = benchmark_project.run(
        "--strategy=random", "--tasks=problems/level1", "--benchmark-compare-fail=median:0%", apart=True
    )
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    line = "--benchmark-compare-fail=median:0%: no measurement shows that two times are equal; give median:1% or more"
    assert line in said.stdout.str() + said.stderr.str()


def test_a_second_gate_is_refused_because_the_first_would_be_dropped(benchmark_project):
    gates = ("--benchmark-compare-fail=median:5%", "--benchmark-compare-fail=max:5%")
    said = benchmark_project.run("--strategy=random", "--tasks=problems/level1", *gates)
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    said.stderr.fnmatch_lines(
        [
            "ERROR: --benchmark-compare-fail: given twice, and only the last would count; "
            "give all at once, as in --benchmark-compare-fail median:2% max:20%"
        ]
    )


BASELINE = Baseline(file="0001_main.json", stats={"median": 2e-3, "stddev": 0.0}, source=None, device="cpu")


def test_seconds_are_checked_where_there_is_no_source():
    five = Check(field="median", percent=5, seconds=None)
    assert five.failure({"median": 2.09e-3}, BASELINE) is None
    assert five.failure({"median": 2.2e-3}, BASELINE) == (
        "median 2.2 ms is 10.0 % over the 2 ms of 0001_main.json (gate median:5%)"
    )
    half_a_millisecond = Check(field="median", percent=None, seconds=5e-4)
    assert half_a_millisecond.failure({"median": 2.4e-3}, BASELINE) is None
    assert half_a_millisecond.failure({"median": 2.6e-3}, BASELINE) == (
        "median 2.6 ms is 30.0 % over the 2 ms of 0001_main.json (gate median:0.0005)"
    )


def test_a_spread_of_nothing_can_be_exceeded():
    stddev = Check(field="stddev", percent=None, seconds=1e-6)
    assert stddev.failure({"stddev": 1e-5}, BASELINE) == (
        "stddev 10 us is over the 0 ns of 0001_main.json (gate stddev:1e-06)"
    )
