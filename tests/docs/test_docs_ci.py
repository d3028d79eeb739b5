"""The jobs in ``docs/ci``: their commands run in a repository with two kernels, and pass or fail as they should.

The judge is made up; ``tests/plugin/test_plugin_ci_story.py`` has a real one.
"""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from ci_project import KERNEL, CIProject

pytest.importorskip("pytest_benchmark.plugin", reason="the jobs compare with a baseline of its")

DOCS = Path(__file__).parents[2] / "docs"
INSTALL = "python3 -m venv .venv && .venv/bin/pip install /opt/pytest-kernelbench"
# What the repository of the test has that one of a reader has not: no GPU, tasks of its own, and little time.
PYTEST_INI = """[pytest]
addopts =
    --tasks=problems/level1 --kernelbench-device=cpu --kernelbench-sizes=full --kernelbench-protocol=fast
    -p no:cacheprovider -p no:codspeed -p without_figures
"""


GITHUB = yaml.safe_load((DOCS / "ci" / "github.yml").read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
GITLAB = yaml.safe_load((DOCS / "ci" / "gitlab.yml").read_text(encoding="utf-8"))
COMMANDS = {
    "github": [step["run"].strip() for step in GITHUB if "run" in step],
    "gitlab gate": [line.strip() for line in GITLAB["gate"]["script"]],
    "gitlab report": [line.strip() for line in GITLAB["report"]["script"]],
}


class Runner(CIProject):
    """The repository, checked out where a job runs: what the job installs is there already."""

    def __init__(self, folder):
        super().__init__(folder)
        self.judge_by_text()
        (folder / "pytest.ini").write_text(PYTEST_INI)
        (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)

    def shell(self, command, **variables):
        """A job asks for a GPU, so that it cannot pass without; here there is none."""
        command = command.replace(" --kernelbench-device=cuda", "")
        environment = {**self.environment(), "PYTEST_XDIST_AUTO_NUM_WORKERS": "2", **variables}
        return subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("repository"))
    text = (DOCS / "kernel_engineer.md").read_text(encoding="utf-8")
    (save,) = re.findall(r"^    (pytest .*--benchmark-json=kernels/baseline.json)$", text, re.MULTILINE)
    saved = runner.shell(f".venv/bin/{save}")
    assert saved.returncode == 0, saved.stdout
    return runner


@pytest.fixture
def broken(runner):
    runner.write_kernel("2_Relu", KERNEL.replace("min=0", "min=0.1"))
    yield
    runner.write_kernel("2_Relu", KERNEL)


def junit_names(runner):
    return {case.get("classname") for case in ElementTree.parse(runner.folder / "junit.xml").iter("testcase")}


@pytest.mark.parametrize("job", COMMANDS)
def test_every_job_installs_the_package_and_runs_one_command(job):
    install, command = COMMANDS[job]
    assert install == INSTALL
    assert ("--strategy" in command) is ("--kernelbench-device=cuda" in command)


def test_the_job_on_github_passes_and_leaves_what_it_uploads(runner):
    done = runner.shell(COMMANDS["github"][1])
    assert done.returncode == 0, done.stdout
    assert "compared: 2 of the same text" in done.stdout
    (upload,) = [step for step in GITHUB if step.get("uses", "").startswith("actions/upload-artifact@")]
    for name in upload["with"]["path"].split():
        assert (runner.folder / name).exists(), name
    assert junit_names(runner) == {"problems.level1.1_Relu", "problems.level1.2_Relu"}


def test_the_jobs_on_gitlab_gate_half_the_kernels_each_and_are_reported_as_one(runner, broken):
    gate = COMMANDS["gitlab gate"][1]
    one, two = (runner.shell(gate, CI_NODE_INDEX=str(i), CI_NODE_TOTAL=str(GITLAB["gate"]["parallel"])) for i in (1, 2))
    assert one.returncode == 0, one.stdout
    assert two.returncode == 1, two.stdout
    assert re.search(r"^level1/2_Relu\[pinned\]: incorrect: .* \(it is in baseline.json\)$", two.stdout, re.MULTILINE)
    assert junit_names(runner) == {"problems.level1.2_Relu"}
    assert GITLAB["gate"]["artifacts"] == {"when": "always", "paths": ["run-*"], "reports": {"junit": "junit.xml"}}

    assert GITLAB["report"]["when"] == "always"
    done = runner.shell(COMMANDS["gitlab report"][1])
    assert done.returncode == 0, done.stdout
    (pattern,) = GITLAB["report"]["artifacts"]["paths"]
    written = {file.name: file for file in runner.folder.glob(pattern)}
    assert written.keys() >= {"report.json", "report.html"}
    assert json.loads(written["report.json"].read_text())["tasks"] == ["level1/1_Relu", "level1/2_Relu"]
