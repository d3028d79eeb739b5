import json

from made_up_run import TASKS, write_run

from pytest_kernelbench.metrics import METRICS
from pytest_kernelbench.reports import RunRecords, report_json


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
        for name, (low, high) in each["intervals"].items():
            assert low <= each["metrics"][name] <= high, name


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
