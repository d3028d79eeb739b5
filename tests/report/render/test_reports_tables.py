"""The tables of a report, in Markdown and LaTeX: their rows, intervals, escapes and page breaks."""

import json

import pytest
from made_up_run import make_synthetic_run, write_run

from pytest_kernelbench.records import Task
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render import report_json
from pytest_kernelbench.report.render.tables import TABLES, Table, as_latex, as_markdown, fixed_of, tables_of
from pytest_kernelbench.tasks.findings import TaskFindings


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folders = make_synthetic_run(tmp_path_factory.mktemp("study"), tasks=4, k=8, seeds=(0, 1), steps=2)
    return report_json(merged({str(folder): RunRecords.load(folder) for folder in folders}))


def test_a_study_with_adaptation_has_every_table(study):
    assert list(tables_of(study)) == [
        name for name in TABLES if name not in ("learning_rates", "baselines", "baseline_tasks")
    ]


def test_an_interval_for_these_very_tasks_stands_beside_the_one_for_others_where_there_are_seeds(study, tmp_path):
    table = tables_of(study)["strategies"]
    place = list(table.head).index("these very tasks")
    shown = [row[place] for row in table.rows]
    known = [each["fixed_intervals"]["fast_1"] for each in study["strategies"].values()]
    assert [each == "-" for each in shown] == [each is None for each in known]
    assert fixed_of({"fixed_intervals": {"fast_1": [-0.1, 0.6]}}) == "[0, 60]"
    assert (
        "these very tasks"
        not in tables_of(report_json(RunRecords.load(write_run(tmp_path, "oracle"))))["strategies"].head
    )


def test_learning_rates_stand_beside_each_other_where_there_are_several(study):
    (run,) = study["analyses"]["adaptation"]
    other = {**run, "strategy": "slower", "learning_rate": run["learning_rate"] / 10}
    both = {**study, "analyses": {**study["analyses"], "adaptation": [run, other]}}
    rows = tables_of(both)["learning_rates"].rows
    assert [row[0] for row in rows] == ["1e-06, slower", "1e-05, batch-ttt"] and len({len(row) for row in rows}) == 1


def test_every_row_is_as_long_as_its_head_and_says_on_what_it_was_measured(study):
    for table in tables_of(study).values():
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert table.caption.endswith("4 tasks, 2 seeds, policy tiny, NVIDIA H200, full sizes.")


def test_a_run_without_log_probabilities_has_no_tables_of_them(tmp_path):
    folder = write_run(tmp_path, "oracle", k=4)
    (folder / "completions.jsonl").unlink()
    found = set(tables_of(report_json(RunRecords.load(folder))))
    assert not found & {"quartiles", "correlation", "regimes", "prefilter", "adaptation"}
    assert {"strategies", "scaling", "selection", "cost"} <= found


def test_an_empty_run_has_tables_too(tmp_path):
    folder = write_run(tmp_path, "oracle", tasks=(), null=False)
    assert "strategies" in tables_of(report_json(RunRecords.load(folder)))


TABLE = Table(caption="50 % of a|b.", head=["name_1", "x"], rows=[["a|b & c", ">99.9"]])


def test_markdown_escapes_its_own_signs():
    assert as_markdown(TABLE) == "50 % of a|b.\n\n| name_1 | x |\n| --- | ---: |\n| a\\|b & c | >99.9 |\n"


def test_latex_escapes_its_own_signs():
    text = as_latex(TABLE, "some_name")
    assert r"\caption{50 \% of a\textbar{}b.}" in text and r"\label{tab:some_name}" in text
    lines = text.splitlines()
    assert r"name\_1 & x \\" in lines and r"a\textbar{}b \& c & $>$99.9 \\" in lines


def test_a_bracket_after_the_end_of_a_row_is_no_argument_of_it():
    text = as_latex(Table(caption="x", head=["a"], rows=[["one"], ["[two]"]]), "x")
    assert "one \\\\\n{}[two] \\\\\n" in text


def test_a_table_longer_than_a_page_is_broken_over_pages():
    text = as_latex(Table(caption="x", head=["a", "b"], rows=[["one", "two"]] * 46), "x")
    assert text.startswith("\\begin{longtable}{lr}\n") and text.endswith("\\end{longtable}\n")
    assert text.index("\\endhead") < text.index("one & two")


def test_what_was_found_of_a_reference_is_in_the_table_of_tasks_and_in_the_notes(tmp_path):
    folder = write_run(tmp_path, "oracle", k=4)
    task = RunRecords.load(folder).tasks[0]
    found = TaskFindings(task=task, device="cuda", precision="float32", constant=True, undefined_on=("negative",))
    (folder / "tasks.jsonl").write_text(json.dumps(found.to_json()) + "\n")
    report = report_json(RunRecords.load(folder))
    constant = "its answer does not depend on its inputs: candidates are judged, none counts as fast"
    assert f"{Task(id=task, source='').short_id}: {constant}" in report["notes"]
    table = tables_of(report)["tasks"]
    assert table.head[-1] == "of the reference"
    assert table.rows[0][-1] == f"{constant}; not defined on inputs that are negative"
    assert {len(row) for row in table.rows} == {len(table.head)}
