"""``docs/records.md`` says what is in the files of a run, neither more nor less."""

import json
import re
from pathlib import Path

import pytest
from project import Project

from pytest_kernelbench.commands import probe
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.ledger import TABLES, Ledger
from pytest_kernelbench.records import AdaptationStep, AgainstBaseline, Evaluation, Forecast, Outcome
from pytest_kernelbench.strategy import Strategy

DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"
APART = ("adaptation", "baselines", "comparisons", "faults", "forecasts", "gate_sizes")
ONLY_WITH = {"adapters", "adaptation_groups", "remarks"}


def documented() -> dict[str, list[str]]:
    """Fields by file."""
    fields = {}
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        for name in re.findall(r"[\w.]+\.jsonl?", heading):
            fields[name] = re.findall(r"^\| `(\w+)` \|", body, flags=re.M)
    return fields


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    done = project.run("--kernelbench-null", strategy="surprisal-top3")
    assert done.returncode == 0, done.stdout
    return project.folder / "run"


def test_every_file_of_a_run_is_described():
    assert set(documented()) == {"run.json", probe.FILE, *(f"{name}.jsonl" for name in TABLES)}


def test_no_field_is_described_twice():
    for fields in documented().values():
        assert len(set(fields)) == len(fields)


@pytest.mark.parametrize("name", [name for name in TABLES if name not in APART])
def test_the_rows_of_a_run_have_the_fields_that_are_described(run, name):
    rows = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        assert set(row) == set(documented()[f"{name}.jsonl"])


def test_a_forecast_has_the_fields_that_are_described():
    assert set(Forecast(task="t", asked_sha256="a", shown=()).to_json()) == set(documented()["forecasts.jsonl"])


def test_run_json_has_the_fields_that_are_described(run):
    found = set(json.loads((run / "run.json").read_text()))
    assert found | ONLY_WITH == set(documented()["run.json"])


def test_a_comparison_with_a_baseline_has_the_fields_that_are_described():
    what_was_compared = ["task", "source_sha256", "baseline_sha256", "evaluation_sha256", "max_slowdown"]
    what_was_compared += ["sizes", "n_sizes"]
    assert [*what_was_compared, *Comparison.__dataclass_fields__, "seconds_given"] == documented()["comparisons.jsonl"]


def test_a_further_size_of_a_gate_has_the_fields_that_are_described(tmp_path):
    evaluation = Evaluation(source_sha256="0", outcome=Outcome.CORRECT)
    Ledger(tmp_path).add_evaluation_at("level1/1_One", Strategy(name="made-up"), "n=3", evaluation)
    (row,) = (tmp_path / "gate_sizes.jsonl").read_text().splitlines()
    assert list(json.loads(row)) == documented()["gate_sizes.jsonl"]


def test_a_candidate_beside_a_stronger_baseline_has_the_fields_that_are_described(tmp_path):
    Ledger(tmp_path).add_against("level1/1_One", Strategy(name="made-up"), "0", AgainstBaseline(baseline="compile"))
    (row,) = (tmp_path / "baselines.jsonl").read_text().splitlines()
    assert list(json.loads(row)) == documented()["baselines.jsonl"]


def test_a_fault_of_the_harness_has_the_fields_that_are_described(tmp_path):
    strategy = Strategy(name="made-up")
    Ledger(tmp_path).add_fault("level1/1_One", None, strategy, HarnessError("the judge ended"))
    (row,) = (tmp_path / "faults.jsonl").read_text().splitlines()
    assert list(json.loads(row)) == documented()["faults.jsonl"]


def test_a_probe_has_the_fields_that_are_described():
    assert list(probe.Probe.__dataclass_fields__) == documented()[probe.FILE]


def test_a_step_of_adaptation_has_the_fields_that_are_described():
    assert list(AdaptationStep.__dataclass_fields__) == documented()["adaptation.jsonl"]
