"""Adapt on A, evaluate on B, and back."""

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import pytest
from made_up_study import Drawn, records_of

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.strategy import Adaptation

A, B = ("level1/1_x", "level1/2_y"), ("level1/3_z", "level1/4_w")
FAST, SLOW = Drawn(2.0), Drawn(0.5)


def session(
    *,
    trained: dict[str, tuple[str, ...]],
    after: dict[str, dict[str, Sequence[Drawn]]],
    searched: int = 4,
    **more: object,
) -> RunRecords:
    """Search on A and B, where one of four answers is fast, and strategies that take one step of two rollouts.

    ``after`` holds, by strategy and task, the rollouts of the step.
    """
    records = records_of({task: [FAST, SLOW, SLOW, SLOW][:searched] for task in (*A, *B)}, k=searched)
    strategies, steps = list(records.strategies), {}
    completions, evaluations = dict(records.completions), dict(records.evaluations)
    for name, tasks in trained.items():
        strategies.append(
            replace(
                strategies[0],
                name=name,
                k=2,
                adaptation_sha256=name,
                adaptation=Adaptation(**{"steps": 1, "checkpoint": "last", "train_on": f"set of {name}", **more}),
            )
        )
        for number in range(2):
            steps[0, name, number] = AdaptationStep(
                lineage=name,
                adaptation_sha256=name,
                group=tasks,
                step=number,
                policy_version=f"{name}.{number}",
                sampling_sha256=f"{name}.1" if number else "s",
                first_index=2 * number,
                rollouts=2,
                trained_on=tasks,
                tasks={
                    task: {"rollouts": 2, "fast_1": 1, "fast_1_raw": 1, "correct": 2, "holdout": None} for task in tasks
                },
                update={"update_tokens": 1, "seconds": 1.0} if number else None,
            )
        for task, group in after[name].items():
            drawn = records_of({task: group})
            for index in range(len(group)):
                key = (f"{name}.1", task, 2 + index)
                completions[key] = replace(drawn.completions["s", task, index], index=key[2])
                evaluations[key[0], "e", task, key[2]] = drawn.evaluations["s", "e", task, index]
    return replace(
        records,
        strategies=tuple(strategies),
        completions=completions,
        evaluations=evaluations,
        adaptation=steps,
    )


BOTH_WAYS = session(
    trained={"there": A, "back": B},
    after={
        "there": {**dict.fromkeys(A, (FAST, FAST)), **dict.fromkeys(B, (SLOW, SLOW))},
        "back": {A[0]: [FAST, SLOW], A[1]: [SLOW, SLOW], **dict.fromkeys(B, (FAST, SLOW))},
    },
)


def transfer_of(records: RunRecords):
    return ANALYSES["transfer"](Study.of(records))


def value(cell, of: str, side: str, reading: str = "verified") -> float:
    return cell[of][reading][side]["value"]


def test_each_set_is_seen_before_and_after_adapting_to_it_and_to_the_other():
    found = transfer_of(BOTH_WAYS)
    assert found["sets"] == {"set of there": list(A), "set of back": list(B)}
    cells = {(row["strategy"], name): cell for row in found["rows"] for name, cell in row["cells"].items()}
    assert {key: cell["trained"] for key, cell in cells.items()} == {
        ("there", "set of there"): True,
        ("there", "set of back"): False,
        ("back", "set of there"): False,
        ("back", "set of back"): True,
    }
    rates = {key: value(cell, "per_sample", "adapted") for key, cell in cells.items()}
    assert list(rates.values()) == [1.0, 0.0, 0.25, 0.5]
    assert [value(cell, "any_of_k", "adapted") for cell in cells.values()] == [1.0, 0.0, 0.5, 1.0]


def test_the_base_has_as_many_answers_as_what_is_compared_with_it():
    """The first two of the four that search drew, one of which is fast."""
    for row in transfer_of(BOTH_WAYS)["rows"]:
        assert (row["step"], row["rollouts"], row["chosen_on_itself"]) == (1, 2, False)
        for cell in row["cells"].values():
            assert value(cell, "per_sample", "base") == 0.5 and value(cell, "any_of_k", "base") == 1.0
            for of in ("per_sample", "any_of_k"):
                change = value(cell, of, "adapted") - value(cell, of, "base")
                assert value(cell, of, "difference") == pytest.approx(change)


@pytest.mark.parametrize("seed", range(16))
def test_every_cell_of_random_rollouts_is_counted_again_by_hand(seed):
    """Incorrect ones, and ones that are raw fast alone, among them."""
    rng = random.Random(seed)
    kinds = {"fast": FAST, "slow": SLOW, "wrong": Drawn(None), "raw alone": Drawn(1.005)}
    said = {task: [rng.choice(list(kinds)) for _ in range(2)] for task in (*A, *B)}
    trained = rng.choice([A, B, A[:1]])
    drawn = {task: [kinds[each] for each in group] for task, group in said.items()}
    (row,) = transfer_of(session(trained={"there": trained}, after={"there": drawn}))["rows"]
    assert {name: cell["trained"] for name, cell in row["cells"].items()} == {"set of there": True, "others": False}
    for name, tasks in (("set of there", trained), ("others", [task for task in (*A, *B) if task not in trained])):
        for reading, fast in (("verified", {"fast"}), ("raw", {"fast", "raw alone"})):
            hits = [[each in fast for each in said[task]] for task in tasks]
            rates = {"per_sample": [mean(each) for each in hits], "any_of_k": [float(any(each)) for each in hits]}
            base = {"per_sample": 0.5, "any_of_k": 1.0}
            for of, values in rates.items():
                cell = row["cells"][name]
                assert value(cell, of, "adapted", reading) == pytest.approx(mean(values))
                assert value(cell, of, "difference", reading) == pytest.approx(mean(values) - base[of])


def test_without_search_there_is_no_base_and_the_cell_says_what_to_add():
    found = transfer_of(
        session(trained={"there": A}, after={"there": dict.fromkeys((*A, *B), (FAST, FAST))}, searched=1)
    )
    assert found["rows"][0]["cells"]["others"] == {
        "trained": False,
        "refusal": "no strategy drew 2 answers of the policy as loaded; add one that does: best-of-64",
    }


def test_a_step_that_the_others_were_not_sampled_at_is_refused():
    found = transfer_of(session(trained={"there": A}, after={"there": dict.fromkeys(A, (FAST, FAST))}))
    assert found["rows"][0]["cells"]["others"]["refusal"] == (
        "the step that was settled on was not sampled on all of these tasks"
    )
    assert value(found["rows"][0]["cells"]["set of there"], "per_sample", "adapted") == 1.0


@pytest.mark.parametrize(("holdout", "flattered"), [(0, True), (2, False)])
def test_a_step_chosen_by_the_rollouts_shown_is_said_to_be(holdout, flattered):
    records = session(
        trained={"there": A},
        after={"there": dict.fromkeys((*A, *B), (FAST, FAST))},
        checkpoint="best",
        holdout=holdout,
    )
    assert transfer_of(records)["rows"][0]["chosen_on_itself"] is flattered


def test_a_run_whose_tasks_were_all_trained_on_transfers_nothing():
    assert transfer_of(session(trained={"there": (*A, *B)}, after={"there": {}})) is None
    assert transfer_of(records_of({A[0]: [FAST]})) is None
    assert transfer_of(replace(BOTH_WAYS, strategies=(StrategyOfRun(name="search", k=4),))) is None
