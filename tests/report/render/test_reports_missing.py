"""Values that were not measured have no figure, missing records are named first, and counts name their base."""

import json

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.report.records import merged
from pytest_kernelbench.report.render import RunRecords, render, report_json, write_reports


def edit(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def text_of(records) -> str:
    return "\n".join(render(report_json(records), width=120))


def test_a_run_that_was_killed_says_so_first_and_claims_no_k_that_it_has_not(tmp_path):
    """Killed at 4 of 16: not "any of 16"."""
    folder = write_run(tmp_path, "oracle", k=16)
    for name in ("completions", "evaluations"):
        edit(
            folder / f"{name}.jsonl", lambda rows: [row for row in rows if row["index"] < 4 or row["task"] == TASKS[0]]
        )
    edit(folder / "selections.jsonl", lambda rows: rows[:1])
    text = text_of(RunRecords.load(folder))
    first, rest = text.split("\n", 1)
    assert first == "partial: 4 of 5 tasks without a choice; 4 of 16 answers drawn for 4 of 5"
    assert "any of 4 to 16 [95 %]" in rest and "any of 16 [95 %]" not in rest


def test_a_whole_run_is_not_partial(tmp_path):
    assert report_json(RunRecords.load(write_run(tmp_path, "oracle", k=4)))["partial"] is None


def test_a_task_is_in_one_regime_however_many_seeds_there_are(tmp_path):
    """The issue's 33 "tasks" of 20."""
    runs = make_synthetic_run(tmp_path, tasks=8, k=16, seeds=(0, 1, 2), strategies=("oracle",))
    records = merged({str(run): RunRecords.load(run) for run in runs})
    (found,) = report_json(records)["analyses"]["regimes"]
    assert sum(each["tasks"] for each in found["regimes"].values()) == 8
    assert sum(each["units"] for each in found["regimes"].values()) == 24
    by_task = {}
    for unit, each in found["tasks"].items():
        by_task.setdefault(unit.partition("[")[0], set()).add(each["regime"])
    assert all(len(regimes) == 1 for regimes in by_task.values())


def test_the_null_over_seeds_is_of_as_many_tasks_as_there_are(tmp_path):
    """Three timings of one reference are no three independent trials."""
    runs = make_synthetic_run(tmp_path, tasks=6, k=4, seeds=(0, 1, 2), strategies=("oracle",))
    one = report_json(RunRecords.load(runs[0]))["null"]
    three = report_json(merged({str(run): RunRecords.load(run) for run in runs}))["null"]
    assert (one["n"], one["tasks"], three["n"], three["tasks"]) == (6, 6, 18, 6)
    assert three["interval"] == pytest.approx(one["interval"])


def test_one_task_and_several_seeds_have_a_report_with_figures(tmp_path):
    runs = make_synthetic_run(tmp_path, tasks=1, k=8, seeds=(0, 1, 2), strategies=("oracle", "random"))
    records = merged({str(run): RunRecords.load(run) for run in runs})
    write_reports(records, report_json(records), runs[0])
    assert (runs[0] / "figures" / "teaser.svg").exists()


def test_a_protocol_without_intervals_verifies_nothing_and_says_so_nowhere_as_zero(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8, null=False)
    bare = dict.fromkeys(("speedup_low", "speedup_high"))
    edit(folder / "evaluations.jsonl", lambda rows: [{**row, **bare} for row in rows])
    of_choice = dict.fromkeys(("speedup_low", "speedup_high", "confirmed_low", "confirmed_high"))
    edit(folder / "selections.jsonl", lambda rows: [{**row, **of_choice, "fast": False} for row in rows])
    records = RunRecords.load(folder)
    report = report_json(records)
    metrics = report["strategies"]["oracle"]["metrics"]
    assert metrics["fast_0"] is metrics["fast_1"] is metrics["fast_1_any"] is None and metrics["fast_1_raw"] > 0
    text = "\n".join(render(report, width=120))
    (line,) = [line for line in text.splitlines() if line.startswith("verified ")][:1]
    assert line.split()[1:] == ["-", "-"]
    write_reports(records, report, folder)


def test_adaptation_without_intervals_has_a_raw_trajectory_and_no_verified_one(tmp_path):
    (folder,) = make_synthetic_run(tmp_path, tasks=4, k=16, steps=2, strategies=("oracle", "surprisal-top3"))
    bare = dict.fromkeys(("speedup_low", "speedup_high"))
    for name in ("evaluations", "confirmations", "null"):
        edit(folder / f"{name}.jsonl", lambda rows: [{**row, **bare} for row in rows])
    of_choice = dict.fromkeys(("speedup_low", "speedup_high", "confirmed_low", "confirmed_high"))
    edit(folder / "selections.jsonl", lambda rows: [{**row, **of_choice, "fast": False} for row in rows])
    records = RunRecords.load(folder)
    report = report_json(records)
    (found,) = report["analyses"]["adaptation"]
    assert found["per_sample"]["verified"]["value"] == [None] * 3 and found["checkpoint"]["value"] is None
    assert all(value is not None for value in found["per_sample"]["raw"]["value"])
    assert "nothing is verified: the protocol gives no intervals" in "\n".join(render(report, width=120))
    write_reports(records, report, folder)


def test_nothing_chosen_is_no_mean_of_one(tmp_path):
    folder = write_run(tmp_path, "oracle", k=4, lost=TASKS)
    report = report_json(RunRecords.load(folder))["strategies"]["oracle"]
    assert report["metrics"]["geomean_speedup"] is None and report["intervals"]["geomean_speedup"] is None


def test_a_speed_up_without_an_upper_end_is_reported_with_its_lower_one(tmp_path, capsys):
    folder = write_run(tmp_path / "run", "oracle", k=4)

    def unbounded(name, *ends):
        path = folder / name
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, **dict.fromkeys(ends)}) + "\n" for row in rows))

    unbounded("selections.jsonl", "speedup_high", "confirmed_high")
    unbounded("evaluations.jsonl", "speedup_high")
    low = json.loads((folder / "selections.jsonl").read_text().splitlines()[0])["confirmed_low"]
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert f"[{low:.2f}, ∞]" in shown
    table = (folder / "tables" / "tasks.tex").read_text()
    assert rf"[{low:.2f}, $\infty$]" in table and "∞" not in table
    for command in (
        ["export", str(folder)],
        ["compare", str(folder), str(write_run(tmp_path / "other", "oracle", k=4))],
    ):
        assert main(command) == 0
