"""Every method raises the rate of rewarded rollouts; rules that end a lineage, tasks left out, and a teacher."""

import pytest
from made_up_world import TASKS, World, correct_rates, rows, run, search, strategy, untimed

from pytest_kernelbench.adaptation.advantages import ADVANTAGES
from pytest_kernelbench.adaptation.guardrails import NOT_FINITE

# Where learning is expected, larger steps show it sooner.
LEARNING_FAST = {"steps": 5, "reward": "correct", "k": 16, "learning_rate": 3e-3, "max_of": 2}
LEARNING = {"steps": 8, "reward": "correct", "k": 24, "learning_rate": 1e-3, "max_of": 2}


@pytest.mark.parametrize("method", ADVANTAGES)
def test_every_method_raises_the_rate_of_what_is_rewarded(method, tmp_path):
    world = World(tmp_path)
    run(world, strategy(method=method, **LEARNING_FAST), tasks=TASKS[:1])
    start, *_, end = correct_rates(world)
    assert end > start + 0.3


@pytest.mark.parametrize("method", ["batch", "maxk"])
def test_shuffled_rewards_give_no_gain_beyond_noise(method, tmp_path):
    world = World(tmp_path)
    run(world, strategy(method=method, shuffle_rewards=True, **LEARNING), tasks=TASKS[:1])
    start, *_, end = correct_rates(world)
    standard_error = (2 * 0.25 / (24 * len(TASKS))) ** 0.5  # of a difference of two rates near a half
    assert end < start + 2 * standard_error


def test_a_collapse_of_correctness_stops_and_the_best_step_before_is_kept(tmp_path):
    world = World(tmp_path)
    (selection,) = run(world, strategy(steps=4, collapse=2.0, checkpoint="last"), tasks=TASKS[:1])
    steps = rows(world, "adaptation")
    assert len(steps) == 2
    assert steps[1]["stopped"].endswith("below collapse = 2 of the start")
    assert selection.checkpoint_step in (0, 1)


def test_an_update_that_is_not_finite_ends_the_lineage_and_search_remains(tmp_path):
    world = World(tmp_path)
    selections = run(world, strategy(steps=4, learning_rate=1e20, checkpoint="last"))
    *_, last = steps = rows(world, "adaptation")
    assert len(steps) == 2 and last["stopped"] == NOT_FINITE
    assert (last["policy_version"], last["tasks"], last["checkpoint"]) == (None, {}, None)
    assert all(selection.checkpoint_step == 0 for selection in selections)


def test_self_distillation_counts_what_the_teacher_read(tmp_path):
    world = World(tmp_path)
    run(world, strategy("feedback", method="sdpo", steps=1))
    run(world, strategy("prompt-only", method="sdpo", steps=1, feedback=False))
    run(world, strategy("masked", method="sdpo", steps=1, feedback=False, mask=True))
    feedback, prompt_only, masked = (row["update"] for row in rows(world, "adaptation") if row["update"])
    assert feedback["teacher_tokens"] > prompt_only["teacher_tokens"] > 0
    assert prompt_only["rollouts"] > 0
    assert (masked["teacher_tokens"], masked["rollouts"], masked["update_tokens"]) == (0, 0, 0)


def test_a_teacher_of_average_weights_is_the_student_at_first_and_then_lags_behind_killed_or_not(tmp_path):
    updates = {}
    for teacher in ("current", "average", "start"):
        world = World(tmp_path / teacher)
        run(world, strategy(method="sdpo", teacher=teacher, teacher_rate=0.5, distil="distribution", top_k=4))
        updates[teacher] = [row["update"] for row in rows(world, "adaptation") if row["update"]]
    assert len({each[0]["loss"] for each in updates.values()}) == 1
    assert len({each[1]["loss"] for each in updates.values()}) == 3
    settings = {"method": "sdpo", "teacher": "average", "teacher_rate": 0.5, "distil": "distribution", "top_k": 4}
    run(World(tmp_path / "killed"), strategy("one", **{**settings, "steps": 1}))
    world = World(tmp_path / "killed")
    run(world, strategy(**settings))
    again = [untimed(row["update"]) for row in rows(world, "adaptation") if row["update"]]
    assert again == [untimed(each) for each in updates["average"]]


def test_filters_leave_out_groups_of_equal_rewards_and_answers_that_were_cut_off(tmp_path):
    world = World(tmp_path)
    run(world, strategy(steps=1, drop_truncated=True), tasks=TASKS[:1])
    drawn = [row for row in rows(world, "completions") if row["policy_version"] == "made-up"]
    ended = sum(row["stop_reason"] == "stop" for row in drawn)
    (update,) = (row["update"] for row in rows(world, "adaptation") if row["update"])
    assert update["rollouts"] <= ended < len(drawn)


@pytest.mark.parametrize("method", ["grpo", "batch"])
def test_a_group_that_is_dropped_leaves_nothing_behind_not_even_in_the_divisor(tmp_path, method):
    settings = {"method": method, "reward": "correct", "reduction": "token-mean", "steps": 1, "k": 2, "entropy": 0.1}
    seed, telling = next(found for seed in range(20) if 0 < len((found := groups_that_tell(tmp_path, seed))[1]) < 3)
    dropping, alone, keeping = (World(tmp_path / name, seed=seed) for name in ("dropping", "alone", "keeping"))
    alone.tasks = telling
    run(dropping, strategy(drop_equal=True, **settings))
    run(alone, strategy(**settings))
    run(keeping, strategy(**settings))
    dropped, of_few, of_all = (rows(each, "adaptation")[1]["update"] for each in (dropping, alone, keeping))
    same = ("loss", "grad_norm", "rollouts", "update_tokens", "advantage_mean", "advantage_sd")
    assert [dropped[key] for key in same] == [pytest.approx(of_few[key], rel=1e-5) for key in same]
    assert dropped["loss"] != pytest.approx(of_all["loss"], rel=1e-3)


def groups_that_tell(tmp_path, seed):
    """The seed, and those tasks of two rollouts each of which one is correct and the other not."""
    world = World(tmp_path / f"seed{seed}", seed=seed)
    run(world, search(k=2))
    right = {
        task.id: {row["outcome"] == "correct" for row in rows(world, "evaluations") if row["task"] == task.id}
        for task in TASKS
    }
    return seed, [task for task in TASKS if len(right[task.id]) == 2]


def test_what_was_cut_off_is_not_in_the_divisor(tmp_path):
    world, kept = World(tmp_path / "dropping"), World(tmp_path / "keeping")
    settings = {"reduction": "token-mean", "steps": 1, "entropy": 0.1, "learning_rate": 0.0}
    run(world, strategy(drop_truncated=True, **settings), tasks=TASKS[:1])
    run(kept, strategy(**settings), tasks=TASKS[:1])
    drawn = [row for row in rows(world, "completions") if row["policy_version"] == "made-up"]
    ended = [row for row in drawn if row["stop_reason"] == "stop"]
    update, of_all = (rows(each, "adaptation")[1]["update"] for each in (world, kept))
    assert (update["rollouts"], of_all["rollouts"]) == (len(ended), len(drawn))
