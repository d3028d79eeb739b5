"""A run folder is read into records: keys, repeated rows, lines that were cut off, rows that contradict each other."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_run import TASKS, draw, write_run

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import read_run
from pytest_kernelbench.report.metrics import METRICS
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render import render, report_json, write_reports


def only_results(folder):
    records = RunRecords.load(folder)
    (strategy,) = records.strategies
    return records.results(strategy)


def edit(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def error_of(call, *arguments) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_are_joined_by_task_and_index(tmp_path):
    results = only_results(write_run(tmp_path, "surprisal", k=8))
    for task in results.tasks:
        group = draw(task.task, 8)
        assert [sample.index for sample in task.samples] == list(range(8))
        assert [sample.evaluation for sample in task.samples] == [judged.evaluation for judged in group]
        assert [sample.completion.mean_logprob for sample in task.samples] == [
            judged.candidate.completion.mean_logprob for judged in group
        ]
        assert task.selection.strategy == "surprisal"


def test_the_denominator_is_the_tasks_collected_and_not_the_rows_present(tmp_path):
    results = only_results(write_run(tmp_path, "oracle", lost=TASKS[:2]))
    assert len(results.tasks) == len(TASKS)
    kept = only_results(write_run(tmp_path / "kept", "oracle", tasks=TASKS[2:]))
    assert METRICS["fast_1"](results) == pytest.approx(METRICS["fast_1"](kept) * 3 / 5)
    assert METRICS["correct"](results) == METRICS["correct"](kept)  # of the tasks whose samples were judged


def test_the_caller_may_give_the_tasks_collected(tmp_path):
    records = RunRecords.load(write_run(tmp_path, "oracle"), tasks=TASKS[:2])
    assert records.tasks == TASKS[:2]
    assert len(records.results(records.strategies[0]).tasks) == 2


def test_a_strategy_with_a_smaller_k_sees_the_first_of_the_samples(tmp_path):
    write_run(tmp_path, "oracle", k=8)
    run = json.loads((tmp_path / "run.json").read_text())
    run["strategies"][0]["sampling"]["k"] = 3
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert {len(task.samples) for task in only_results(tmp_path).tasks} == {3}


def test_evaluations_by_another_protocol_are_not_mixed_in(tmp_path):
    write_run(tmp_path, "oracle", k=4)
    before = only_results(tmp_path)
    path = tmp_path / "evaluations.jsonl"
    edit(
        path,
        lambda rows: rows + [{**row, "outcome": "timeout", "speedup": None, "evaluation_sha256": "x"} for row in rows],
    )
    assert only_results(tmp_path) == before


def test_of_two_rows_with_one_key_the_later_counts(tmp_path):
    write_run(tmp_path, "oracle", k=1, tasks=TASKS[2:3])
    (tmp_path / "selections.jsonl").unlink()
    path = tmp_path / "evaluations.jsonl"
    edit(path, lambda rows: [*rows, {**rows[0], "outcome": "timeout", "speedup": None}])
    (task,) = only_results(tmp_path).tasks
    assert task.evaluations[0].outcome.value == "timeout"


def test_a_strategy_may_carry_its_own_margin(tmp_path):
    write_run(tmp_path, "oracle", "random", k=2)
    run = json.loads((tmp_path / "run.json").read_text())
    run["strategies"][1]["margin"] = 0.05
    (tmp_path / "run.json").write_text(json.dumps(run))
    records = RunRecords.load(tmp_path)
    assert [records.results(strategy).margin for strategy in records.strategies] == [0.01, 0.05]


def test_the_run_of_a_replay_without_log_probabilities_loads(tmp_path):
    write_run(tmp_path, "oracle", k=2)
    (tmp_path / "completions.jsonl").unlink()
    assert all(sample.completion is None for task in only_results(tmp_path).tasks for sample in task.samples)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(data=st.data())
def test_a_last_line_cut_anywhere_costs_that_line_alone_and_is_noted(tmp_path, data):
    write_run(tmp_path, "oracle", k=2)
    path = tmp_path / data.draw(st.sampled_from(["completions.jsonl", "evaluations.jsonl", "selections.jsonl"]))
    whole = path.read_bytes()
    last = whole.splitlines()[-1]
    path.write_bytes(whole[: -data.draw(st.integers(2, len(last)))])
    records = RunRecords.load(tmp_path)
    count = len(whole.splitlines())
    assert records.notes == (f"{path}:{count}: the last line was cut short and is left out",)
    path.write_bytes(whole)
    assert RunRecords.load(tmp_path).notes == ()


def test_a_line_cut_in_the_middle_of_a_file_is_an_error_with_its_number(tmp_path):
    path = write_run(tmp_path, "oracle") / "evaluations.jsonl"
    lines = path.read_text().splitlines()
    lines[3] = lines[3][:40]
    path.write_text("\n".join(lines))
    assert error_of(RunRecords.load, tmp_path) == (
        f"{path}:4: not JSON, and not the last line; remove the line to read the rest"
    )


def test_a_row_that_is_no_evaluation_is_an_error_with_its_number(tmp_path):
    path = write_run(tmp_path, "oracle") / "evaluations.jsonl"
    path.write_text('{"task": "level1/1_x", "index": 0, "source_sha256": "s", "outcome": "great"}\n')
    assert error_of(RunRecords.load, tmp_path) == (
        f"{path}:1: not a row of evaluations.jsonl ('great' is not a valid Outcome); remove the line to read the rest"
    )
    path.write_text('{"index": 0, "outcome": "correct"}\n')
    assert (
        error_of(RunRecords.load, tmp_path)
        == f"{path}:1: not a row of evaluations.jsonl (no task); remove the line to read the rest"
    )


def test_a_folder_without_a_run_is_said_to_have_none(tmp_path):
    assert error_of(RunRecords.load, tmp_path) == f"{tmp_path}: no run.json; name the folder of a run"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tasks": None}, 'has no "tasks"'),
        ({"strategies": None}, 'has no "strategies"'),
        ({"tasks": [1]}, '"tasks" is not a list of names'),
        ({"tasks": "level1/1"}, '"tasks" is not a list of names'),
        ({"strategies": ["oracle"]}, '"strategies" is not a list of objects'),
        ({"margin": "five"}, '"margin" is "five", not a number'),
        ({"seed": "x"}, '"seed" is "x", not a whole number'),
        ({"primary": True}, '"primary" is true, not a text'),
        ({"seconds": [1.0]}, '"seconds" is [1.0], not an object'),
        ({"seconds": {"sampling": "1 s"}}, '"seconds" of sampling is not a number'),
        ({"schema": 99}, "has schema 99, and this version of pytest-kernelbench reads 1: upgrade it"),
    ],
)
def test_a_run_json_that_cannot_be_read_is_one_line_for_reports_and_for_a_resumed_run(tmp_path, changes, problem):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"tasks": [], "strategies": [], **changes}))
    assert error_of(RunRecords.load, tmp_path) == f"{path}: {problem}; name the folder of a run"
    assert error_of(read_run, tmp_path) == f"{path}: {problem}; start another run with --kernelbench-run"


def test_a_run_json_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("[]")
    assert error_of(RunRecords.load, tmp_path) == (
        f"{tmp_path / 'run.json'}: is not a JSON object; name the folder of a run"
    )


def test_a_run_with_strategies_in_another_form_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"tasks": [], "strategies": [{"name": "oracle", "sampling": 3}]}')
    # What stands in brackets is Python's own text, which differs between its versions.
    message = error_of(RunRecords.load, tmp_path)
    assert message.startswith(f'{tmp_path / "run.json"}: "strategies" cannot be read (')
    assert message.endswith("); name the folder of a run")


@pytest.mark.parametrize("name", ["completions", "evaluations", "selections", "null", "baselines", "adaptation"])
@pytest.mark.parametrize(("row", "reason"), [("[]", "no JSON object"), ("{}", "no ")])
def test_a_line_that_is_no_row_of_its_file_is_one_line(tmp_path, name, row, reason):
    write_run(tmp_path, "oracle", k=1)
    path = tmp_path / f"{name}.jsonl"
    path.write_text(f"{row}\n")
    message = error_of(RunRecords.load, tmp_path)
    assert message.startswith(f"{path}:1: not a row of {name}.jsonl ({reason}")
    assert message.endswith("); remove the line to read the rest")


def test_probes_are_read_by_lineage_step_and_candidate(tmp_path):
    write_run(tmp_path, "oracle", k=2, seed=3)
    row = {"lineage": "l", "step": 1, "task": TASKS[0], "index": 0, "nll": 2.5, "n_tokens": 9, "speedup": None}
    (tmp_path / "probes.jsonl").write_text(json.dumps(row) + "\n")
    assert RunRecords.load(tmp_path).probes == {(3, "l", 1, TASKS[0], 0): (2.5, None)}


def test_a_task_that_only_another_strategy_was_asked_for_is_in_no_denominator(tmp_path):
    """A run that is resumed with one more strategy and other --tasks changes nothing of the strategies before."""
    folder = write_run(tmp_path, "oracle", "random", tasks=TASKS)
    run = json.loads((folder / "run.json").read_text())
    run["strategies"][0]["tasks"] = list(TASKS[:2])
    (folder / "run.json").write_text(json.dumps(run))
    records = RunRecords.load(folder)
    oracle, chance = (records.results(each) for each in records.strategies)
    assert [task.task for task in oracle.tasks] == list(TASKS[:2]) and len(chance.tasks) == len(TASKS)
    report = report_json(records)
    assert report["strategies"]["oracle"]["tasks"][TASKS[2]]["verdict"] == "not asked"
    assert "not asked" in "\n".join(render(report, width=100))
    write_reports(records, report, folder)


def edit_rows(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


def test_rows_that_contradict_each_other_are_refused_by_name(tmp_path):
    folder = write_run(tmp_path / "a", "oracle", k=8)
    chosen = {
        row["task"]: row["index"] for row in map(json.loads, (folder / "selections.jsonl").read_text().splitlines())
    }
    task = TASKS[0]

    def refute(row):
        wrong = row["task"] == task and row["index"] == chosen[task]
        bare = dict.fromkeys(("speedup", "speedup_low", "speedup_high"))
        return {**row, **bare, "outcome": "incorrect"} if wrong else row

    edit_rows(folder / "evaluations.jsonl", refute)
    with pytest.raises(UsageError) as caught:
        RunRecords.load(folder)
    assert str(caught.value) == (
        f"{folder}: oracle chose level1/4 #{chosen[task]}, which evaluations.jsonl says is incorrect; "
        "was a row edited, or another run's added?"
    )
    slow = write_run(tmp_path / "b", "oracle", k=8)
    edit_rows(slow / "selections.jsonl", lambda row: {**row, "confirmed_low": 0.5} if row["task"] == task else row)
    with pytest.raises(UsageError, match=r"oracle's level1/4 #\d+ is fast, with a confirmed interval from 0.5; "):
        RunRecords.load(slow)
    twice = write_run(tmp_path / "c", "oracle", k=8)
    edit_rows(twice / "evaluations.jsonl", lambda row: {**row, "source_sha256": "same"})
    with pytest.raises(UsageError, match=r"#\d+ and #\d+ have the same source, and evaluations.jsonl says that one is"):
        RunRecords.load(twice)


def test_deleted_evaluations_contradict_nothing_and_are_no_verdict(tmp_path):
    """Not 0/8 correct: nothing is known."""
    folder = write_run(tmp_path, "oracle", k=8)
    (folder / "evaluations.jsonl").unlink()
    records = RunRecords.load(folder)
    text = "\n".join(render(report_json(records), width=100))
    assert text.startswith("partial: 40 answers drawn and not judged\n")
    assert "-/8" in text and "0/8" not in text and METRICS["correct"](records.results(records.strategies[0])) is None


def test_rows_from_before_reasoning_was_told_apart_read_as_they_were(tmp_path):
    old = ("reasoning", "answer_part", "cut_off", "prompt_sha256", "prompt_tokens", "logprobs_missing", "answer_tokens")
    folder = write_run(tmp_path / "new", "surprisal", k=4)
    older = write_run(tmp_path / "old", "surprisal", k=4)
    for name in ("completions", "selections"):
        path = older / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [{key: value for key, value in row.items() if key not in (*old, "unranked")} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    new, read = RunRecords.load(folder), RunRecords.load(older)
    assert read.completions == new.completions and read.selections == new.selections
    assert all(each.score("answer", "mean") == each.mean_logprob for each in read.completions.values())


@pytest.mark.parametrize(
    ("name", "field", "value", "reason"),
    [
        ("evaluations", "speedup", "x", 'speedup is "x", not a number'),
        ("evaluations", "index", "0", 'index is "0", not a whole number'),
        ("evaluations", "index", True, "index is true, not a whole number"),
        ("evaluations", "seconds", 5, "seconds is 5, not an object"),
        ("evaluations", "flags", [3], "flags is [3], of which each must be a text"),
        ("evaluations", "evaluation_sha256", 7, "evaluation_sha256 is 7, not a text"),
        ("completions", "text", None, "text is null, not a text"),
        ("completions", "logprobs", [0.5, "x"], 'logprobs is [0.5, "x"], of which each must be a number'),
        ("selections", "considered", 5, "considered is 5, not a list"),
        ("selections", "fast", "no", 'fast is "no", not true or false'),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_line(tmp_path, name, field, value, reason):
    path = write_run(tmp_path, "oracle", k=2) / f"{name}.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), field: value}), *others]) + "\n")
    assert error_of(RunRecords.load, tmp_path) == (
        f"{path}:1: not a row of {name}.jsonl ({reason}); remove the line to read the rest"
    )
