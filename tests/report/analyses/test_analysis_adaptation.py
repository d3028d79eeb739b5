"""The analysis of adaptation: trajectories, the choice of a step, equivalent K, and the paper's table of steps."""

from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import MARGIN, Drawn, records_of
from scipy.stats import spearmanr

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.records import Probed, RunRecords, StrategyOfRun, merged
from pytest_kernelbench.report.stats import mean_interval
from pytest_kernelbench.strategy import Adaptation

# arXiv 2602.07670, subset 1, seed 42: fast rollouts of 32 at each step.
PAPER = {
    "level1/4_x": (3, 9, 15, 8, 7, 8),
    "level1/5_x": (1, 5, 2, 1, 1, 3),
    "level1/12_x": (32, 32, 32, 32, 32, 32),
    "level1/14_x": (12, 7, 6, 7, 5, 13),
    "level1/15_x": (12, 11, 13, 10, 13, 10),
}


def counts(fast: int, n: int = 32) -> dict[str, int]:
    return {"rollouts": n, "correct": n, "void": 0, "fast_1": fast, "fast_1_raw": fast, "distinct": n, "reward": 1.0}


def records_of_steps(
    fast: dict[str, tuple[int, ...]],
    *,
    holdout: dict[str, tuple[int, ...]] | None = None,
    base: dict[str, list[Drawn]] | None = None,
    rollouts: int = 32,
) -> RunRecords:
    """A lineage over all tasks; ``base`` are the candidates of its step 0."""
    steps = {}
    for number in range(len(next(iter(fast.values())))):
        of_tasks = {
            task: {
                **counts(row[number], rollouts),
                "holdout": counts(holdout[task][number], 8) if holdout else None,
            }
            for task, row in fast.items()
        }
        steps[0, "lineage", number] = AdaptationStep(
            lineage="lineage",
            adaptation_sha256="a",
            group=tuple(fast),
            step=number,
            policy_version=f"0+lineage.{number}" if number else "0",
            sampling_sha256="s" if number == 0 else f"s{number}",
            first_index=rollouts * number,
            rollouts=rollouts,
            trained_on=tuple(fast),
            tasks=of_tasks,
            kl=0.1 * number if number else None,
            update={"loss": -1.0, "seconds": 2.0, "update_tokens": 100} if number else None,
        )
    searched = records_of(base or {task: [] for task in fast})
    strategy = StrategyOfRun(
        name="ttt",
        k=rollouts,
        margin=MARGIN,
        sampling_sha256="s",
        evaluation_sha256="e",
        adaptation_sha256="a",
        adaptation=Adaptation(steps=8),
    )
    return RunRecords(
        options=searched.options,
        tasks=searched.tasks,
        strategies=(strategy,),
        completions=searched.completions,
        evaluations=searched.evaluations,
        adaptation=steps,
    )


def adaptation_of(records):
    (found,) = ANALYSES["adaptation"](Study.of(records))
    return found


def test_the_paper_s_step_table_gives_its_trajectory_and_its_checkpoint():
    found = adaptation_of(records_of_steps(PAPER))
    assert [100 * each for each in found["per_sample"]["verified"]["value"]] == pytest.approx(
        [37.5, 40.0, 42.5, 36.3, 36.3, 41.3], abs=0.051
    )
    assert found["checkpoint"]["best_step"] == 2
    assert found["checkpoint"]["early_stop_step"] == 2
    assert found["samples_per_task"] == 32 and found["steps"] == [0, 1, 2, 3, 4, 5]


def test_by_the_paper_s_own_table_any_of_32_solves_every_task_at_every_step():
    assert adaptation_of(records_of_steps(PAPER))["any_of_k"]["verified"]["value"] == [1.0] * 6


def test_the_paper_s_trajectory_is_no_evidence_of_a_change_and_its_best_step_is_what_choosing_gives():
    found = adaptation_of(records_of_steps(PAPER))
    assert found["flat_test"]["verified"]["p"] == pytest.approx(0.79, abs=0.005)
    assert found["flat_test_by_task"]["verified"]["degrees"] == 20
    assert found["flat_best_of"]["verified"] == pytest.approx(found["checkpoint"]["value"], abs=0.005)


def test_the_oracle_over_steps_is_each_task_s_own_best():
    best = [max(row) / 32 for row in PAPER.values()]
    assert adaptation_of(records_of_steps(PAPER))["checkpoint"]["oracle_per_task"] == pytest.approx(mean(best))


