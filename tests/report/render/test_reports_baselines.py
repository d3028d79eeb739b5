"""Chosen kernels beside stronger baselines, in every report."""

import json
import re

import pytest
from made_up_baselines import FAILS, add_baselines, beside
from made_up_run import STUDY_TASKS, TASKS, make_synthetic_run, write_run

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.metrics import METRICS, failed_gates, parse_gate
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render import render, report_json
from pytest_kernelbench.report.render.tables import as_latex, as_markdown, tables_of

FOUND = {TASKS[0]: beside(0.9, counted=False), TASKS[1]: beside(1.6, counted=True), TASKS[2]: FAILS}


@pytest.fixture
def run(tmp_path):
    # Of five tasks one is unsolved; of four choices one was not timed beside the baseline.
    return add_baselines(write_run(tmp_path / "run", "oracle"), FOUND, "oracle")


def results(folder):
    records = RunRecords.load(folder)
    return records.results(records.strategies[0])


def test_a_task_whose_baseline_fails_is_left_out_and_one_without_a_kernel_counts_as_slow(run):
    assert METRICS["fast_1_compile"](results(run)) == 1 / 4
    assert METRICS["geomean_speedup_compile"](results(run)) == pytest.approx((0.9 * 1.6) ** (1 / 4))


def test_where_nothing_was_timed_beside_it_there_is_no_figure_and_no_line(tmp_path):
    folder = write_run(tmp_path, "oracle")
    assert METRICS["fast_1_compile"](results(folder)) is METRICS["geomean_speedup_compile"](results(folder)) is None
    report = report_json(RunRecords.load(folder))
    assert report["baselines"] == ["eager"] and report["strategies"]["oracle"]["against"] == {}
    assert not {"baselines", "baseline_tasks"} & tables_of(report).keys()
    assert not [line for line in render(report, width=100) if line.startswith("against")]


def test_a_gate_may_be_on_a_stronger_baseline(run):
    (missed,) = failed_gates(results(run), [parse_gate("fast_1_compile:0.5")])
    assert missed.startswith("fast_1_compile of oracle is 0.25, under the gate of 0.5 (level1/4_")
    assert failed_gates(results(run), [parse_gate("fast_1_compile:0.25")]) == []


def test_a_baseline_that_fails_everywhere_has_no_figure(tmp_path):
    folder = add_baselines(write_run(tmp_path, "oracle", tasks=TASKS[:2]), dict.fromkeys(TASKS[:2], FAILS), "oracle")
    assert METRICS["fast_1_compile"](results(folder)) is None
    figures = report_json(RunRecords.load(folder))["strategies"]["oracle"]["against"]["compile"]
    assert figures["fast_1"]["value"] is None and (figures["tasks"], figures["without_baseline"]) == (0, 2)


def test_the_terminal_shows_every_choice_and_every_strategy_beside_the_baseline(run):
    lines = render(report_json(RunRecords.load(run)), width=100)
    start = next(place for place, line in enumerate(lines) if line.startswith("against compile"))
    found = [re.sub(r" {2,}", "  ", line) for line in lines[start : start + 10]]
    chosen = [row["index"] for row in report_json(RunRecords.load(run))["strategies"]["oracle"]["tasks"].values()]
    assert found == [
        "against compile  chosen  speed-up [95 %]  verdict",
        f"level1/4  #{chosen[0]}  0.90x [0.88, 0.92]  not fast",
        f"level1/5  #{chosen[1]}  1.60x [1.57, 1.63]  fast",
        f"level1/12  #{chosen[2]}  -  no baseline",
        f"level1/14  #{chosen[3]}  -  not timed",
        "",
        "against compile  fast_1 [95 %]  geomean [95 %]  tasks",
        "oracle  25 % [1, 81]  1.10x  4 of 5",
        "level1/12: there is no baseline compile: the reference under it is no correct candidate",
        "  (runtime_error: x)",
    ]


