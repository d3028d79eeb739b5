"""The training loop: its records, the steps that tasks and strategies share, and the work repeated after a kill."""

from dataclasses import asdict, replace

import pytest
from made_up_world import TASKS, FirstTokenPolicy, Killed, World, rows, run, search, strategy, untimed
from policies.random_models import llama

from pytest_kernelbench.adaptation.loop import Lineage
from pytest_kernelbench.errors import PolicyError, TaskError, UsageError
from pytest_kernelbench.pipeline import pool
from pytest_kernelbench.policies import require_trainable
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks


def test_a_row_a_step_says_what_was_sampled_how_it_did_and_how_it_was_made(tmp_path):
    world = World(tmp_path)
    run(world, strategy(holdout=2))
    steps = rows(world, "adaptation")
    assert [row["step"] for row in steps] == [0, 1, 2]
    assert [row["first_index"] for row in steps] == [0, 10, 20]
    assert [row["policy_version"] for row in steps] == [
        "made-up",
        *(f"made-up+{steps[0]['lineage']}.{n}" for n in (1, 2)),
    ]
    assert steps[0]["update"] is None and steps[0]["kl"] is None and steps[1]["kl"] > 0
    assert steps[1]["update"]["ratio_max"] == pytest.approx(1, abs=1e-5)
    assert (world.ledger.folder / steps[2]["checkpoint"] / "adapter_config.json").exists()
    drawn = rows(world, "completions")
    for row in steps:
        assert row["group"] == row["trained_on"] == [task.id for task in TASKS]
        own = [each for each in drawn if each["sampling_sha256"] == row["sampling_sha256"]]
        assert {each["policy_version"] for each in own} == {row["policy_version"]}
        for task, counts in row["tasks"].items():
            indices = sorted(each["index"] for each in own if each["task"] == task)
            assert indices == list(range(row["first_index"], row["first_index"] + 10))
            assert (counts["rollouts"], counts["holdout"]["rollouts"]) == (8, 2)
    judged = rows(world, "evaluations")
    assert sum(row["outcome"] == "void" for row in judged) >= sum(
        t["void"] for row in steps for t in row["tasks"].values()
    )


def test_the_choice_names_step_version_and_checkpoint_and_counts_every_rollout(tmp_path):
    world = World(tmp_path)
    for checkpoint in ("every", "best", "last", "best-per-task"):
        for selection in run(world, strategy(checkpoint, checkpoint=checkpoint)):
            assert selection.cost["rollouts"] == 24 and selection.cost["steps"] == 2
            assert selection.step == selection.index // 8
            assert selection.policy_version.endswith(f".{selection.step}" if selection.step else "made-up")
            assert selection.checkpoint_step == (None if checkpoint == "every" else selection.step)
    assert len(rows(world, "adaptation")) == 3  # one lineage for all four


def test_what_strategies_cost_adds_up_to_what_was_drawn_judged_and_read(tmp_path):
    world = World(tmp_path)
    selections = run(world, strategy(method="sdpo"))
    updates = [row["update"] for row in rows(world, "adaptation") if row["update"]]
    for tokens in ("update_tokens", "teacher_tokens"):
        spent = sum(selection.cost[tokens] for selection in selections)
        assert spent == pytest.approx(sum(update[tokens] for update in updates)) and spent > 0
    drawn = rows(world, "completions")
    assert sum(selection.cost["sampled_tokens"] for selection in selections) == sum(row["n_tokens"] for row in drawn)
    for selection in selections:
        correct = {row["source_sha256"] for row in rows(world, "evaluations") if row["task"] == selection.task}
        timed = [row for row in rows(world, "evaluations") if row["task"] == selection.task and row["speedup"]]
        assert len({row["source_sha256"] for row in timed}) * 0.5 <= selection.cost["evaluation_seconds"]
        assert selection.cost["evaluation_seconds"] <= len(correct) * 0.5
        parts = [selection.cost[f"{stage}_seconds"] for stage in ("sampling", "evaluation", "adaptation")]
        assert selection.cost["device_seconds"] == pytest.approx(sum(parts)) and min(parts) > 0


