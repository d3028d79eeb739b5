"""To accept a new look: read the difference, then write what ``report()`` returns to ``terminal.golden.txt``."""

import json
import re
from pathlib import Path

import pytest
from made_up_run import STUDY_TASKS, TASKS, make_synthetic_run, write_run

from pytest_kernelbench.records import Selection
from pytest_kernelbench.report.records import merged
from pytest_kernelbench.report.render import RunRecords, StrategyOfRun, render, report_json

GOLDEN = Path(__file__).with_name("terminal.golden.txt")
STUDIED = [f"level1/{name}" for name in STUDY_TASKS[:5]]
LABEL = "tiny is a small model trained on these tasks: its scores say nothing about any other model."
STRATEGIES = ("oracle", "surprisal-top3", "surprisal", "random", "confidence")
PAPER_S_TABLE = [
    "strategy     fast_1 [95 %]    raw  geomean [95 %]  median   mean   kept",
    "oracle     100 % [48, 100]  100 %           60.8x   23.8x   221x  100 %",
    "surprisal  80 % [28, 99.5]   80 %           13.9x   15.6x  32.8x  100 %",
]


def report(folder: Path, width: int = 100) -> str:
    return "".join(line + "\n" for line in render(report_json(RunRecords.load(folder)), width=width))


def test_the_report_of_five_strategies_looks_like_the_golden_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_run(Path("run"), *STRATEGIES, policy_label=LABEL, lost=TASKS[3:4])
    with (folder / "selections.jsonl").open("a") as file:
        file.write('{"task": "level1/12_Mat')
    assert report(folder) == GOLDEN.read_text()


def test_one_strategy_needs_no_column_to_name_it(tmp_path):
    first_table = report(write_run(tmp_path, "surprisal-top3")).split("\n\n")[1].splitlines()
    assert first_table[0].split() == ["task", "correct", "chosen", "speed-up", "[95", "%]", "verdict"]
    assert len(first_table) == 1 + len(TASKS)


def test_strategies_that_chose_the_same_candidate_share_a_line(tmp_path):
    text = report(write_run(tmp_path, "oracle", "best-of-64", "random"))
    assert "oracle, best-of-64" in text
    assert text.count("all 3") == 2  # where random chose the fastest, and where nothing could be chosen


@pytest.mark.parametrize("width", [40, 80, 90, 100, 132])
def test_the_report_fits_the_terminal_from_80_columns_on(tmp_path, width):
    folder = write_run(tmp_path, *STRATEGIES, policy_label=LABEL)
    assert max(map(len, report(folder, width).splitlines())) <= max(width, 80)


def test_a_speed_up_that_was_not_timed_again_is_marked(tmp_path):
    text = report(write_run(tmp_path, "oracle", confirm=False))
    assert "]*  correct\n" in text
    assert "* no second timing: the first one chose the candidate and is biased upwards" in text
    assert "* not" not in report(write_run(tmp_path, "oracle"))


def test_the_null_and_the_label_are_said_only_where_there_are_any(tmp_path):
    text = report(write_run(tmp_path, "oracle", null=False))
    assert "null:" not in text and LABEL not in text
    assert "null: the reference against itself is fast in 0 of 5 (0 % [0, 52]), raw 5 of 5\n" in report(
        write_run(tmp_path, "oracle")
    )


def test_an_empty_run_still_has_a_report(tmp_path):
    assert report(write_run(tmp_path, "oracle", tasks=(), null=False)).startswith("0 tasks, policy tiny")


def test_a_run_that_stopped_before_its_first_row_shows_every_task_as_missing(tmp_path):
    assert report(write_run(tmp_path, "oracle", lost=TASKS)).count("missing\n") == len(TASKS)


def test_the_table_of_strategies_shows_what_the_paper_s_selection_table_does():
    # Best-of-64 of the paper, seed 42, and a made-up choice that misses one task of the five.
    speedups = {"oracle": (859.8, 191.7, 23.8, 15.6, 13.6), "surprisal": (110.0, 0.95, 23.8, 15.6, 13.6)}
    selections = {
        (task, name): Selection(
            task=task,
            strategy=name,
            index=0,
            considered=(0,),
            cost={},
            speedup=speedup,
            confirmed_speedup=speedup,
            confirmed_low=0.99 * speedup,
            confirmed_high=1.01 * speedup,
            fast=speedup > 1.01,
            fast_raw=speedup > 1,
        )
        for name, chosen in speedups.items()
        for task, speedup in zip(TASKS, chosen, strict=True)
    }
    strategies = tuple(StrategyOfRun(name=name, k=64) for name in speedups)
    records = RunRecords(options={}, tasks=TASKS, strategies=strategies, selections=selections)
    lines = render(report_json(records), width=100)
    start = next(number for number, line in enumerate(lines) if line.startswith("strategy"))
    assert lines[start : start + 3] == PAPER_S_TABLE


def study(tmp_path, **more):
    folders = make_synthetic_run(tmp_path, k=16, strategies=("oracle", "random"), **more)
    return report_json(merged({str(folder): RunRecords.load(folder) for folder in folders}))


def test_over_several_seeds_a_task_is_a_column_that_counts_the_fast_ones(tmp_path):
    content = study(tmp_path, tasks=5, seeds=(0, 1, 2))
    lines = render(content, width=100)
    assert lines[0].startswith("5 tasks, 3 seeds, policy tiny")
    start = next(number for number, line in enumerate(lines) if line.startswith("fast, of 3 seeds: level1"))
    assert lines[start].split()[5:] == ["4", "5", "12", "14", "15"]
    fast = [task for task, row in content["strategies"]["oracle"]["tasks"].items() if row["verdict"] == "fast"]
    counts = [sum(content["units"][unit]["task"] == task for unit in fast) for task in STUDIED]
    assert lines[start + 1].split() == ["oracle", *map(str, counts)]


