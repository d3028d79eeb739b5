"""``docs/paper.md`` names fields that a report has, and strategies that there are."""

import re
from pathlib import Path

import pytest
from made_up_run import make_synthetic_run

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render import report_json
from pytest_kernelbench.strategy import load_strategies
from pytest_kernelbench.tasks import load_tasks

TEXT_FILE = Path(__file__).parents[2] / "docs" / "paper.md"
TEXT = TEXT_FILE.read_text(encoding="utf-8")
FIELDS = re.findall(r"^\| [^|]+ \| report \| `([^`]+)` \|", TEXT, flags=re.M)


@pytest.fixture(scope="module", params=[(0,), (0, 1)], ids=["one seed", "two seeds"])
def report(tmp_path_factory, request):
    runs = make_synthetic_run(
        tmp_path_factory.mktemp("paper"),
        tasks=4,
        k=16,
        steps=2,
        seeds=request.param,
        primary="surprisal-top3:random-top3:success",
    )
    records = {str(run): RunRecords.load(run) for run in runs}
    return report_json(merged(records) if len(records) > 1 else records[str(runs[0])])


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


def test_the_strategies_that_are_named_are_there_and_load():
    """In the commands, and alone in the last column."""
    lists = [*re.findall(r"--strategy=([\w,-]+)", TEXT), *re.findall(r"`((?:ttt|sdpo|rlvr|batch)[\w,-]*)`", TEXT)]
    named = sorted({each for text in lists for each in text.split(",")})
    assert len(named) >= 14
    load_strategies(named, folders=[data_folder("strategies")])


def test_the_tasks_that_are_named_are_there():
    """Those that come with the plugin; a split of KernelBench's own files is in the folder of splits."""
    named = {each for text in re.findall(r"--tasks=(level1[\w:,]*)", TEXT) for each in text.split(",")}
    assert {"level1:subset1", "level1:subset2", "level1:eval"} <= named
    for each in named:
        assert load_tasks(each)
    assert all(Path(TEXT_FILE.parent.parent, path).exists() for path in re.findall(r"`(tasks/[\w./]+)`", TEXT))


def test_the_subcommands_that_are_named_are_there(capsys):
    for name in set(re.findall(r"python -m pytest_kernelbench (\w+)", TEXT)):
        with pytest.raises(SystemExit) as done:
            main([name, "--help"])
        assert done.value.code == 0 and name in capsys.readouterr().out