def test_step_0_is_best_of_n_s_own_samples(tmp_path):
    world = World(tmp_path)
    run(world, search(k=5))
    run(world, strategy(k=8))
    run(world, search("more", k=12))
    base = [row["index"] for row in rows(world, "completions") if row["policy_version"] == "made-up"]
    assert sorted(base) == sorted([*range(12)] * len(TASKS))


def test_without_a_learning_rate_adaptation_is_best_of_n_to_the_letter(tmp_path):
    still, plain = World(tmp_path / "still"), World(tmp_path / "plain")
    run(still, strategy(learning_rate=0.0))
    run(plain, search(k=24))
    texts = [{(row["task"], row["index"]): row["text"] for row in rows(each, "completions")} for each in (still, plain)]
    assert texts[0] == texts[1]
    assert [row["kl"] for row in rows(still, "adaptation")] == [None, *[pytest.approx(0, abs=1e-12)] * 2]


def test_killed_at_any_moment_adaptation_repeats_nothing_and_ends_the_same(tmp_path):
    whole = World(tmp_path / "whole")
    expected = run(whole, strategy())
    for moment in range(0, whole.ticks, 6):
        first = World(tmp_path / f"run{moment}", die_after=moment)
        with pytest.raises(Killed):
            run(first, strategy())
        second = World(tmp_path / f"run{moment}")
        assert [untimed(each.to_json()) for each in run(second, strategy())] == [
            untimed(each.to_json()) for each in expected
        ]
        assert sorted(first.evaluated + second.evaluated) == sorted(whole.evaluated)
        for name in ("completions", "adaptation"):
            assert sorted(map(str, map(untimed, rows(second, name)))) == sorted(
                map(str, map(untimed, rows(whole, name)))
            )


def test_a_kill_between_update_and_rollouts_leaves_a_checkpoint_that_is_used(tmp_path):
    whole, world = World(tmp_path / "whole"), World(tmp_path / "run")
    run(whole, strategy())
    run(world, strategy(steps=1))
    table = world.ledger.folder / "adaptation.jsonl"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    (world.ledger.folder / "selections.jsonl").unlink()
    world = World(tmp_path / "run")
    checkpoints = sorted(world.ledger.folder.glob("adapters/*/*"))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    run(world, strategy())
    assert [path.stat().st_mtime_ns for path in checkpoints] == before
    assert list(map(untimed, rows(world, "adaptation"))) == list(map(untimed, rows(whole, "adaptation")))


def test_more_steps_go_on_from_fewer_and_best_of_adaptation_takes_what_is_there(tmp_path):
    world = World(tmp_path)
    run(world, strategy("one", steps=1))
    sampled = len(rows(world, "completions"))
    run(world, strategy("patient", checkpoint="best", patience=1, steps=1))
    assert len(rows(world, "completions")) == sampled
    run(world, strategy("three", steps=3))
    assert [row["step"] for row in rows(world, "adaptation")] == [0, 1, 2, 3]


def test_one_adapter_a_task_learns_from_that_task_alone(tmp_path):
    alone, together = World(tmp_path / "alone", tasks=TASKS[:1]), World(tmp_path / "together")
    run(alone, strategy(scope="task"))
    run(together, strategy(scope="task"))
    assert len({row["lineage"] for row in rows(together, "adaptation")}) == 3
    first = [untimed(row) for row in rows(together, "adaptation") if row["group"] == [TASKS[0].id]]
    assert first == list(map(untimed, rows(alone, "adaptation")))


