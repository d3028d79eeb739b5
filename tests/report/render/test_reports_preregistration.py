"""``plan --preregister`` and ``report --preregistered``: a study is checked against the plan made before it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_run import make_synthetic_run, write_run

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.preregistration import Preregistration
from pytest_kernelbench.strategy.primary import parse_primary

PRIMARY = parse_primary("surprisal-top3", "here")


def plan(**more):
    given = {"tasks": ["task 1", "task 2"], "k": 8, "seeds": [0], "margin": None, **more}
    return Preregistration.planned(PRIMARY, **given)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # its figures would take 2 s of a core
    (folder,) = make_synthetic_run(
        tmp_path / "run", tasks=2, k=8, primary=str(PRIMARY), primary_by="--kernelbench-primary", started="9999"
    )
    return folder


def told(run, path, capsys):
    assert main(["report", str(run), f"--preregistered={path}"]) == 0
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("preregistered"))


def test_a_run_that_kept_to_its_plan_says_so(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    path = tmp_path / "plan.json"
    plan().write(path)
    (found, _) = Preregistration.read(path)
    line = f"preregistered {found.written}, sha256 {found.sha256[:16]}: nothing was changed"
    assert told(run, path, capsys) == line
    row = json.loads((run / "report.json").read_text())["preregistration"]
    assert row["untouched"] and row["changes"] == [] and row["sha256"] == json.loads(path.read_text())["sha256"]


def test_what_was_changed_since_is_told(run, tmp_path):
    records = RunRecords.load(run)
    other = replace(plan(k=64, seeds=[0, 1], tasks=["level1/4_x"], margin=0.02), comparison="confidence:random:success")
    assert other.changes(records) == [
        "comparison confidence:random:success -> surprisal-top3:random-top3:success",
        "margin 0.02 -> 0.01",
        "K 64 -> 8",
        "seeds 0, 1 -> 0",
        f"tasks level1/4_x -> {', '.join(sorted(records.tasks))}",
    ]
    late = replace(records, options={**records.options, "started": "2000-01-01T00:00:00"})
    (line,) = plan().changes(late)
    assert line.endswith("after the run began at 2000-01-01T00:00:00")


def test_a_file_that_was_changed_after_it_was_written_proves_nothing(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    path = tmp_path / "plan.json"
    plan(k=64).write(path)
    path.write_text(path.read_text().replace('"k": 64', '"k": 8'))
    assert told(run, path, capsys).endswith(": the file was changed after it was written, and proves nothing")


def test_a_plan_is_not_written_twice_and_no_plan_is_no_traceback(run, tmp_path, capsys):
    path = tmp_path / "plan.json"
    plan().write(path)
    assert main(["plan", "--tasks=2", f"--preregister={path}"]) == 4
    assert (
        capsys.readouterr().err
        == f"error: {path}: is there already, and a preregistration is not written again; name another file\n"
    )
    assert main(["report", str(run), f"--preregistered={run / 'run.json'}"]) == 4
    assert capsys.readouterr().err == f"error: {run / 'run.json'}: no preregistration; plan --preregister writes one\n"
    assert main(["report", str(run), f"--preregistered={tmp_path}"]) == 4
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: cannot be read (Is a directory); name a file that plan --preregister wrote\n"
    )


def test_a_plan_says_what_it_assumes_and_what_is_not_possible(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert main(["plan", "--tasks=level1/4,level1/5", "--k=8", "--effect=0.9", f"--preregister={path}"]) == 0
    out = capsys.readouterr().out
    assert "2 tasks, K = 8, 1 seed; assumed: 12 programs a task, 30 % of them fast at 2.00x" in out
    assert "an effect of +90 points is not possible: choosing the best of every task would give" in out
    assert json.loads(path.read_text())["tasks"] == ["level1/4", "level1/5"]


def test_a_plan_from_a_run_draws_its_tasks(tmp_path, capsys):
    (run,) = make_synthetic_run(tmp_path, tasks=3, k=8)
    assert main(["plan", "--tasks=4", "--k=4", "--effect=0.9", "--from", str(run)]) == 0
    assert f"K = 4, 1 seed; drawn from 3 tasks of {run}" in capsys.readouterr().out
    empty = write_run(tmp_path / "empty", "oracle", k=2, lost=tuple(json.loads((Path(run) / "run.json").read_text())))
    (empty / "evaluations.jsonl").unlink()
    assert main(["plan", "--k=9", f"--preregister={tmp_path / 'none.json'}", "--from", str(run)]) == 4
    said = f"error: --k=9: a task of {run} has 8 answers a seed; name at most --k=8\n"
    assert capsys.readouterr().err == said and not (tmp_path / "none.json").exists()
    assert main(["plan", "--from", str(empty)]) == 4
    told = f"error: {empty}: no task of it has a timed candidate, so nothing can be drawn from it\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--tasks=0"], "--tasks=0: at least one task is needed"),
        (["--seeds=a"], "--seeds=a: write whole numbers, as in 0,1,2"),
        (["--effect=2"], "--effect=2: a difference of success lies between 0 and 1, as in 0.2"),
        (
            ["--primary=surprisal:random:log_speedup", "--effect=1"],
            "--effect=1: a ratio of speed-ups is more than 1, as in 1.1",
        ),
        (
            ["--primary=surprisal:confidence"],
            "--primary=surprisal:confidence: power is defined against a random control",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(capsys, arguments, problem):
    assert main(["plan", *arguments]) == 4
    assert capsys.readouterr().err == f"error: {problem}\n"
