"""The command line ``python -m pytest_kernelbench``: reports, several folders, help, version and refused arguments."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kernelbench import __version__
from pytest_kernelbench.__main__ import COMMANDS, main
from pytest_kernelbench.records import Selection
from pytest_kernelbench.strategy import Strategy


def write(folder: Path, *tasks: str, **options: object) -> Path:
    """A run of one strategy that found nothing on any task."""
    folder.mkdir()
    run = {"tasks": tasks, "strategies": [Strategy(name="surprisal").to_json()], "device": "cpu", **options}
    (folder / "run.json").write_text(json.dumps(run))
    selections = [Selection(task=task, strategy="surprisal", index=None, considered=(), cost={}) for task in tasks]
    rows = [{name: getattr(each, name) for name in Selection.__dataclass_fields__} for each in selections]
    (folder / "selections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_report_prints_the_run_and_writes_its_json(tmp_path, capsys):
    folder = write(tmp_path / "a", "level1/1_x", "level1/2_y")
    assert main(["report", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("partial: 0 of 64 answers drawn for 2 of 2\n2 tasks, cpu\n") and out.endswith(
        f" in {folder}\n"
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["strategies"]["surprisal"]["metrics"]["fast_1"] == 0.0


def test_several_folders_are_reported_as_one_in_the_first(tmp_path, capsys):
    a, b = write(tmp_path / "a", "level1/10_x"), write(tmp_path / "b", "level1/2_y")
    assert main(["report", str(a), str(b)]) == 0
    assert json.loads((a / "report.json").read_text())["tasks"] == ["level1/2_y", "level1/10_x"]
    assert not (b / "report.json").exists()


def test_folders_that_do_not_belong_together_are_refused_in_one_line(tmp_path, capsys):
    a, b = write(tmp_path / "a", "level1/1_x"), write(tmp_path / "b", "level1/2_y", device="NVIDIA H200")
    assert main(["report", str(a), str(b)]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f'error: {b}: device is "NVIDIA H200", but "cpu" in {a}; report them one at a time, or together with --mix\n'
    )


def test_a_folder_named_twice_is_read_once(tmp_path):
    folder = str(write(tmp_path / "a", "level1/1_x"))
    assert main(["report", folder, folder]) == 0


@pytest.mark.parametrize("heavy", ["torch", "transformers"])
def test_the_report_loads_neither_torch_nor_transformers(tmp_path, heavy):
    write(tmp_path / "a", "level1/1_x", "level1/2_y")
    code = (
        "import sys; from pytest_kernelbench.__main__ import main; "
        f"main(['report', {str(tmp_path / 'a')!r}]); sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_nothing_heavy_is_imported_before_a_report_is_asked_for():
    code = (
        "import sys; from pytest_kernelbench.report import metrics, render; import pytest_kernelbench.selection; "
        "sys.exit(bool({'numpy', 'scipy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_what_each_option_means(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    # Of a docstring, what a command does, and nothing for callers in Python.
    assert "Raises" not in shown and "``" not in shown
    parser = argparse.ArgumentParser()
    COMMANDS[name].add_arguments(parser)
    assert [each.dest for each in parser._actions if not each.help] == []


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"pytest-kernelbench {__version__}\n")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("plan --k 0", "--k=0: at least one answer is needed"),
        ("plan --k -3", "--k=-3: at least one answer is needed"),
        ("plan --tasks ,", "--tasks=,: at least one task is needed"),
        ("plan --programs 0", "--programs=0: at least one program is needed"),
        ("plan --fast 2", "--fast=2: a share lies between 0 and 1, as in 0.3"),
        ("plan --fast nan", "--fast=nan: a share lies between 0 and 1, as in 0.3"),
        ("plan --speedup 0", "--speedup=0: write a positive number, as in 2"),
        ("plan --speedup inf", "--speedup=inf: write a positive number, as in 2"),
        ("plan --margin -1", "--margin=-1: write 0 or more, as in 0.05"),
        (
            "report run --preregistered missing",
            "missing: cannot be read (No such file or directory); name a file that plan --preregister wrote",
        ),
        ("probe missing", "missing: no run.json; name the folder of a run"),
        ("probe run", "run: holds no adaptation; run a strategy such as batch-ttt first"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, capsys, command, problem):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run", "level1/1_x")
    assert main(command.split()) == 4
    assert capsys.readouterr().err == f"error: {problem}\n"


def test_a_kind_of_inputs_that_is_not_there_is_refused_before_anything_is_judged(capsys):
    assert main(["replay", "run", "level1/1", "0", "--draw=odd"]) == 4
    assert capsys.readouterr().err.startswith("error: --draw=odd: no such kind of inputs; there are task, signed, ")