def test_a_finished_lineage_serves_a_session_of_fewer_tasks_and_an_unfinished_one_says_what_to_name(tmp_path):
    world = World(tmp_path)
    run(world, strategy())
    fewer = World(tmp_path, tasks=TASKS[:1])
    run(fewer, strategy("also", checkpoint="last"))
    assert len(fewer.evaluated) <= 1  # the choice, timed again
    with pytest.raises(UsageError) as caught:
        run(World(tmp_path, tasks=TASKS[:1]), strategy(steps=3))
    assert str(caught.value) == (
        "strategy adapting: adapts to 3 tasks in this run, and level1/2_Task is not collected now; "
        "name all of them again to go on"
    )
    other = replace(TASKS[0], id="level1/9_Other")
    with pytest.raises(UsageError, match="adapted to 3 other tasks here; name the same tasks, or start another run"):
        run(World(tmp_path, tasks=[other]), strategy())


def test_a_batch_is_the_next_tasks_of_shuffled_passes_and_the_ends_are_measured_on_all():
    group = tuple(f"level1/{number}_T" for number in range(6))
    lineage = Lineage(strategy=strategy(tasks_per_step=2, steps=6), group=group, tasks={}, seed=0)
    passes = [sum((lineage.trained_on(step) for step in range(start, start + 3)), ()) for start in (0, 3)]
    assert all(sorted(each) == sorted(group) for each in passes) and passes[0] != passes[1]
    assert lineage.sampled(0) == lineage.sampled(6) == group
    assert lineage.sampled(1) == lineage.trained_on(1)
    assert replace(lineage, seed=1).trained_on(0) != lineage.trained_on(0)
    everything = Lineage(strategy=strategy(), group=group, tasks={}, seed=0)
    assert everything.trained_on(0) == everything.sampled(1) == group


def test_what_was_learnt_on_some_tasks_is_tried_on_others_beside_the_policy_as_loaded(tmp_path):
    other = Task(id="level1/9_Other", source="class Model: 9\n")
    world = World(tmp_path, tasks=[other])
    (selection, _) = run(world, strategy(train_on="level1/1,level1/2", steps=1), search(k=8))
    (first, second) = rows(world, "adaptation")
    assert list(first["tasks"]) == first["group"] == list(second["tasks"])
    assert [task.split("_")[0] for task in first["group"]] == ["level1/1", "level1/2"]
    assert selection.checkpoint_step == 1
    # Its own eight, and two steps of eight for each of two tasks that were only trained on.
    assert selection.cost["rollouts"] == 8 + 2 * 2 * 8
    versions = [row["policy_version"] for row in rows(world, "completions") if row["task"] == other.id]
    assert versions == [second["policy_version"]] * 8 + ["made-up"] * 8


def test_tasks_to_train_on_that_are_not_there_are_told_with_the_setting_that_names_them(tmp_path):
    world = World(tmp_path)
    with pytest.raises(TaskError) as error:
        run(world, strategy(train_on="level0", steps=1))
    message = "strategy adapting: train_on=level0: no such level, file or folder; did you mean level1?"
    assert str(error.value) == message


def test_transfer_both_ways_and_the_policy_as_loaded_share_one_session_s_step_0(tmp_path):
    here, there = (strategy(name, train_on=name, checkpoint="last") for name in ("level1/1", "level1/2"))
    world = World(tmp_path, tasks=load_tasks(["level1/1", "level1/2"]))
    selections = run(world, search(k=8), here, there)
    drawn = rows(world, "completions")
    assert len({(row["policy_version"], row["task"], row["index"]) for row in drawn}) == len(drawn)
    base = [row for row in drawn if row["policy_version"] == "made-up"]
    assert len(base) == 2 * 8  # search's, and step 0 of both ways
    groups = {row["lineage"]: row["group"] for row in rows(world, "adaptation")}
    assert len(groups) == 2 and all(len(group) == 1 for group in groups.values())
    for task in world.tasks:
        last = {
            row["policy_version"] for row in drawn if row["task"] == task.id and row["policy_version"].endswith(".2")
        }
        assert len(last) == 2  # of the way that trained on it, and of the other
    assert [each.checkpoint_step for each in selections] == [None] * 2 + [2] * 4