def test_a_study_of_many_tasks_and_steps_fits_the_terminal(tmp_path):
    wide, long = study(tmp_path / "wide", tasks=20, seeds=(0, 1)), study(tmp_path / "long", tasks=2, steps=20)
    for content in (wide, long):
        for width in (80, 100):
            assert max(map(len, render(content, width=width))) <= width


def test_adaptation_is_told_step_by_step_with_what_choosing_a_step_is_worth(tmp_path):
    lines = render(study(tmp_path, tasks=5, steps=3), width=100)
    start = next(number for number, line in enumerate(lines) if line.startswith("batch-ttt, %, at step"))
    assert [line.split("  ")[0] for line in lines[start + 1 : start + 5]] == [
        "per sample",
        "per sample, raw",
        "any of 4",
        "correct",
    ]
    said = " ".join(lines[start + 5 :]).split("null:")[0]
    assert "is the best by its own rollouts" in said
    assert "the best of 4 would show" in said and "if no step differed" in said
    assert "equal rates at all steps have p =" in said and "held-out rollouts choose step" in said
    assert "samples of step 0" in said


def test_adaptation_is_set_beside_search_for_as_many_answers_and_on_tasks_that_it_did_not_train_on(tmp_path):
    content = study(tmp_path, tasks=5, steps=3)
    (budget,) = content["analyses"]["cost"]["equal_budget"]
    text = " ".join(render(content, width=100))
    assert f"for {budget['rollouts']} answers a task, the steps to {budget['step']} have a fast one for" in text
    lines = render(content, width=80)
    start = next(number for number, line in enumerate(lines) if line.startswith("transfer, verified, %"))
    assert lines[start].endswith("  any of 4")
    assert lines[start + 1].startswith("batch-ttt on t…atch-ttt (3) *  ")
    assert lines[start + 2].startswith("batch-ttt on others (2)  ") and " -> " in lines[start + 2]
    assert max(map(len, lines)) <= 80


def test_a_step_that_was_chosen_by_the_rollouts_shown_is_marked(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=5, k=8, steps=2, strategies=("oracle",))  # too few to hold any out
    text = report(run)
    assert " (3) *!  " in text and "!: the step was chosen by these very rollouts, which flatters it\n" in text
    assert "*!" not in "\n".join(render(study(tmp_path / "held out", tasks=5, steps=2), width=100))


def test_what_a_task_took_is_said_and_how_near_the_chosen_kernels_are_to_the_floor(tmp_path):
    folder = write_run(tmp_path, "oracle", "random", k=8)
    for name in ("evaluations", "confirmations"):
        path = folder / f"{name}.jsonl"
        if path.exists():
            path.write_text(path.read_text().replace('"floor_ms": null', '"floor_ms": 0.2'))
    lines = report(folder).splitlines()
    assert lines[2].split() == [
        "task",
        "correct",
        "chosen",
        "floor",
        "at",
        "most",
        "speed-up",
        "[95",
        "%]",
        "verdict",
        "by",
    ]
    assert any(" 5.00x " in line for line in lines[3:9])  # 1 ms over 0.2 ms
    assert "at most: the largest speed-up that the floor allows" in lines
    start = next(number for number, line in enumerate(lines) if line.startswith("a task took"))
    assert lines[start].split() == ["a", "task", "took", "answers", "tokens", "timed", "of", "the", "floor"]
    assert lines[start + 1].split()[:2] == ["oracle", "8"] and lines[start + 1].endswith("(4 of 5)")
    assert "beyond it: a CPU's floor is one timed copy" in " ".join(lines)  # 20 times as fast as 1 ms
    assert not any("floor" in line for line in report(write_run(tmp_path / "without", "oracle")).splitlines())


def test_a_trajectory_without_a_fast_rollout_has_no_best_step(tmp_path):
    content = study(tmp_path, tasks=1, steps=2)  # no program of the first task is correct
    lines = render(content, width=100)
    assert "no rollout of any step is verified fast" in lines
    assert not any("best by its own" in line for line in lines)


def test_answers_without_a_candidate_are_counted_by_reason_and_those_cut_off_too(tmp_path):
    folder = write_run(tmp_path, "oracle")

    def changed(name, change):
        path = folder / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, **change(number)}) + "\n" for number, row in enumerate(rows)))
        return len(rows)

    empty = {"outcome": "no_source", "source_sha256": None, "speedup": None, "counted": None, "attested": None}
    reasons = ["is a refusal", "is a refusal", "defines a function ModelNew"]
    judged = changed("evaluations", lambda n: {**empty, "detail": f"the answer {reasons[n]}"} if n < 3 else {})
    drawn = changed("completions", lambda n: {"cut_off": True} if n < 2 else {})
    text = report(folder, 132)
    assert f"no source: 3 of {judged} answers (is a refusal: 2; defines a function ModelNew: 1)\n" in text
    assert re.search(rf"^cut off at \d+ tokens: 2 of {drawn} answers; a larger max_tokens may help$", text, re.M)


def test_what_was_remarked_in_a_run_is_a_note_of_its_report(tmp_path):
    folder = write_run(tmp_path, "oracle")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "remarks": {"replay:a": "replay:a has rows for level1/7"}}))
    assert "note: replay:a has rows for level1/7\n" in report(folder)
