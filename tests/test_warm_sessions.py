"""A session that is forked from a warm process is like one that was started from nothing."""

import os
import subprocess
import sys

import pytest
from project import LIGHT
from warm_sessions import warm_process

ARGUMENTS = ("-q", "-p", "no:cacheprovider")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helper.py").write_text("import os\n\nos.environ['SET'] = 'here'\n")
    (tmp_path / "test_own.py").write_text(
        "import os, sys\nimport helper\n\n\ndef test_own():\n    print(os.getcwd(), os.environ['SET'], sys.path[0])\n"
        "    sys.stderr.write('to errors')\n    assert os.environ['GIVEN'] == 'right'\n"
    )
    return tmp_path


def environment(**variables):
    return {**os.environ, "PYTEST_ADDOPTS": LIGHT, **variables}


def test_it_ends_and_says_what_one_from_nothing_does(folder):
    given = environment(GIVEN="wrong")
    warm = warm_process().run(ARGUMENTS, folder, given, together=False)
    command = [sys.executable, "-m", "pytest", *ARGUMENTS]
    cold = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)
    assert (warm.returncode, warm.errors) == (cold.returncode, cold.stderr) == (1, "")

    def without_time(text):
        return text.rpartition(" in ")[0]

    assert without_time(warm.output) == without_time(cold.stdout)
    assert f"{folder} here {folder}" in warm.output


def test_nothing_of_it_is_left_for_the_next(folder):
    assert warm_process().run(ARGUMENTS, folder, environment(GIVEN="right"), together=True).returncode == 0
    (folder / "test_own.py").write_text(
        "import os, sys\n\n\ndef test_own():\n    assert 'SET' not in os.environ and 'helper' not in sys.modules\n"
    )
    ended = warm_process().run(ARGUMENTS, folder, environment(), together=True)
    assert ended.returncode == 0, ended.output


def test_one_that_is_killed_is_told_by_its_signal(folder):
    (folder / "test_own.py").write_text("import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert warm_process().run(ARGUMENTS, folder, environment(), together=True).returncode == -9


def test_none_has_torch_or_matplotlib_before_it_asks_for_them(folder):
    (folder / "test_own.py").write_text(
        "import sys\n\n\ndef test_own():\n    assert not {'torch', 'matplotlib'} & sys.modules.keys()\n"
    )
    ended = warm_process().run(ARGUMENTS, folder, environment(), together=True)
    assert ended.returncode == 0, ended.output