def test_a_step_chosen_on_held_out_rollouts_is_judged_on_the_others():
    fast = {"level1/1_x": (4, 8, 16), "level1/2_x": (4, 8, 16)}
    held_out = {"level1/1_x": (1, 4, 2), "level1/2_x": (1, 4, 2)}
    chosen = adaptation_of(records_of_steps(fast, holdout=held_out))["checkpoint"]
    assert (chosen["best_step"], chosen["held_out_step"]) == (2, 1)
    assert chosen["held_out_value"] == pytest.approx(8 / 32)
    without = adaptation_of(records_of_steps(fast))["checkpoint"]
    assert without["held_out_step"] is None and without["held_out_value"] is None


def test_early_stopping_ends_where_a_step_is_no_better():
    chosen = adaptation_of(records_of_steps({"level1/1_x": (4, 8, 8, 30)}))["checkpoint"]
    assert chosen["early_stop_step"] == 1 and chosen["best_step"] == 3


trajectories = st.integers(2, 5).flatmap(
    lambda steps: st.lists(st.tuples(*[st.integers(0, 32)] * steps), min_size=1, max_size=3)
)


@settings(deadline=None, max_examples=50)
@given(trajectories)
def test_each_rule_takes_the_step_that_it_says(rows):
    chosen = adaptation_of(records_of_steps({f"level1/{n}_x": row for n, row in enumerate(rows)}))["checkpoint"]
    means = [sum(column) / (32 * len(rows)) for column in zip(*rows, strict=True)]
    assert chosen["best_step"] == means.index(max(means)) and chosen["value"] == pytest.approx(max(means))
    worse = [step for step in range(1, len(means)) if means[step] <= means[step - 1] + 1e-12]
    assert chosen["early_stop_step"] == (worse[0] if worse else len(means)) - 1
    assert chosen["early_stop_value"] == pytest.approx(means[chosen["early_stop_step"]])
    assert chosen["oracle_per_task"] == pytest.approx(mean(max(row) / 32 for row in rows))


def test_a_run_without_adaptation_has_no_such_analysis():
    assert ANALYSES["adaptation"](Study.of(records_of({"level1/1_x": [Drawn(2.0)]}))) is None


def test_coverage_says_where_the_base_policy_left_something_to_learn():
    fast = {"level1/1_x": (0, 4), "level1/2_x": (16, 8), "level1/3_x": (32, 32)}
    found = adaptation_of(records_of_steps(fast))
    assert [each["regime"] for each in found["coverage"].values()] == ["none", "partial", "saturated"]
    assert found["coverage"]["level1/2_x"]["best_rate"] == 0.5
    assert found["checkpoint"]["best_step"] == 0
    assert found["coverage_regimes"]["none"] == {"units": 1, "base": 0.0, "at_best_step": 0.0}
    assert found["coverage_regimes"]["saturated"] == {"units": 1, "base": 1.0, "at_best_step": 1.0}


def test_coverage_over_30_percent_is_told_from_less_as_the_paper_does():
    fast = {"level1/1_x": (8, 12), "level1/2_x": (16, 8), "level1/3_x": (10, 10), "level1/4_x": (0, 4)}
    found = adaptation_of(records_of_steps(fast))["coverage_split"]
    assert found == {
        "over_30": {"units": 2, "base": 26 / 64, "at_best_step": 26 / 64},
        "up_to_30": {"units": 2, "base": 8 / 64, "at_best_step": 8 / 64},
    }


def test_what_the_steps_say_of_themselves_is_passed_on():
    found = adaptation_of(records_of_steps({"level1/1_x": (4, 16)}))
    assert found["losses"] == [None, -1.0] and found["kl"] == [None, 0.1] and found["seconds"] == [None, 2.0]


BASE = {"level1/1_x": [Drawn(2.0, -3.0), Drawn(0.5, -2.0), Drawn(0.6, -1.0), Drawn(None, -1.0)]}


def test_any_of_k_after_adaptation_is_worth_the_samples_that_search_needs_for_it():
    found = adaptation_of(records_of_steps({"level1/1_x": (1, 0)}, base=BASE, rollouts=4))
    assert found["equivalent_k"]["any_of_k"]["k"] == pytest.approx(4.0)


def test_a_rate_of_single_samples_is_not_compared_with_best_of_n():
    found = adaptation_of(records_of_steps({"level1/1_x": (1, 0)}, base=BASE, rollouts=4))
    assert found["equivalent_k"]["per_sample"]["k"] is None
    assert found["equivalent_k"]["per_sample"]["refusal"].endswith("they are different metrics")


def test_the_probe_correlates_each_step_s_own_surprise_with_speed_up():
    found = adaptation_of(records_of_steps({"level1/1_x": (1, 0)}, base=BASE, rollouts=4))
    (probe,) = found["probe"]
    assert found["probe_of"] == "own"
    assert probe["step"] == 0 and probe["n"] == 3 and probe["mean_nll"] == pytest.approx(2.0)
    assert probe["rho"] == pytest.approx(0.5)  # surprises 3, 2, 1 and speed-ups 2.0, 0.5, 0.6


