"""One item with a made-up policy and evaluator: the requests to both, the records, and steps that are not repeated."""

import json

import pytest
from made_up_bench import SPEEDUPS, TASK, WORDS, Bench, Killed, module, rows, strategy, untimed

from pytest_kernelbench.errors import CandidateFault, HarnessError, PolicyError
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Completion


def test_each_distinct_source_is_judged_once_and_every_candidate_has_a_row(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    run_item(TASK, strategy(), bench)
    assert bench.evaluated == ["good", "wrong", "best", "best"]  # the last: confirmed on fresh inputs
    outcomes = {row["index"]: row["outcome"] for row in rows(bench, "evaluations")}
    assert outcomes == {0: "correct", 1: "incorrect", 2: "correct", 3: "no_source", 4: "correct"}


def test_the_choice_carries_both_timings_and_fast_is_decided_on_the_second(tmp_path):
    chosen = run_item(TASK, strategy(), Bench(tmp_path / "a", WORDS, SPEEDUPS, again={"best": 1.06})).selection
    assert (chosen.index, chosen.speedup, chosen.confirmed_speedup) == (4, 2.0, 1.06)
    assert chosen.fast_raw and not chosen.fast  # 1.04 is not above 1 + margin
    chosen = run_item(TASK, strategy(), Bench(tmp_path / "b", WORDS, SPEEDUPS, again={"best": 1.08})).selection
    assert chosen.fast


def test_a_choice_says_what_it_took_and_a_source_that_was_drawn_twice_is_judged_once(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    cost = run_item(TASK, strategy(), bench).selection.cost
    sampling = sum(row["seconds"] for row in rows(bench, "completions"))
    assert cost == {
        **{"rollouts": 5, "timed": 2, "sampled_tokens": 5, "steps": 0, "teacher_tokens": 0, "update_tokens": 0},
        **{"sampling_seconds": pytest.approx(sampling, abs=1e-3), "evaluation_seconds": 3 * 0.5},
        **{"adaptation_seconds": 0.0, "device_seconds": pytest.approx(sampling + 1.5, abs=1e-3)},
    }


def test_of_recorded_answers_that_do_not_say_what_they_took_the_cost_is_not_known(tmp_path):
    lines = [{"task": TASK.id, "text": f"```python\n{module('good')}```", **more} for more in ({}, {"seconds": 2.5})]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    bench = Bench(tmp_path / "run", WORDS, SPEEDUPS)
    bench.policy_for = lambda strategy: ReplayPolicy(tmp_path / "answers.jsonl", name="replay")
    cost = run_item(TASK, strategy(), bench).selection.cost
    assert (cost["sampled_tokens"], cost["sampling_seconds"], cost["device_seconds"]) == (None, None, None)
    assert [row["seconds"] for row in rows(bench, "completions")] == [None, 2.5]


def test_a_choice_that_is_wrong_the_second_time_is_no_choice(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS, again={"best": None})
    chosen = run_item(TASK, strategy(), bench).selection
    assert (chosen.index, chosen.fast, chosen.fast_raw, chosen.speedup) == (None, False, False, None)
    assert [row["outcome"] for row in rows(bench, "confirmations")] == ["incorrect"]


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["wrong", "best", "best"], {"by": "fastest"}),
        (["good", "good", "best"], {"by": "surprisal"}),
        (["wrong", None, "good"], {"by": "surprisal", "top": 3}),
    ],
)
def test_a_choice_that_no_timing_made_is_decided_by_its_one_timing(tmp_path, words, changes):
    bench = Bench(tmp_path, words, SPEEDUPS, again={"best": 1.0, "good": 1.0})
    outcome = run_item(TASK, strategy(k=3, **changes), bench)
    chosen = outcome.selection
    assert not chosen.retimed and chosen.confirmed_speedup == chosen.speedup and chosen.fast
    assert outcome.confirmation == outcome.chosen.evaluation
    assert rows(bench, "confirmations") == [] and len(bench.evaluated) == len(set(bench.evaluated))
    again = run_item(TASK, strategy(k=3, **changes), bench)
    assert (again.selection, again.confirmation) == (chosen, outcome.confirmation)


def test_a_choice_among_several_by_their_timings_is_timed_again(tmp_path):
    bench = Bench(tmp_path, ["good", "wrong", "best"], SPEEDUPS)
    assert run_item(TASK, strategy(k=3, by="surprisal", top=3), bench).selection.retimed
    assert len(rows(bench, "confirmations")) == 1


def test_a_task_without_a_correct_candidate_is_unsolved_and_nothing_is_timed_again(tmp_path):
    bench = Bench(tmp_path, WORDS, {})
    chosen = run_item(TASK, strategy(), bench).selection
    assert (chosen.index, chosen.considered) == (None, ())
    assert (chosen.cost["rollouts"], chosen.cost["timed"]) == (5, 0)
    assert rows(bench, "confirmations") == []


