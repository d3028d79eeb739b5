"""A forecast by the policy: asked once, recorded and counted; without it the order is by surprisal."""

import json
from dataclasses import replace

import pytest
from made_up_bench import SPEEDUPS, TASK, Bench, Killed, rows, untimed
from made_up_bench import strategy as choosing

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Completion
from pytest_kernelbench.strategy import load_strategies

WORDS = ["good", "wrong", "best", "good", "other"]
ALL = {**SPEEDUPS, "other": 1.1}


class Asked(Bench):
    """Answers with ``says`` where it is asked for a forecast, in a prompt of 100 tokens."""

    says = "Program 1"
    left = None

    def __init__(self, folder, **settings):
        super().__init__(folder, WORDS, ALL, **settings)
        self.questions = []

    def policy_for(self, strategy):
        policy = super().policy_for(strategy)
        if self.left is not None:
            policy.tokens_left = self.left
        return policy

    def sample(self, task, sampling, *, seed, indices, advice=""):
        if sampling.answer != "forecast":
            yield from super().sample(task, sampling, seed=seed, indices=indices)
            return
        self.tick()
        self.questions.append(advice)
        (index,) = indices
        text = {"text": self.says, "logprobs": (-1.0, -1.0), "prompt_tokens": 100}
        yield Completion(task=task.id, index=index, policy="fake", **text)


FORECAST = choosing("forecast", by="forecast")


def test_the_program_that_the_policy_names_is_taken(tmp_path):
    bench = Asked(tmp_path)
    bench.says = "Program 2."
    chosen = run_item(TASK, FORECAST, bench).selection
    # Correct programs in the order of their indices: good (0), best (2), other (4).
    assert (chosen.index, chosen.considered, chosen.unread) == (2, (2,), None)
    (question,) = bench.questions
    assert [question.index(word) for word in ("# good", "# best", "# other")] == sorted(
        question.index(word) for word in ("# good", "# best", "# other")
    )
    assert "speed" not in question and "1.2" not in question
    (row,) = rows(bench, "forecasts")
    assert (row["shown"], row["named"], row["text"], row["tokens"]) == ([0, 2, 4], 2, "Program 2.", 102)


def test_its_prompt_and_its_answer_are_part_of_the_cost(tmp_path):
    cost = run_item(TASK, FORECAST, Asked(tmp_path / "a")).selection.cost
    plain = run_item(TASK, choosing("surprisal", by="surprisal"), Asked(tmp_path / "b")).selection.cost
    assert cost["forecast_tokens"] == 102 and "forecast_tokens" not in plain
    parts = ("sampling_seconds", "evaluation_seconds", "adaptation_seconds", "forecast_seconds")
    assert cost["device_seconds"] == pytest.approx(sum(cost[part] for part in parts))


def test_an_answer_that_names_none_leaves_the_order_by_surprisal_and_is_counted(tmp_path):
    bench = Asked(tmp_path)
    bench.says = "They are all fine."
    chosen = run_item(TASK, FORECAST, bench).selection
    assert (chosen.index, chosen.unread) == (4, "the answer names no program")
    assert chosen.cost["forecast_tokens"] == 102


def test_a_run_that_was_killed_does_not_ask_again(tmp_path):
    # 5 answers, 4 distinct sources, the forecast; it dies while the choice is timed again.
    two = choosing("two", by="forecast", top=2)
    first = Asked(tmp_path, die_after=10)
    with pytest.raises(Killed):
        run_item(TASK, two, first)
    second = Asked(tmp_path)
    second.says = "Program 3"
    resumed = run_item(TASK, two, second).selection
    assert (len(first.questions), second.questions) == (1, [])
    assert untimed(resumed.to_json()) == untimed(
        run_item(TASK, two, Asked(tmp_path.parent / "whole")).selection.to_json()
    )


def test_killed_before_it_was_asked_it_is_asked_once(tmp_path):
    first = Asked(tmp_path, die_after=9)
    with pytest.raises(Killed):
        run_item(TASK, FORECAST, first)
    second = Asked(tmp_path)
    assert run_item(TASK, FORECAST, second).selection.index == 0
    assert (first.questions, len(second.questions), len(rows(second, "forecasts"))) == ([], 1, 1)


def test_another_question_is_another_forecast(tmp_path):
    bench = Asked(tmp_path)
    run_item(TASK, FORECAST, bench)
    run_item(TASK, choosing("fewer", by="forecast", k=3), bench)
    assert len(bench.questions) == 2


def test_of_programs_that_do_not_fit_the_least_expected_are_shown(tmp_path):
    bench = Asked(tmp_path)
    bench.left = lambda task, answer, text: 100 if "Program 3" not in text else 0
    chosen = run_item(TASK, FORECAST, bench).selection
    assert rows(bench, "forecasts")[0]["shown"] == [2, 4] and chosen.index == 2


def test_where_not_even_two_fit_it_is_not_asked(tmp_path):
    bench = Asked(tmp_path)
    bench.left = lambda task, answer, text: 0
    chosen = run_item(TASK, FORECAST, bench).selection
    assert (bench.questions, chosen.index) == ([], 4)
    assert chosen.unread == "two programs are too long for the policy's context"


def test_a_single_program_needs_no_forecast(tmp_path):
    bench = Asked(tmp_path)
    bench.words, bench.speedups = ["good", "good", "wrong"], ALL
    chosen = run_item(TASK, replace(FORECAST, sampling=replace(FORECAST.sampling, k=3)), bench).selection
    assert (bench.questions, chosen.index, chosen.unread) == ([], 0, None)


def test_a_replay_answers_no_further_question(tmp_path):
    answers = [
        {"task": TASK.id, "text": f"```python\nclass ModelNew: ...  # {word}\n```", "logprobs": [-place - 1.0]}
        for place, word in enumerate(WORDS)
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
    bench = Asked(tmp_path / "run")
    bench.policy_for = lambda strategy: ReplayPolicy(tmp_path / "answers.jsonl", name="replay")
    chosen = run_item(TASK, FORECAST, bench).selection
    assert (chosen.index, chosen.unread) == (4, "the policy answers no further question")
    assert chosen.cost["forecast_tokens"] == 0


def test_a_strategy_that_trains_has_no_forecast(tmp_path):
    (tmp_path / "x.toml").write_text('[selection]\nby = "forecast"\n[adaptation]\n')
    with pytest.raises(
        StrategyError, match=r'by = "forecast" asks the policy as it was loaded; leave \[adaptation\] out$'
    ):
        load_strategies([str(tmp_path / "x.toml")], folders=[])
