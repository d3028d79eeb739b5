"""A kernel's life in continuous integration, from the run that found it to the commit that breaks it."""

import re

import pytest
from ci_project import KERNEL, SAVE, CIProject

from pytest_kernelbench.__main__ import main

pytest.importorskip("pytest_benchmark.plugin", reason="that is what is tested")

# The closer the limit, the longer a kernel that is as fast as before is compared; beside other programs, to the end.
GATE = ("--benchmark-compare=0001", "--benchmark-compare-fail=median:50%", "--kernelbench-gate-seconds=10")


@pytest.mark.slow
def test_a_kernel_is_pinned_slowed_broken_and_restored(tmp_path, monkeypatch, capsys):
    project = CIProject(tmp_path)
    monkeypatch.chdir(tmp_path)

    # Someone searches, and keeps what the search chose for one task.
    project.kernel("1_Relu").unlink()
    project.answers = [{"task": "level1/1_Relu", "text": f"```python\n{KERNEL}\n```"}]
    project.write_answers()
    found = project.run("-q", "--tasks=problems/level1/1", strategy="random")
    assert found.returncode == 0, found.stdout
    assert main(["pin", "run", "level1/1"]) == 0
    assert re.fullmatch(r"kept kernels/level1/1_Relu.py: random #0, \S+x \[\S+, \S+\]\n", capsys.readouterr().out)
    pinned = project.kernel("1_Relu").read_text()
    assert pinned.startswith("# level1/1_Relu: random #0, ") and pinned.partition("\n")[2].strip() == KERNEL.strip()

    saved = project.run("-q", *SAVE)
    assert saved.returncode == 0, saved.stdout
    assert [each["fullname"] for each in project.saved()["benchmarks"]] == [
        "level1/1_Relu[pinned]",
        "level1/2_Relu[pinned]",
    ]

    # A commit that changes the text and not the speed.
    project.write_kernel("1_Relu", pinned + "\n# no slower\n")
    passed = project.run("-q", *GATE)
    assert passed.returncode == 0, passed.stdout
    assert re.search(r"^level1/1_Relu\[pinned\]: [\d.]+x the time of its baseline \[", passed.stdout, re.MULTILINE)
    assert "level1/2_Relu[pinned]: the same text as its baseline" in passed.stdout

    # Three times the repeated work, found by one of two workers. Beside other programs it may be undecided, which fails
    # as well.
    project.write_kernel("1_Relu", pinned.replace("REPEATS = 20", "REPEATS = 60"))
    slowed = project.run("-q", "-n", "2", *GATE, "--kernelbench-undecided=fail")
    assert slowed.returncode == 1, slowed.stdout
    said = r"over the limit of 1\.5x|undecided \(.*\)"
    line = rf"level1/1_Relu\[pinned\]: [\d.]+x the time of its baseline \[.*\], ({said}) \(0001_main.json\)"
    assert re.search(rf"^{line}$", slowed.stdout, re.MULTILINE), slowed.stdout
    assert "1 failed, 1 passed" in slowed.stdout
    assert "Traceback" not in slowed.stdout

    # Another result.
    project.write_kernel("1_Relu", pinned.replace("min=0", "min=0.1"))
    broken = project.run("-q", *GATE)
    assert broken.returncode == 1, broken.stdout
    assert re.search(r"^level1/1_Relu\[pinned\]: incorrect: .* \(it is in 0001_main.json\)$", broken.stdout, re.M)
    assert "kernelbench: solved of pinned is 0.5, under the gate of 1 (level1/1_Relu)" in broken.stdout
    assert "1 failed, 1 passed" in broken.stdout

    project.write_kernel("1_Relu", pinned)
    restored = project.run("-q", *GATE)
    assert restored.returncode == 0, restored.stdout
    assert "2 passed" in restored.stdout