def test_strategies_share_samples_evaluations_and_the_confirmation_of_one_source(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    first = run_item(TASK, strategy("fastest"), bench).selection
    before = list(bench.evaluated)
    second = run_item(TASK, strategy("top5", by="surprisal", top=5), bench).selection
    assert second.index == first.index == 4
    assert bench.evaluated == before
    assert bench.sampled == [0, 1, 2, 3, 4]


def test_a_larger_k_samples_only_what_is_missing(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    run_item(TASK, strategy("three", k=3), bench)
    assert bench.sampled == [0, 1, 2]
    run_item(TASK, strategy("five", k=5), bench)
    assert bench.sampled == [0, 1, 2, 3, 4]
    assert len(rows(bench, "evaluations")) == 5


@pytest.mark.parametrize(
    ("asked", "protocol", "count"),
    [
        (None, "full", 1),
        (None, "fast", 0),
        (True, "fast", 1),
        (False, "full", 0),
    ],
)
def test_the_null_is_judged_once_a_task(tmp_path, asked, protocol, count):
    bench = Bench(tmp_path, WORDS, SPEEDUPS, null=asked)
    run_item(TASK, strategy("one", protocol=protocol), bench)
    run_item(TASK, strategy("two", by="random", protocol=protocol), bench)
    assert [row["index"] for row in rows(bench, "null")] == [None] * count


def test_the_choice_alone_is_timed_beside_each_stronger_baseline_and_one_source_once(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS).timed_against("compile", "another")
    for each in (strategy(), strategy("oracle")):
        run_item(TASK, each, bench)
    assert bench.beside == [("best", "compile"), ("best", "another")]
    assert [row["baseline"] for row in rows(bench, "baselines")] == ["compile", "another"]
    assert "level1/1: timing the choice against compile" in bench.lines


def test_a_baseline_is_timed_beside_itself_where_the_null_is_asked_for_outright(tmp_path):
    for name, null, count in (("asked", True, 1), ("by the protocol", None, 0)):
        bench = Bench(tmp_path / name, WORDS, SPEEDUPS, null=null).timed_against("compile")
        run_item(TASK, strategy(protocol="full"), bench)
        run_item(TASK, strategy("oracle", protocol="full"), bench)
        assert bench.beside == [("best", "compile"), *[("reference", "compile")] * count]
        assert [row["null"] for row in rows(bench, "baselines")] == [False, *[True] * count]


def test_without_a_choice_nothing_is_timed_beside_a_baseline(tmp_path):
    bench = Bench(tmp_path, WORDS, {**SPEEDUPS, "best": None, "good": None}).timed_against("compile")
    assert run_item(TASK, strategy(), bench).selection.index is None
    assert bench.beside == [] and rows(bench, "baselines") == []


def test_a_run_that_died_beside_a_baseline_keeps_its_choice_and_goes_on_there(tmp_path):
    first = Bench(tmp_path, WORDS, SPEEDUPS, die_after=10).timed_against("compile", "another")
    with pytest.raises(Killed):
        run_item(TASK, strategy(), first)
    assert (first.beside, len(rows(first, "selections"))) == ([("best", "compile")], 1)
    second = Bench(tmp_path, WORDS, SPEEDUPS).timed_against("compile", "another")
    assert run_item(TASK, strategy(), second).selection.fast
    assert (second.sampled, second.evaluated, second.beside) == ([], [], [("best", "another")])


# 5 samples, 3 distinct sources, 1 confirmation, 1 null: dying before each of these, and not at all.
@pytest.mark.parametrize("moment", range(11))
def test_killed_at_any_moment_a_run_repeats_nothing_and_misses_nothing(tmp_path, moment):
    whole = Bench(tmp_path / "whole", WORDS, SPEEDUPS, null=True)
    expected = run_item(TASK, strategy(), whole).selection
    first = Bench(tmp_path / "run", WORDS, SPEEDUPS, null=True, die_after=moment)
    if moment < 10:
        with pytest.raises(Killed):
            run_item(TASK, strategy(), first)
    else:
        run_item(TASK, strategy(), first)
    second = Bench(tmp_path / "run", WORDS, SPEEDUPS, null=True)
    assert untimed(run_item(TASK, strategy(), second).selection.to_json()) == untimed(expected.to_json())
    assert first.sampled + second.sampled == whole.sampled
    assert first.evaluated + second.evaluated == whole.evaluated
    for name in ("completions", "evaluations", "confirmations", "null", "selections"):
        assert [untimed(row) for row in rows(second, name)] == [untimed(row) for row in rows(whole, name)]


def test_a_fault_of_the_harness_is_raised_and_what_was_judged_is_kept(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    healthy = bench.evaluate

    def evaluate(task, sources):
        yield next(iter(healthy(task, sources)))
        raise HarnessError("the judge on cpu ended; run again to resume")

    bench.evaluate = evaluate
    with pytest.raises(HarnessError):
        run_item(TASK, strategy(), bench)
    assert {row["outcome"] for row in rows(bench, "evaluations")} == {"correct", "no_source"}
    assert rows(bench, "selections") == []
    (fault,) = rows(bench, "faults")
    assert (fault["source_sha256"], fault["message"]) == (None, "the judge on cpu ended; run again to resume")


def test_a_fault_on_one_candidate_costs_no_other_its_evaluation_and_that_one_is_tried_again(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    healthy = bench.evaluate

    def evaluate(task, sources):
        first, *later = healthy(task, sources)
        yield first
        (wrong,) = [each.source_sha256 for each in later if not each.correct]
        faults = {wrong: HarnessError("the harness failed", traceback="Traceback: ...")}
        raise CandidateFault(faults, [each for each in later if each.source_sha256 not in faults])

    bench.evaluate = evaluate
    with pytest.raises(CandidateFault, match=r"^the harness failed$"):
        run_item(TASK, strategy(), bench)
    assert {row["index"] for row in rows(bench, "evaluations")} == {0, 2, 3, 4}
    (fault,) = rows(bench, "faults")
    assert fault["traceback"] == "Traceback: ..."
    resumed = Bench(tmp_path, WORDS, SPEEDUPS)
    run_item(TASK, strategy(), resumed)
    assert resumed.evaluated == ["wrong", "best"]


def test_progress_counts_distinct_sources(tmp_path):
    bench = Bench(tmp_path, WORDS, SPEEDUPS)
    run_item(TASK, strategy(), bench)
    assert "level1/1: sampled 3/5" in bench.lines
    assert "level1/1: sampled 5, evaluated 3/3 distinct, 2 correct" in bench.lines


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"text": "def ModelNew(x): ..."}, "defines a function ModelNew"),
        ({"text": "I cannot."}, "defines no ModelNew"),
        ({"text": ""}, "is empty"),
        ({"text": "", "cut_off": True, "reasoning": "Hm.", "n_tokens": 7}, "is cut off at 7 tokens in its reasoning"),
        ({"text": "Sure: ", "cut_off": True}, "is cut off at 1024 tokens"),
        ({"text": "", "reasoning": "Hm.", "cut_off": False}, "ends in its reasoning"),
        ({"text": "I won't.", "stop_reason": "refusal"}, "is a refusal"),
        ({"text": "", "stop_reason": "tool_calls"}, "calls a tool"),
    ],
)
def test_why_an_answer_holds_no_module_is_recorded(tmp_path, answer, reason):
    bench = Bench(tmp_path, [None], {})
    bench.sample = lambda task, sampling, *, seed, indices: (
        Completion(task=task.id, index=index, policy="fake", **answer) for index in indices
    )
    run_item(TASK, strategy(k=1), bench)
    (row,) = rows(bench, "evaluations")
    assert (row["outcome"], row["detail"]) == ("no_source", f"the answer {reason}")


