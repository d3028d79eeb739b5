"""``--kernelbench-baseline``: a run beside torch.compile of the reference, and what is said of the option."""

import subprocess

import pytest
from project import Project

ASKED = ("--tasks=problems/level1/1_Relu.py", "--no-kernelbench-null", "--kernelbench-baseline=compile")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A run of two strategies that choose different programs, in a worker of xdist, with builds kept in ``cache``."""
    project = Project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(project.folder / "cache"))
        command = [each for each in project.command(*ASKED, "-n1") if each != "--tasks=problems/level1"]
        done = subprocess.run(
            [*command, "--strategy=confidence"],
            cwd=project.folder,
            env=project.environment(),
            capture_output=True,
            text=True,
            timeout=450,
        )
    project.output = done.stdout + done.stderr
    assert done.returncode == 0, project.output
    return project


def test_every_choice_is_timed_beside_the_baseline(project):
    chosen = [row["index"] for row in project.rows("selections")]
    assert len(set(chosen)) == 2, project.details()
    rows = project.rows("baselines")
    assert [(row["baseline"], row["failed"]) for row in rows] == [("compile", None)] * 2, rows
    assert all(row["baseline_ms"] > 0 and row["build_seconds"] > 0 for row in rows)
    # Which of the two is faster is not the point; why one does not count is told.
    assert all(row["counted"] or row["uncounted_because"] for row in rows)


def test_what_was_compiled_is_kept_for_the_next_process(project):
    first, second = [row["build_seconds"] for row in project.rows("baselines")]
    assert second < first / 2
    assert len(list((project.folder / "cache").rglob("compiled-*.zip"))) == 1


def test_the_terminal_shows_the_choices_and_the_strategies_beside_it(project):
    lines = project.output.splitlines()
    places = [place for place, line in enumerate(lines) if line.startswith("against compile")]
    assert lines[places[0] + 1].startswith(("level1/1, surprisal ", "level1/1, confidence "))
    assert {lines[places[1] + 1].split()[0], lines[places[1] + 2].split()[0]} == {"surprisal", "confidence"}


def test_a_run_is_resumed_with_its_own_baselines_only(project):
    command = [each for each in project.command(ASKED[0]) if each != "--tasks=problems/level1"]
    done = subprocess.run(command, cwd=project.folder, env=project.environment(), capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    told = "was made with --kernelbench-baseline=eager,compile, not --kernelbench-baseline=eager; resume with the same"
    assert told in done.stdout + done.stderr
