"""The command line ``python -m pytest_kernelbench``: reports, several folders, help, version and refused arguments."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kernelbench import __version__
from pytest_kernelbench.__main__ import COMMANDS, main
from pytest_kernelbench.commands.words import in_own_words
from pytest_kernelbench.records import Evaluation, Outcome, Selection, sha256_of
from pytest_kernelbench.strategy import Strategy

LONG, LOG = "x" * 300, "surprisal-top3:random-top3:log_speedup"


def write(folder: Path, *tasks: str, **options: object) -> Path:
    """A run of one strategy that found nothing on any task."""
    folder.mkdir()
    run = {"tasks": tasks, "strategies": [Strategy(name="surprisal").to_json()], "device": "cpu", **options}
    (folder / "run.json").write_text(json.dumps(run))
    selections = [Selection(task=task, strategy="surprisal", index=None, considered=(), cost={}) for task in tasks]
    rows = [{name: getattr(each, name) for name in Selection.__dataclass_fields__} for each in selections]
    (folder / "selections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_runs(folder: Path) -> None:
    """Runs with something amiss, named by it: see the errors of their commands."""
    write(folder / "run", "level1/1_x")
    run = json.loads((folder / "run" / "run.json").read_text())
    chosen = {"task": "level1/1_x", "strategy": "surprisal", "index": 0, "considered": [0], "cost": {}, "fast": True}
    kernel = "class ModelNew: pass"
    completion = {"task": "level1/1_x", "index": 0, "policy": "tiny", "text": kernel, "seed": 0}
    for name, row in {"chosen": chosen, "other": {**chosen, "strategy": "gone"}}.items():
        write(folder / name, "level1/1_x")
        (folder / name / "selections.jsonl").write_text(json.dumps(row) + "\n")
        (folder / name / "completions.jsonl").write_text(json.dumps(completion) + "\n")
        judged = Evaluation(source_sha256=sha256_of(kernel), outcome=Outcome.CORRECT, detail="not timed").to_json()
        (folder / name / "evaluations.jsonl").write_text(
            json.dumps({"task": "level1/1_x", "index": 0, **judged}) + "\n"
        )
    sampling = {**run["strategies"][0]["sampling"], "k": "many"}
    write(folder / "wrong", "level1/1_x", strategies=[{**run["strategies"][0], "sampling": sampling}])
    for name in ("rows", "deep"):
        write(folder / name, "level1/1_x")
        (folder / name / "selections.jsonl").unlink()
    (folder / "rows" / "selections.jsonl").mkdir()
    (folder / "deep" / "selections.jsonl").write_text("[" * 100_000 + "\n{}\n")


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
        (
            "plan --speedup 0",
            "--speedup=0: a fast program is over 1 time as fast, and at most 1000 times can be simulated; write 2",
        ),
        (
            "plan --speedup inf",
            "--speedup=inf: a fast program is over 1 time as fast, and at most 1000 times can be simulated; write 2",
        ),
        ("plan --tasks -1", "--tasks=-1: -1 is no id; write a whole number, or ids such as level1/19"),
        (
            "plan --speedup 0.5",
            "--speedup=0.5: a fast program is over 1 time as fast, and at most 1000 times can be simulated; write 2",
        ),
        ("plan --tasks 2O", "--tasks=2O: 2O is no id; write a whole number, or ids such as level1/19"),
        ("plan --tasks 1e3", "--tasks=1e3: 1e3 is no id; write a whole number, or ids such as level1/19"),
        ("plan --tasks ²", "--tasks=²: ² is no id; write a whole number, or ids such as level1/19"),
        ("plan --tasks 1001", "--tasks=1001: at most 1000 can be simulated"),
        (f"plan --tasks {'9' * 5000}", f"--tasks={'9' * 5000}: at most 1000 can be simulated"),
        ("plan --k 10001", "--k=10001: at most 10000 can be simulated"),
        ("plan --programs 1001", "--programs=1001: at most 1000 can be simulated"),
        ("plan --seeds 1,1", "--seeds=1,1: a seed is named twice; name each once, as in 0,1,2"),
        (f"plan --primary {LOG} --effect nan", "--effect=nan: a ratio of speed-ups is more than 1, as in 1.1"),
        (f"plan --primary {LOG} --effect inf", "--effect=inf: a ratio of speed-ups is more than 1, as in 1.1"),
        (f"tasks {LONG}", f"{LONG}: {LONG} cannot be read (File name too long); give a level, a file or a folder"),
        ("tasks ~nobody-has-this-name/x", "~nobody-has-this-name/x: no such level, file or folder; packaged: level1"),
        ("tasks --check --device nosuch level1/19", "--device=nosuch: no such device; there are auto, cpu, cuda"),
        (
            f"tasks --check --device cpu --small {LONG} level1/19",
            f"--small={LONG}: no such file; give a TOML file with a table for each task",
        ),
        (
            f"pin chosen level1/1 --to {LONG}",
            f"{LONG}/level1/1_x.py: cannot be read or written (File name too long); name another path",
        ),
        (
            "pin other",
            "other: run.json has no strategy gone, which chose for level1/1_x; name one that it has with --strategy",
        ),
        (
            "report wrong",
            """wrong/run.json: "strategies" cannot be read (TypeError("'str' object cannot be interpreted as an """
            """integer")); name the folder of a run""",
        ),
        ("report rows", "rows/selections.jsonl: cannot be read (Is a directory); name the folder of a run"),
        ("report deep", "deep/selections.jsonl:1: not JSON, and not the last line; remove the line to read the rest"),
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
    write_runs(tmp_path)
    assert main(command.split()) == 4
    assert capsys.readouterr().err == f"error: {problem}\n"


def test_a_kind_of_inputs_that_is_not_there_is_refused_before_anything_is_judged(capsys):
    assert main(["replay", "run", "level1/1", "0", "--draw=odd"]) == 4
    assert capsys.readouterr().err.startswith("error: --draw=odd: no such kind of inputs; there are task, signed, ")


def options_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize(
    "line",
    [
        "check --device cuda --tasks nosuch --policy nosuch",
        "check --device nosuch --tasks ./nosuch.py --policy replay:nosuch.jsonl",
        "tasks nosuch",
        "tasks --check --device nosuch level1/19",
        "tasks --check --device cpu --sizes small level5",
        "probe run",
        "plan --from run other-device",
        "replay run level1/1 0 --tasks nosuch",
        "compare run other-device",
        "serve --judges cuda",
    ],
)
def test_what_a_command_tells_names_no_option_that_it_lacks(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write_runs(tmp_path)
    write(tmp_path / "other-device", "level1/1_x", device="NVIDIA H200")
    (tmp_path / "level5").mkdir()
    (tmp_path / "level5" / "1_own.py").write_text(
        "class Model: pass\ndef get_inputs(): pass\ndef get_init_inputs(): pass\n"
    )
    assert main(line.split()) == 4
    told = capsys.readouterr()
    named = re.findall(r"(?<![\w-])--[a-z][a-z-]*", told.out + told.err)
    assert set(named) <= options_of(line.split()[0])


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("check", "--kernelbench-device=x: use --kernelbench-device=cpu", "--device=x: use --device=cpu"),
        ("tasks", "--kernelbench-sizes=small: or use --kernelbench-sizes=full", "--sizes=small: or use --sizes=full"),
        ("tasks", "--tasks=x: no such level", "x: no such level"),
        ("probe", "--policy=hf:x: no weights", "the policy of the run: hf:x: no weights"),
        ("probe", "name --kernelbench-policy-gpus", "name pytest's --kernelbench-policy-gpus"),
        ("report", "name it with --policy", "name it with pytest's --policy"),
        ("report", "pytest --strategy=pinned, plan --preregister", "pytest --strategy=pinned, plan --preregister"),
        ("check", "--kernelbench-device-like, a--tasks", "pytest's --kernelbench-device-like, a--tasks"),
    ],
)
def test_an_option_of_pytest_is_called_as_the_command_has_it(command, message, said):
    assert in_own_words(message, COMMANDS[command].add_arguments, COMMANDS[command].other_names) == said


def test_a_reader_that_hangs_up_is_no_error(tmp_path):
    folder = write(tmp_path / "a", *(f"level1/{number}_x" for number in range(40)))
    command = [sys.executable, "-m", "pytest_kernelbench", "report", str(folder)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "tasks", COMMANDS["tasks"]._replace(run=interrupted))
    assert main(["tasks", "level1"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_chosen_kernel_that_was_not_timed_is_kept_and_called_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_runs(tmp_path)
    assert main(["pin", "chosen", "level1/1", "--to=kernels"]) == 0
    assert capsys.readouterr().out == "kept kernels/level1/1_x.py: surprisal #0, not timed\n"
    assert (tmp_path / "kernels" / "level1" / "1_x.py").read_text() == (
        "# level1/1_x: surprisal #0, not timed on cpu\nclass ModelNew: pass\n"
    )


def test_no_command_shows_the_progress_bars_of_a_library_unless_the_user_asks_for_them(monkeypatch):
    for wanted in (None, "0"):
        monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
        if wanted is not None:
            monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", wanted)
        assert main(["tasks", "level1/19"]) == 0
        assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == (wanted or "1")