def test_the_part_of_the_answer_that_was_taken_is_recorded(tmp_path):
    bench = Bench(tmp_path, ["a"], {"a": 1.0})
    run_item(TASK, strategy(k=1), bench)
    assert [row["answer_part"] for row in rows(bench, "completions")] == ["block 1 of 1"]


def test_a_policy_that_gives_no_logprobs_fails_at_its_first_answer(tmp_path):
    bench, asked = Bench(tmp_path, ["a", "b"], {}), []

    def sample(task, sampling, *, seed, indices):
        for index in indices:
            asked.append(index)
            yield Completion(task=task.id, index=index, text="x", policy="mute")

    bench.sample = sample
    with pytest.raises(PolicyError) as error:
        run_item(TASK, strategy(k=2, by="surprisal"), bench)
    assert str(error.value) == (
        '--policy=mute: gave no logprobs with its first answer, which strategy "fastest" needs; '
        "choose another policy, or a strategy that needs none (random, best-of-64)"
    )
    assert asked == [0] and rows(bench, "completions") == []


def test_an_answer_with_logprobs_of_a_part_is_left_out_of_the_ranking_and_counted(tmp_path):
    bench = Bench(tmp_path, ["a", "b"], {"a": 2.0, "b": 1.0})

    def sample(task, sampling, *, seed, indices):
        for index in indices:
            known = {"logprobs": (-1.0,)} if index else {"logprobs_missing": "they cover 1 of 9 tokens"}
            yield Completion(task=task.id, index=index, text=module("ab"[index]), policy="half", **known)

    bench.sample = sample
    selection = run_item(TASK, strategy(k=2, by="surprisal"), bench).selection
    assert (selection.index, selection.unranked) == (1, (0,))
