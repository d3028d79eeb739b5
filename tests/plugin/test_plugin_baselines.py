"""``--kernelbench-baseline``: a run beside torch.compile of the reference, and what is said of the option."""

import subprocess
import zipfile

import pytest
from project import Project

ASKED = ("--tasks=problems/level1/1_Relu.py", "--no-kernelbench-null", "--kernelbench-baseline=compile")


# The compiler tries which vector instructions there are, and compiles a header ahead: 9 s of a core.
LIGHTER = """
    def compile(self):
        super().compile(options={"cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False})

    def forward("""


@pytest.fixture(scope="module", params=["lighter", pytest.param("as it is", marks=pytest.mark.slow)])
def project(tmp_path_factory, request):
    """A run of one task in a worker of xdist, with builds kept in ``cache``."""
    project = Project(tmp_path_factory.mktemp("project"))
    if request.param == "lighter":
        task = project.folder / "problems" / "level1" / "1_Relu.py"
        task.write_text(task.read_text().replace("\n    def forward(", LIGHTER, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(project.folder / "cache"))
        command = [each for each in project.command(*ASKED, "-n1") if each != "--tasks=problems/level1"]
        done = subprocess.run(
            command, cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=450
        )
    project.output = done.stdout + done.stderr
    assert done.returncode == 0, project.output
    return project


def test_the_choice_is_timed_beside_the_baseline(project):
    (selection,) = project.rows("selections")
    chosen = {row["index"]: row for row in project.rows("evaluations")}[selection["index"]]
    (row,) = project.rows("baselines")
    assert (row["baseline"], row["failed"], row["source_sha256"]) == ("compile", None, chosen["source_sha256"]), row
    assert row["baseline_ms"] > 0 and row["build_seconds"] > 0
    # Whether it is faster is not the point; why it does not count is told.
    assert row["counted"] or row["uncounted_because"]
    assert chosen["baseline"] == "eager"


def test_what_was_compiled_is_kept_for_the_next_process(project):
    (archive,) = (project.folder / "cache").rglob("compiled-*.zip")
    names = zipfile.ZipFile(archive).namelist()
    assert any(name.startswith("fxgraph/") for name in names) and any(name.endswith(".so") for name in names)


def test_the_terminal_shows_the_choice_and_the_strategy_beside_it(project):
    lines = project.output.splitlines()
    places = [place for place, line in enumerate(lines) if line.startswith("against compile")]
    assert lines[places[0] + 1].startswith("level1/1 ") and lines[places[1] + 1].startswith("surprisal ")


def test_a_run_is_resumed_with_its_own_baselines_only(project):
    command = [each for each in project.command(ASKED[0]) if each != "--tasks=problems/level1"]
    done = subprocess.run(command, cwd=project.folder, env=project.environment(), capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    told = "was made with --kernelbench-baseline=eager,compile, not --kernelbench-baseline=eager; resume with the same"
    assert told in done.stdout + done.stderr