def test_rlvr_ends_with_an_adapter_and_every_task_s_rollouts_of_it(tmp_path):
    world = World(tmp_path)
    settings = {"method": "dr-grpo", "tasks_per_step": 1, "steps": 3, "checkpoint": "last"}
    selections = run(world, strategy("rlvr", **settings))
    assert [list(row["tasks"]) for row in rows(world, "adaptation")][1:3] == [
        row["trained_on"] for row in rows(world, "adaptation")
    ][1:3]
    assert {selection.checkpoint_step for selection in selections} == {3}
    assert all(selection.step == 3 for selection in selections if selection.index is not None)


def test_the_policy_that_a_strategy_names_for_its_answers_is_the_one_it_trains(tmp_path):
    named = strategy(steps=2)
    named = replace(named, sampling=replace(named.sampling, policy="other"))
    world = World(tmp_path)
    other = FirstTokenPolicy(llama(vocab_size=16, intermediate_size=40))
    other.name = other.version = "other"
    world._policies["other"] = other
    run(world, named, strategy(steps=1))
    drawn = {row["policy_version"].partition("+")[0]: row for row in rows(world, "completions")}
    assert set(drawn) == {"other", "made-up"}
    for row in rows(world, "adaptation"):
        whose = "other" if row["step"] and row["policy_version"].startswith("other") else None
        if row["update"]:
            # Of another policy's answers the ratios would be anything.
            assert row["update"]["ratio_max"] == pytest.approx(1, abs=1e-5)
            assert row["update"]["ratio_min"] == pytest.approx(1, abs=1e-5)
            assert whose == "other" or row["policy_version"].startswith("made-up+")
    assert [row["policy_version"].partition("+")[0] for row in rows(world, "adaptation")] == [
        *["other"] * 3,
        *["made-up"] * 2,
    ]


def test_the_pool_of_an_adapting_strategy_holds_the_candidates_of_every_step_that_counts(tmp_path):
    world = World(tmp_path)
    every, last = strategy(), strategy("last", checkpoint="last")
    assert [each.candidate.index for each in pool(TASKS[0], every, world)] == [*range(24)]
    assert [each.candidate.index for each in pool(TASKS[0], last, world)] == [*range(16, 24)]
    drawn = len(rows(world, "completions"))
    (selection,) = run(world, every, tasks=TASKS[:1])
    assert selection.index in range(24) and len(rows(world, "completions")) == drawn


def test_weights_of_another_seed_have_another_name(tmp_path):
    for seed in (0, 1):
        run(World(tmp_path / str(seed), seed=seed), strategy(steps=1))
    versions = [
        {row["policy_version"] for row in rows(World(tmp_path / str(seed), seed=seed), "completions")} - {"made-up"}
        for seed in (0, 1)
    ]
    assert versions[0] and versions[1] and not versions[0] & versions[1]


def test_a_policy_whose_weights_are_elsewhere_cannot_adapt(tmp_path):
    (tmp_path / "answers.jsonl").write_text('{"task": "level1/1", "text": ""}\n')
    replay = ReplayPolicy(tmp_path / "answers.jsonl", name="replay:answers.jsonl")
    with pytest.raises(PolicyError) as caught:
        require_trainable(replay, "batch-ttt")
    assert str(caught.value) == (
        '--policy=replay:answers.jsonl: has no weights here to train, which strategy "batch-ttt" needs; '
        "use tiny, hf:ID_OR_PATH or tinker:MODEL"
    )


def test_a_selection_and_a_step_are_read_back_as_they_were(tmp_path):
    world = World(tmp_path)
    (selection, *_) = run(world, strategy())
    again = World(tmp_path)
    assert again.ledger.selection(TASKS[0].id, strategy()) == selection
    (lineage,) = {row["lineage"] for row in rows(world, "adaptation")}
    assert [asdict(step)["tasks"] for step in again.ledger.adaptation_steps(lineage)] == [
        row["tasks"] for row in rows(world, "adaptation")
    ]
