"""``report.json`` holds every metric, rate, interval, sample count, seed and analysis of a study."""

import json
from statistics import mean, stdev

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.report.analyses import ANALYSES
from pytest_kernelbench.report.metrics import METRICS
from pytest_kernelbench.report.records import merged
from pytest_kernelbench.report.render import RunRecords, report_json
from pytest_kernelbench.report.stats import clustered_rate


def report_of(folder):
    return report_json(RunRecords.load(folder))


def test_the_report_survives_a_round_trip_through_json(tmp_path):
    report = report_of(write_run(tmp_path, "surprisal", "oracle", lost=TASKS[:1]))
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_report_holds_every_metric_of_every_strategy(tmp_path):
    report = report_of(write_run(tmp_path, "surprisal", "oracle"))
    assert list(report["strategies"]) == ["surprisal", "oracle"]
    for each in report["strategies"].values():
        assert list(each["metrics"]) == list(METRICS)


def test_every_rate_lies_in_its_interval(tmp_path):
    report = report_of(write_run(tmp_path, "surprisal", "random"))
    for each in report["strategies"].values():
        for name, (low, high) in ((name, ends) for name, ends in each["intervals"].items() if ends):
            assert low <= each["metrics"][name] <= high, name
        assert each["intervals"]["median_speedup"] is None  # of five values, none can be left out


def test_strategies_that_share_candidates_have_one_entry_for_them(tmp_path):
    folder = write_run(tmp_path, "surprisal", "oracle", "random")
    (samples,) = report_of(folder)["samples"]
    assert samples["strategies"] == ["surprisal", "oracle", "random"]
    run = json.loads((folder / "run.json").read_text())
    run["strategies"][2]["sampling"]["k"] = 4
    (folder / "run.json").write_text(json.dumps(run))
    assert [each["strategies"] for each in report_of(folder)["samples"]] == [
        ["surprisal", "oracle"],
        ["random"],
    ]


def test_the_scaling_curve_starts_at_one_sample_and_ends_at_any_of_all(tmp_path):
    report = report_of(write_run(tmp_path, "oracle", k=16, lost=TASKS[:1]))
    metrics = report["strategies"]["oracle"]["metrics"]
    curve = report["samples"][0]["any_of_k"]
    assert [point["k"] for point in curve] == [1, 2, 4, 8, 16]
    for reading in ("fast_1", "fast_1_raw"):
        of = reading.removeprefix("fast_1")
        assert abs(curve[0][reading] - metrics[f"fast_1_sample{of}"]) < 1e-12
        assert abs(curve[-1][reading] - metrics[f"fast_1_any{of}"]) < 1e-12


def test_the_null_counts_how_often_the_reference_beats_itself(tmp_path):
    null = report_of(write_run(tmp_path, "oracle"))["null"]
    assert (null["n"], null["fast_1"], null["fast_1_raw"], null["not_correct"]) == (5, 0, 5, 0)
    assert null["false_positive_rate"] == 0.0


def test_a_null_that_was_not_asked_for_is_not_measured(tmp_path):
    assert report_of(write_run(tmp_path, "oracle", null=False))["null"] is None


def test_a_run_without_any_row_or_task_is_reported_as_not_measured(tmp_path):
    report = report_of(write_run(tmp_path, "oracle", tasks=()))
    assert set(report["strategies"]["oracle"]["metrics"].values()) == {None}
    assert report["samples"][0]["any_of_k"] == []


def study_of(tmp_path, **more):
    folders = make_synthetic_run(tmp_path, tasks=3, k=8, strategies=("oracle", "random"), **more)
    return report_json(merged({str(folder): RunRecords.load(folder) for folder in folders}))


def test_a_study_has_each_seed_s_metrics_and_how_far_they_lie_apart(tmp_path):
    report = study_of(tmp_path, seeds=(0, 1, 2))
    each = report["strategies"]["random"]
    by_seed = [metrics["fast_1_raw"] for metrics in each["seeds"].values()]
    assert list(each["seeds"]) == ["0", "1", "2"] and report["seeds"] == [0, 1, 2]
    assert each["metrics"]["fast_1_raw"] == pytest.approx(mean(by_seed))
    assert each["sd_over_seeds"]["fast_1_raw"] == pytest.approx(stdev(by_seed))
    assert "seeds" not in study_of(tmp_path / "one", seeds=(0,))["strategies"]["random"]


def test_units_say_which_task_and_seed_they_are(tmp_path):
    report = study_of(tmp_path, seeds=(0, 1))
    assert list(report["units"]) == report["tasks"] == list(report["strategies"]["oracle"]["tasks"])
    assert report["units"]["level1/5_Matrix_scalar_multiplication[seed=1]"] == {
        "task": "level1/5_Matrix_scalar_multiplication",
        "seed": 1,
    }
    one = study_of(tmp_path / "one", seeds=(0,))
    assert one["units"][one["tasks"][0]] == {"task": one["tasks"][0], "seed": None}


def test_intervals_of_a_study_draw_tasks_and_not_seeds(tmp_path):
    """Three seeds of the same three tasks are no nine tasks: the interval of nine would be too narrow."""
    report = study_of(tmp_path, seeds=(0, 1, 2))
    rates = {}
    for unit, row in report["strategies"]["oracle"]["tasks"].items():
        rates.setdefault(report["units"][unit]["task"], []).append(row["verdict"] == "fast")
    expected = clustered_rate([mean(map(float, each)) for each in rates.values()])
    assert report["strategies"]["oracle"]["intervals"]["fast_1"] == list(expected)


def test_samples_are_counted_by_task_too(tmp_path):
    (samples,) = report_of(write_run(tmp_path, "oracle", k=8))["samples"]
    assert sum(each["drawn"] for each in samples["tasks"].values()) == samples["drawn"]
    for kind, count in samples["void"].items():
        assert sum(each["void"].get(kind, 0) for each in samples["tasks"].values()) == count


def test_rollouts_of_several_steps_are_no_k_subsets_of_one_another(tmp_path):
    searched, adapted = study_of(tmp_path, steps=2)["samples"]
    assert adapted["strategies"] == ["batch-ttt"] and adapted["any_of_k"] == [] and adapted["k"] == 6
    assert searched["any_of_k"]


@pytest.mark.parametrize("more", [{"tasks": (), "null": False}, {"lost": TASKS}, {}, {"k": 1}])
def test_every_run_has_every_analysis_however_little_it_holds(tmp_path, more):
    report = report_of(write_run(tmp_path, "oracle", **more))
    assert list(report["analyses"]) == list(ANALYSES)
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_no_interval_of_a_mean_speed_up_goes_on_under_0(tmp_path):
    """Two tasks at 1.0x and 9x: Student's begins at -46."""
    folder = write_run(tmp_path, "oracle", k=4, tasks=("level1/12_x", "level1/14_x"))
    report = report_of(folder)
    found = [report["strategies"]["oracle"]["intervals"]["mean_speedup"]]
    for group in report["analyses"]["selection"]:
        shown = [each["mean_speedup"] for each in group["selectors"].values() if each["mean_speedup"]]
        found += [[each["low"], each["high"]] for each in shown if each["low"] is not None]
    for each in report["analyses"]["scaling"]:
        found += [[low, 0] for curve in each["mean_speedup"].values() for low in curve["low"] or () if low is not None]
    assert len(found) > 3 and all(low >= 0 for low, _ in filter(None, found))
    assert any(low == 0 for low, _ in filter(None, found))
