"""Best-of-Adaptation on the paper's own table, and its choice when a step is missing."""

import pytest

from pytest_kernelbench.adaptation.guardrails import broken
from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.selection.steps import (
    best,
    candidates_of,
    counted,
    fast_1_per_sample,
    finished,
    latest_fast_1,
    steps_a_pass,
)
from pytest_kernelbench.strategy import Adaptation, Ending

# arXiv 2602.07670, batch TTT at seed 42: fast rollouts of 32, by step, for tasks 4, 5, 12, 14 and 15.
TASKS = ("level1/4", "level1/5", "level1/12", "level1/14", "level1/15")
FAST_OF_32 = (
    (3, 1, 32, 12, 12),
    (9, 5, 32, 7, 11),
    (15, 2, 32, 6, 13),
    (8, 1, 32, 7, 10),
    (7, 1, 32, 5, 13),
    (8, 3, 32, 13, 10),
)


def counts(fast, *, rollouts=32, correct=32):
    return {
        **{"rollouts": rollouts, "correct": correct, "void": 0, "fast_1": fast, "fast_1_raw": fast, "distinct": 1},
        **{"sampled_tokens": 10 * rollouts, "reward": 0.0, "holdout": None},
    }


def step(number, tasks, **changes):
    update = {"update_tokens": 100, "teacher_tokens": 20} if number else None
    row = {"lineage": "a", "adaptation_sha256": "b", "group": TASKS, "first_index": 32 * number, "rollouts": 32}
    return AdaptationStep(
        **{**row, "step": number, "policy_version": f"v{number}", "update": update, "tasks": tasks, **changes}
    )


def table():
    return [step(number, dict(zip(TASKS, map(counts, fast), strict=True))) for number, fast in enumerate(FAST_OF_32)]


def test_the_paper_s_step_table_has_its_aggregates_and_its_best_step():
    steps = table()
    aggregates = [100 * fast_1_per_sample(each, TASKS) for each in steps]
    assert [round(each + 1e-9, 1) for each in aggregates] == [37.5, 40.0, 42.5, 36.3, 36.3, 41.3]
    assert best(steps).step == 2
    assert all(each.tasks[task]["fast_1"] > 0 for each in steps for task in TASKS)  # any of 32: 5 of 5, at every step


def test_with_patience_1_the_paper_stops_at_step_3_and_keeps_step_2():
    settings = Adaptation(checkpoint="best", ending=Ending(patience=1))
    taken = counted(table(), settings)
    assert [each.step for each in taken] == [0, 1, 2, 3]
    assert candidates_of(TASKS[0], taken, settings) == ([2], 2)


def in_turns(*fast_of_32):
    """Step 0 on both tasks, then one task a step, in turns."""
    first, *later = fast_of_32
    pair = TASKS[:2]
    steps = [step(0, dict(zip(pair, map(counts, first), strict=True)), group=pair)]
    for number, fast in enumerate(later, 1):
        steps.append(step(number, {pair[(number - 1) % 2]: counts(fast)}, group=pair))
    return steps


def test_where_steps_take_turns_patience_goes_by_the_latest_measurement_of_each_task():
    settings = Adaptation(steps=9, tasks_per_step=1, ending=Ending(patience=1))
    improving = in_turns((4, 4), 8, 8, 12, 12)
    assert latest_fast_1(improving) == [4 / 32, 6 / 32, 8 / 32, 10 / 32, 12 / 32]
    assert not any(finished(improving[:n], settings) for n in range(1, 6))


def test_where_steps_take_turns_patience_counts_whole_passes_over_the_tasks():
    settings = Adaptation(steps=9, tasks_per_step=1, ending=Ending(patience=1))
    falling = in_turns((4, 4), 3, 3, 2)
    assert steps_a_pass(2, settings) == 2
    assert [finished(falling[:n], settings) for n in (1, 2, 3)] == [False, False, True]
    assert [each.step for each in counted(falling, settings)] == [0, 1, 2]


def test_another_strategy_s_further_steps_are_not_counted():
    assert [each.step for each in counted(table(), Adaptation(steps=1))] == [0, 1]
    assert not finished(table()[:1], Adaptation(steps=1))
    assert finished(table()[:2], Adaptation(steps=1))


def test_equals_go_to_the_earlier_step():
    steps = [step(number, dict.fromkeys(TASKS, counts(4))) for number in range(3)]
    assert best(steps).step == 0


def test_the_per_task_oracle_takes_each_task_s_own_best_step():
    settings = Adaptation(checkpoint="best-per-task")
    assert [candidates_of(task, table(), settings)[1] for task in TASKS] == [2, 1, 0, 5, 2]


def test_every_step_s_candidates_count_where_the_task_was_sampled():
    steps = table()
    steps[1] = step(1, {TASKS[0]: counts(3)})
    settings = Adaptation(checkpoint="every")
    assert candidates_of(TASKS[0], steps, settings) == ([0, 1, 2, 3, 4, 5], None)
    assert candidates_of(TASKS[1], steps, settings) == ([0, 2, 3, 4, 5], None)


@pytest.mark.parametrize(("checkpoint", "step"), [("every", 5), ("last", 5), ("best", 2), ("best-per-task", 2)])
def test_a_task_that_was_not_trained_on_has_the_candidates_of_one_step(checkpoint, step):
    assert candidates_of("level1/99", table(), Adaptation(checkpoint=checkpoint)) == ([step], step)


def test_the_last_step_is_the_last_step():
    assert candidates_of(TASKS[0], table(), Adaptation(checkpoint="last")) == ([5], 5)


def test_with_a_holdout_the_step_is_chosen_by_it():
    steps = table()
    for number, fast in enumerate((3, 3, 2, 5)):
        for each in steps[number].tasks.values():
            each["holdout"] = counts(fast, rollouts=8)
    assert best(steps[:4]).step == 3


def test_a_step_that_was_not_measured_on_all_tasks_is_not_the_best_one():
    steps = [*table()[:2], step(2, {TASKS[0]: counts(32)})]
    assert best(steps).step == 1


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_where_a_guardrail_broke_the_best_step_before_is_kept(checkpoint):
    steps = [*table()[:4], step(4, {}, policy_version=None, stopped="not finite")]
    assert candidates_of(TASKS[0], steps, Adaptation(checkpoint=checkpoint)) == ([2], 2)
    assert candidates_of(TASKS[0], steps, Adaptation(checkpoint="every")) == ([0, 1, 2, 3], None)


def test_a_collapse_of_correctness_stops_and_says_on_what_measurement():
    start = step(0, dict.fromkeys(TASKS, counts(1, correct=24)))
    now = step(1, {TASKS[0]: counts(0, correct=2)})
    settings = Adaptation(ending=Ending(collapse=0.1))
    assert (
        broken([start, now], settings) == "correct rollouts fell from 75.0% to 6.2%, below collapse = 0.1 of the start"
    )
    assert broken([start, step(1, {TASKS[0]: counts(0, correct=3)})], settings) is None


def test_a_start_without_a_correct_rollout_cannot_collapse():
    nothing = dict.fromkeys(TASKS, counts(0, correct=0))
    assert broken([step(0, nothing), step(1, nothing)], Adaptation()) is None


def test_drifting_too_far_stops_and_says_how_far():
    steps = [*table()[:1], step(1, table()[1].tasks, kl=0.25)]
    assert broken(steps, Adaptation()) is None
    assert broken(steps, Adaptation(ending=Ending(max_kl=0.2))) == (
        "divergence from the start is 0.25 nats a token, above max_kl = 0.2"
    )
