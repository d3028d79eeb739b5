"""The command ``export``: the rows and described columns of its CSV and Parquet tables."""

import csv
import sys

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.export import UNKNOWN


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_candidate_choice_and_step_has_a_row(tmp_path, capsys):
    a, b = make_synthetic_run(tmp_path, tasks=2, k=16, seeds=(0, 1), strategies=("oracle", "random"), steps=1)
    assert main(["export", str(a), str(b), "--to", str(tmp_path / "flat")]) == 0
    samples = rows_of(tmp_path / "flat" / "samples.csv")
    # 16 searched, and 4 + 1 of the adaptation's second step; two tasks and two seeds.
    assert len(samples) == 4 * (16 + 5)
    assert {(row["task"], row["seed"]) for row in samples} == {
        (f"level1/{name}", seed)
        for name in ("4_Matrix_vector_multiplication_", "5_Matrix_scalar_multiplication")
        for seed in "01"
    }
    assert len(rows_of(tmp_path / "flat" / "choices.csv")) == 4 * 3
    assert len(rows_of(tmp_path / "flat" / "steps.csv")) == 4 * 2
    assert f"wrote {tmp_path / 'flat' / 'samples.csv'}: 84 rows\n" in capsys.readouterr().out


def test_a_value_survives_and_what_was_not_measured_is_empty(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8)
    assert main(["export", str(folder)]) == 0
    records = RunRecords.load(folder)
    by_key = {(task, str(index)): each for (_, _, task, index), each in records.evaluations.items()}
    for row in rows_of(folder / "export" / "samples.csv"):
        evaluation = by_key[row["task"], row["index"]]
        assert row["outcome"] == evaluation.outcome.value
        assert row["speedup"] == ("" if evaluation.speedup is None else str(evaluation.speedup))
        assert row["flags"] == " ".join(evaluation.flags)


def test_every_column_of_every_table_is_described(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=2, k=16, strategies=("oracle",), steps=1)
    assert main(["export", str(run)]) == 0
    described = {(row["table"], row["column"]): row["meaning"] for row in rows_of(run / "export" / "columns.csv")}
    for table in ("samples", "choices", "nulls", "steps"):
        for column in rows_of(run / "export" / f"{table}.csv")[0]:
            assert described.pop((table, column)) not in ("", UNKNOWN), column
    assert described == {}


def test_fast_is_there_in_both_readings_for_samples_and_for_the_reference(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8)
    assert main(["export", str(folder)]) == 0
    for row in rows_of(folder / "export" / "samples.csv"):
        low, point = float(row["speedup_low"] or 0), float(row["speedup"] or 0)
        assert row["fast"] == str(low > 1.01) and row["fast_raw"] == str(point > 1) and row["margin"] == "0.01"
    nulls = rows_of(folder / "export" / "nulls.csv")
    assert len(nulls) == len(TASKS) and {(row["fast"], row["fast_raw"]) for row in nulls} == {("False", "True")}


def test_parquet_holds_the_same_values_and_says_what_each_column_means(tmp_path):
    from pyarrow import parquet

    folder = write_run(tmp_path, "oracle", k=8)
    assert main(["export", str(folder), "--format", "parquet"]) == 0
    assert main(["export", str(folder)]) == 0
    table = parquet.read_table(folder / "export" / "samples.parquet")
    assert table.schema.field("mean_logprob").metadata[b"meaning"] == b"nats a token"
    flat = rows_of(folder / "export" / "samples.csv")
    for column in ("task", "index", "speedup", "fast"):
        assert ["" if value is None else str(value) for value in table[column].to_pylist()] == [
            row[column] for row in flat
        ]


def test_nothing_that_a_candidate_wrote_gets_into_a_spreadsheet(tmp_path):
    folder = write_run(tmp_path, "oracle", k=2)
    path = folder / "evaluations.jsonl"
    path.write_text(path.read_text().replace('"detail": ""', '"detail": "=cmd()"'))
    main(["export", str(folder)])
    assert "=cmd" not in (folder / "export" / "samples.csv").read_text()


def test_parquet_without_pyarrow_is_an_error_that_names_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", str(write_run(tmp_path, "oracle", k=2)), "--format", "parquet"]) == 4
    assert capsys.readouterr().err == (
        "error: --format=parquet: needs pyarrow; pip install pyarrow, or use --format=csv\n"
    )


@pytest.mark.parametrize("name", ["samples", "choices"])
def test_columns_are_the_same_in_every_row(tmp_path, name):
    folder = write_run(tmp_path, "oracle", "random", k=4)
    main(["export", str(folder)])
    lines = (folder / "export" / f"{name}.csv").read_text().splitlines()
    assert len({len(row) for row in csv.reader(lines)}) == 1
