"""A home folder that cannot be written, as in many containers."""

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.judges.caches import builds_folder

NOWHERE = "/proc/nowhere"  # not even root can make it
TOLD = (
    f"{NOWHERE}/.cache/pytest-kernelbench/builds: builds cannot be kept there (No such file or directory); set "
    "XDG_CACHE_HOME to a folder that can be written"
)


@pytest.fixture
def homeless(monkeypatch):
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return monkeypatch


def test_builds_are_kept_in_the_user_s_cache(homeless, tmp_path):
    homeless.setenv("HOME", str(tmp_path))
    assert builds_folder() == tmp_path / ".cache" / "pytest-kernelbench" / "builds"
    assert list(builds_folder().iterdir()) == []


def test_a_cache_that_is_named_needs_no_home(homeless, tmp_path):
    homeless.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert builds_folder() == tmp_path / "pytest-kernelbench" / "builds"
    homeless.setenv("XDG_CACHE_HOME", "not/absolute")  # which the specification tells programs to pass over
    with pytest.raises(UsageError, match="/proc/nowhere"):
        builds_folder()


def test_a_home_that_cannot_be_written_is_one_line(homeless):
    with pytest.raises(UsageError) as raised:
        builds_folder()
    assert str(raised.value) == TOLD


def test_a_run_without_a_place_for_builds_is_refused_in_one_line_before_anything_is_begun(homeless, benchmark_project):
    homeless.setenv("XDG_CACHE_HOME", NOWHERE)  # pytester gives what it starts a home of its own
    folder = benchmark_project.path
    (folder / "answers.jsonl").write_text('{"task": "level1/1", "text": "..."}\n')
    named = ("--strategy=oracle", "--policy=replay:answers.jsonl", "--tasks=problems/level1/1_One.py")
    result = benchmark_project.run(*named, apart=True)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {TOLD.replace('/.cache', '')}"])
    assert not (folder / ".kernelbench").exists()