def test_fixed_rollouts_that_were_scored_again_are_the_probe_and_keep_their_tail(tmp_path):
    """Eight rollouts of step 0: at step 1 the weights have turned the order of all but the two least expected."""
    nll_of_steps = [[8, 7, 6, 5, 4, 3, 2, 1], [8, 7, 1, 2, 3, 4, 5, 6]]
    probes = {
        (0, "lineage", step, "level1/1_x", index): Probed(nll=float(nll), speedup=1.0 + index)
        for step, row in enumerate(nll_of_steps)
        for index, nll in enumerate(row)
    }
    probes[0, "lineage", 0, "level1/1_x", 8] = Probed(nll=99.0, speedup=None)
    records = replace(records_of_steps({"level1/1_x": (4, 8)}), probes=probes)
    found = adaptation_of(records)
    assert found["probe_of"] == "fixed" and [each["n"] for each in found["probe"]] == [8, 8]
    assert found["probe"][0]["rho"] == pytest.approx(-1.0)
    assert found["probe"][1]["rho"] == pytest.approx(spearmanr(nll_of_steps[1], range(8)).statistic)
    assert found["probe"][1]["mean_nll"] == 4.5


def test_a_step_that_ended_the_lineage_without_rollouts_is_a_gap():
    records = records_of_steps({"level1/1_x": (4, 8)})
    stopped = AdaptationStep(
        lineage="lineage",
        adaptation_sha256="a",
        group=("level1/1_x",),
        step=2,
        first_index=64,
        rollouts=32,
        stopped="the loss is not finite",
    )
    steps = {**records.adaptation, (0, "lineage", 2): stopped}
    found = adaptation_of(replace(records, adaptation=steps))
    assert found["per_sample"]["verified"]["value"] == [4 / 32, 8 / 32, None]
    assert found["checkpoint"]["best_step"] == 1 and found["stopped"] == ["the loss is not finite"]


def test_a_lineage_that_ended_before_its_first_rollouts_is_no_trajectory():
    records = records_of_steps({"level1/1_x": (4, 8)})
    ended = {key: replace(step, tasks={}) for key, step in records.adaptation.items()}
    assert ANALYSES["adaptation"](Study.of(replace(records, adaptation=ended))) is None


def test_a_task_without_rollouts_is_left_out_and_the_others_are_not():
    records = records_of_steps({"level1/1_x": (4, 8), "level1/2_x": (4, 8)})
    some = {
        key: replace(step, tasks={"level1/1_x": step.tasks["level1/1_x"]}) for key, step in records.adaptation.items()
    }
    found = adaptation_of(replace(records, adaptation=some))
    assert list(found["per_task"]) == ["level1/1_x"]
    assert found["per_sample"]["verified"]["value"] == [4 / 32, 8 / 32]


def test_seeds_that_were_trained_apart_each_take_a_step_of_their_own():
    """One seed is best at step 1 and the other at step 2: a common step has 37.5 %, their own average 62.5 %."""
    runs = {}
    for seed, row in enumerate(((4, 20, 4), (4, 4, 20))):
        run = records_of_steps({"level1/1_x": row, "level1/2_y": row})
        steps = {(seed, lineage, number): step for (_, lineage, number), step in run.adaptation.items()}
        runs[f"seed {seed}"] = replace(run, options={**run.options, "seed": seed}, adaptation=steps)
    found = adaptation_of(merged(runs))
    chosen = found["checkpoint"]
    assert max(found["per_sample"]["verified"]["value"]) == pytest.approx(12 / 32)
    assert chosen["best_step"] is None and chosen["best_steps"] == [1, 2] and chosen["value"] == pytest.approx(20 / 32)
    assert found["by_seed"]["verified"] == {"0": [4 / 32, 20 / 32, 4 / 32], "1": [4 / 32, 4 / 32, 20 / 32]}
    gain = found["against_start"]["verified"]
    assert gain["value"] == pytest.approx([0, 8 / 32, 8 / 32])
    assert found["coverage_regimes"]["partial"]["at_best_step"] == pytest.approx(20 / 32)


def test_differences_to_step_0_are_paired_by_task():
    found = adaptation_of(records_of_steps({"level1/1_x": (4, 8), "level1/2_y": (20, 26), "level1/3_z": (0, 2)}))
    gain = found["against_start"]["verified"]
    assert gain["value"] == pytest.approx([0, 4 / 32])
    low, high = mean_interval([4 / 32, 6 / 32, 2 / 32])
    assert (gain["low"][1], gain["high"][1]) == pytest.approx((low, high)) and gain["low"][0] is None
