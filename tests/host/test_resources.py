"""Where folders of a project are found from below its root folder."""

from pathlib import Path

import pytest

from pytest_kernelbench.host.resources import in_project

KERNELS = Path("kernels")


@pytest.fixture
def below(tmp_path, monkeypatch):
    """The working folder: two levels below the root folder of a project, in a folder that has ``kernels`` as well."""
    root = tmp_path / "project"
    (root / "tests" / "unit").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    (tmp_path / "kernels").mkdir()
    monkeypatch.chdir(root / "tests" / "unit")
    return root


def test_a_folder_is_the_project_s_from_any_folder_of_it(below):
    (below / "kernels").mkdir()
    assert in_project(KERNELS) == Path("../../kernels")
    assert in_project(KERNELS).resolve() == below / "kernels"


def test_the_nearest_folder_counts(below, monkeypatch):
    (below / "kernels").mkdir()
    (below / "tests" / "kernels").mkdir()
    assert in_project(KERNELS) == Path("../kernels")
    monkeypatch.chdir(below)
    assert in_project(KERNELS) == KERNELS


def test_above_the_root_folder_nothing_is_looked_for(below):
    assert in_project(KERNELS) == KERNELS
    absolute = below / "none"
    assert in_project(absolute) == absolute
