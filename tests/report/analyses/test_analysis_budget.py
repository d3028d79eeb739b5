"""Equal budgets: the kernels that each strategy had found after equal spending."""

import json
import re
from dataclasses import replace

import pytest
from made_up_bench import TASK, rows
from made_up_readers import Reader, searching

from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.report.analyses import Study
from pytest_kernelbench.report.analyses.budget import budget
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render import render, report_json
from pytest_kernelbench.report.render.tables import tables_of


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """best-of-6, which finds nothing, and refinement, which finds 1.2x at its third answer and 2x at its fifth."""
    folder = tmp_path_factory.mktemp("run")
    bench = Reader(folder)
    strategies = [searching("best-of"), searching("refine")]
    for each in strategies:
        run_item(TASK, each, bench)
    run = json.loads((folder / "run.json").read_text())
    run |= {"strategies": [each.to_json() for each in strategies], "margin": 0.05}
    (folder / "run.json").write_text(json.dumps(run))
    assert len(rows(bench, "completions")) == 12
    return RunRecords.load(folder)


def test_curves_go_as_far_as_the_strategy_that_spent_least_and_hold_what_was_found_by_then(records):
    found = budget(Study.of(records))
    rollouts = found["rollouts"]
    assert rollouts["budget"] == [1, 2, 3, 4, 5, 6]
    assert rollouts["strategies"]["best-of"]["verified"]["value"] == [0.0] * 6
    assert rollouts["strategies"]["refine"]["verified"]["value"] == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    best = rollouts["strategies"]["refine"]["geomean_speedup"]["value"]
    assert best == pytest.approx([1.0, 1.0, 1.2, 1.2, 2.0, 2.0])
    # Distinct programs: the wrong one, the good one and the best; best-of has one.
    assert found["judged"]["budget"] == [1]
    assert found["judged"]["strategies"]["refine"]["spends"] == 3.0


def test_a_search_has_no_curve_over_subsets(records):
    study = Study.of(records)
    assert [group.strategies for group in study.groups] == [("best-of",)]
    shown = {each["strategies"][0]: bool(each["any_of_k"]) for each in report_json(records)["samples"]}
    assert shown == {"best-of": True, "refine": False}


def test_the_terminal_prints_every_axis_of_which_all_is_known(records):
    printed = "\n".join(render(report_json(records), width=100))
    assert re.search(r"within equal +any verified \[95 %\] +geomean of the best \[95 %\]", printed)
    for axis in ("rollouts", "tokens", "judged", "seconds"):
        assert re.search(rf"^[\d.,]+ {axis}$", printed, re.MULTILINE)


def test_a_budget_is_written_as_a_count_and_not_as_a_speed_up(records):
    report = report_json(records)
    for axis, most in (("rollouts", 8.0), ("tokens", 12345.2)):
        report["analyses"]["budget"][axis]["budget"] = [most]
    lines = render(report, width=80)
    assert "8 rollouts" in lines and "12,345 tokens" in lines
    first_cells = [row[0] for row in tables_of(report)["budget"].rows]
    assert "refine, 8 rollouts" in first_cells and "refine, 12,345 tokens" in first_cells


def test_the_terminal_s_table_fits_in_80_columns_however_many_strategies_share_their_candidates(records):
    report = report_json(records)
    for each in report["analyses"]["budget"].values():
        found = each["strategies"]
        many = ", ".join(["a-strategy-with-a-name-longer-than-a-column", *(f"random-{n}" for n in range(8))])
        each["strategies"] = {many: found["best-of"], "refine": found["refine"]}
    lines = render(report, width=80)
    first = next(number for number, line in enumerate(lines) if line.startswith("within equal"))
    assert max(map(len, lines[first : first + 13])) <= 80
    assert lines[first + 2].startswith("  a-strate…-a-column and 8 more ")
    assert lines[first + 3].startswith("  refine ")


def test_strategies_that_share_their_candidates_are_compared_with_nothing(tmp_path):
    bench = Reader(tmp_path)
    shared = [searching("best-of"), replace(searching("best-of"), name="again")]
    for each in shared:
        run_item(TASK, each, bench)
    run = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "strategies": [each.to_json() for each in shared]}))
    assert budget(Study.of(RunRecords.load(tmp_path))) is None