def test_a_baseline_beside_itself_is_counted_apart(run):
    named = {"null": True, "source_sha256": "0", "evaluation_sha256": None}
    themselves = zip(TASKS, (beside(1.0, counted=False), beside(1.2, counted=True), FAILS), strict=False)
    with (run / "baselines.jsonl").open("a") as file:
        file.writelines(json.dumps({"task": each, **named, **found.to_json()}) + "\n" for each, found in themselves)
    report = report_json(RunRecords.load(run))
    assert report["null_of_baselines"] == {"compile": {"n": 2, "fast_1": 1}}
    assert "null: compile against itself is fast in 1 of 2" in render(report, width=100)
    assert report["strategies"]["oracle"]["against"]["compile"]["tasks"] == 4


@pytest.mark.parametrize("width", [80, 100])
def test_with_many_strategies_it_fits_the_width(tmp_path, width):
    names = ("oracle", "surprisal-top3", "surprisal", "random", "confidence", "best-of-64")
    folder = add_baselines(write_run(tmp_path, *names), FOUND, "oracle")
    lines = render(report_json(RunRecords.load(folder)), width=width)
    assert any(line.startswith("against compile") for line in lines)
    assert max(map(len, lines)) <= width


def test_the_json_says_of_each_choice_why_it_is_not_fast(run):
    tasks = report_json(RunRecords.load(run))["strategies"]["oracle"]["tasks"]
    assert tasks[TASKS[0]]["against"]["compile"] == {
        "speedup": 0.9,
        "low": pytest.approx(0.882),
        "high": pytest.approx(0.918),
        "verdict": "not fast",
        "because": "by the judge's clock it is as fast",
    }
    assert tasks[TASKS[2]]["against"]["compile"]["because"] == FAILS.uncounted_because
    assert tasks[TASKS[4]]["against"] == {}


def test_tables_for_papers_hold_both(run):
    tables = tables_of(report_json(RunRecords.load(run)))
    assert "| oracle, compile | 25 % [1, 81] | 1.10x | 4 of 5 |" in as_markdown(tables["baselines"])
    assert "| oracle, level1/5, compile | 1.60x [1.57, 1.63] | fast |  |" in as_markdown(tables["baseline_tasks"])
    assert r"oracle, level1/5, compile & 1.60x" in as_latex(tables["baseline_tasks"], "baseline_tasks")


def test_seeds_of_a_study_are_clustered_by_task(tmp_path):
    folders = make_synthetic_run(tmp_path, tasks=4, k=16, seeds=(0, 1), strategies=("surprisal",))
    tasks = [f"level1/{name}" for name in STUDY_TASKS[:4]]
    solved = [set(choices(folder)) for folder in folders]
    for folder, found in zip(folders, solved, strict=True):
        add_baselines(folder, {task: beside(1.5, counted=True) for task in tasks if task in found}, "surprisal")
    figures = report_json(merged({str(each): RunRecords.load(each) for each in folders}))["strategies"]["surprisal"]
    rate = sum(map(len, solved)) / 8
    assert figures["metrics"]["fast_1_compile"] == figures["against"]["compile"]["fast_1"]["value"] == rate
    assert figures["against"]["compile"]["tasks"] == 4


def choices(folder):
    return [task.task for task in results(folder).tasks if task.chosen is not None]


def test_runs_with_other_baselines_are_not_merged(tmp_path):
    folders = make_synthetic_run(tmp_path, tasks=2, k=16, seeds=(0, 1), strategies=("surprisal",))
    for folder, baseline in zip(folders, ("eager", "eager,compile"), strict=True):
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**run, "baseline": baseline}))
    with pytest.raises(UsageError) as error:
        merged({each.name: RunRecords.load(each) for each in folders})
    assert str(error.value) == ('seed1: baseline is "eager,compile", but "eager" in seed0; report them one at a time')
