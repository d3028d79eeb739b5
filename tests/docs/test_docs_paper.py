"""``docs/paper.md`` names fields that a report has, and strategies that there are."""

import re
from pathlib import Path

import pytest
from made_up_run import make_synthetic_run

from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render import report_json

TEXT = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
FIELDS = re.findall(r"^\| [^|]+ \| report \| `([^`]+)` \|", TEXT, flags=re.M)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    (run,) = make_synthetic_run(
        tmp_path_factory.mktemp("paper"), tasks=4, k=16, steps=2, primary="surprisal-top3:random-top3:success"
    )
    return report_json(RunRecords.load(run))


def test_every_row_of_the_table_has_a_field():
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")][2:]
    assert len(FIELDS) == len(rows) >= 25


@pytest.mark.parametrize("path", dict.fromkeys(FIELDS))
def test_the_report_has_the_field(report, path):
    found = report
    for part in path.split("."):
        name, many = part.removesuffix("[]"), part.endswith("[]")
        found = found[name][0] if many else found[name]
    assert found is not None


def test_the_strategies_that_are_named_are_there():
    known = {path.stem for path in data_folder("strategies").glob("*.toml")}
    named = {each for line in re.findall(r"--strategy=([\w,-]+)", TEXT) for each in line.split(",")}
    assert named <= known
