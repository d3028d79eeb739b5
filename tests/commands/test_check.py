"""The command that checks whether this machine has what a run needs."""

import subprocess
import sys

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.commands.check import Finding


def test_a_machine_that_can_do_it_says_so_in_ten_lines(tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"task": "level1/19", "text": "x", "logprobs": [-0.5]}\n')
    assert main(["check", "--device=cpu", f"--policy=replay:{answers}", "--tasks=level1/19"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "C"],
        ["ok", "CUDA"],
        ["ok", "device"],
        ["ok", "sandbox"],
        ["ok", "tasks"],
        ["ok", "policy"],
        ["ok", "answers"],
    ]
    assert lines[-1] == "ok  answers      1 tokens, log-probabilities given"


def test_what_is_amiss_has_a_remedy_and_an_exit_status(tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"task": "level1/19", "text": "x"}\n')
    assert main(["check", "--device=cpu", f"--policy=replay:{answers}", "--tasks=level1/19"]) == 4
    told = capsys.readouterr()
    assert (
        "NO  answers      some tokens, log-probabilities not given; "
        "strategies that rank by surprisal need them; random, best-of-64 and fastest do not"
    ) in told.out.splitlines()
    assert told.err == "error: 1 of 7 checks failed; the lines that begin with NO say what to do\n"


def test_an_error_of_ours_is_a_line(capsys):
    assert main(["check", "--device=cpu", "--policy=tinie", "--tasks=level9"]) == 4
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in told if line.startswith("NO")] == [["NO", "tasks"], ["NO", "policy"]]


def test_a_device_that_is_not_there_hides_no_error_of_the_policy(capsys):
    assert main(["check", "--device=tpu", "--policy=tinie"]) == 4
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("NO")]
    assert told[0] == "NO  device       fails; --device=tpu: no such device; there are auto, cpu, cuda"
    assert told[1].startswith("NO  policy       fails; --policy=tinie: no such policy; did you mean")


def test_on_another_system_it_says_what_works_there():
    code = (
        "import sys; sys.platform = 'darwin'\n"
        "from pytest_kernelbench.__main__ import main; sys.exit(main(['check', '--tasks=level1/19']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stdout.splitlines()[0] == (
        "NO  system       darwin; candidates are judged on Linux only; replay, report, compare and export work here"
    )


def test_a_finding_is_one_line():
    assert Finding(about="tasks", answer="5").line() == "ok  tasks        5"
