"""Files that the commands read and write are checked; each error is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_run import write_run

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.report.metrics import METRICS
from pytest_kernelbench.report.render import RunRecords, report_json, write_reports

ROOT = Path(__file__).parents[3]


@pytest.fixture
def without_figures(monkeypatch):
    """Drawing them takes 2 s of a core, and they are not the subject."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", "oracle", k=2)
    write_run(tmp_path / "b", "oracle", k=2)
    (tmp_path / "file").touch()
    (tmp_path / "dir").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("report file", "file/run.json: cannot be read (Not a directory); name the folder of a run"),
        ("report dir", "dir: no run.json; name the folder of a run"),
        ("export a --to file", "file: cannot be a folder (File exists); name another with --to"),
        ("export a --to file/x", "file/x: cannot be a folder (Not a directory); name another with --to"),
        ("compare a b --json dir", "dir: could not be written (Is a directory); name another place with --json"),
        ("plan --preregister file/x", "file/x: cannot be written (Not a directory); name another file"),
    ],
)
def test_a_file_where_a_folder_is_due_and_the_reverse_is_one_line(runs, capsys, command, problem):
    assert main(command.split()) == 4
    assert capsys.readouterr().err == f"error: {problem}\n"


@pytest.mark.usefixtures("without_figures")
def test_what_cannot_be_written_costs_itself_and_not_the_report(runs, capsys):
    """A full disk is met at the end: here a folder is where the page is due."""
    (runs / "a" / "report.html").mkdir()
    records = RunRecords.load(runs / "a")
    lines = write_reports(records, report_json(records), runs / "a")
    assert f"{runs / 'a' / 'report.html'}: could not be written (Is a directory)" in lines
    assert (runs / "a" / "report.json").exists() and (runs / "a" / "tables").is_dir()
    assert main(["report", "a"]) == 4
    told = capsys.readouterr()
    assert told.out.startswith("5 tasks, policy tiny") and "strategy" in told.out
    assert told.err == "error: a/report.html: could not be written (Is a directory)\n"


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "strategies.oracle.metrics.odd is nan; a number that is not finite must be None"),
        (object, "Object of type type is not JSON serializable"),
    ],
)
def test_a_metric_that_gives_what_json_does_not_have_costs_report_json_alone(runs, capsys, monkeypatch, value, problem):
    monkeypatch.setitem(METRICS, "odd", lambda results: value)
    assert main(["report", "a"]) == 4
    assert capsys.readouterr().err == f"error: a/report.json: could not be written ({problem})\n"
    assert not (runs / "a" / "report.json").exists() and (runs / "a" / "report.html").exists()


def test_a_home_that_cannot_be_written_does_not_matter_to_a_report(runs):
    """matplotlib, which keeps a list of fonts there, makes do without; it says nothing either."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kernelbench", "report", "a"],
        env={**environment, "HOME": "/proc/nowhere", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=runs,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (runs / "a" / "figures" / "teaser.svg").exists()
