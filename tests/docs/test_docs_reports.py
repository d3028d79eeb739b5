"""``docs/reports.md`` names every analysis, and its commands run."""

import re
import shlex
from pathlib import Path

import pytest
from made_up_run import write_run

from pytest_kernelbench.__main__ import COMMANDS, main
from pytest_kernelbench.report.analyses import ANALYSES

TEXT = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    python -m pytest_kernelbench (.*?)(?: +#.*)?$", TEXT, flags=re.M)


def test_every_analysis_is_named():
    assert re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.M) == list(ANALYSES)


@pytest.mark.parametrize("line", LINES)
def test_the_commands_run(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    for name in ("DIR", "A", "B"):
        write_run(Path(name), "surprisal", "random", k=4)
    command = shlex.split(line.replace(" [DIR ...]", ""))
    assert command[0] in COMMANDS and main(command) == 0
