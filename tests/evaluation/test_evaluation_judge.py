"""What the judge keeps of a task from one request to the next."""

from contextlib import nullcontext

import psutil
from made_up_tasks import RELU, ROW_SUM, candidate, task

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.judges.judge import MOST_KNOWN, LastTask
from pytest_kernelbench.records import Outcome

FULL, FAST = {"source": "a task", "protocol": "full"}, {"source": "a task", "protocol": "fast"}


class Trials:
    """Trials of no candidates: what becomes of them."""

    def __init__(self, case, *, known):
        self.case, self.known, self.became = case, known, []

    def renew(self):
        self.became.append("renewed")

    def among_others(self):
        return nullcontext()

    def close(self):
        self.became.append("closed")


def test_the_same_task_asked_about_again_keeps_its_bench_and_gets_new_inputs():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL)
    assert last.trials(dict(FULL)) is first
    assert first.became == ["renewed"]


def test_inputs_are_new_only_where_a_candidate_has_seen_the_old_ones():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL, tried=False)
    last.trials(FULL, tried=False)
    last.trials(FULL, tried=True)
    assert first.became == []
    last.trials(FULL, tried=False)
    assert first.became == ["renewed"]
    last.trials(FULL, tried=True)
    last.trials(FULL, tried=True)
    assert first.became == ["renewed", "renewed"]


def test_another_case_takes_the_place_of_the_last_and_shares_what_was_measured_of_the_task():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL)
    second = last.trials(FAST)
    assert (first.became, second.became) == (["closed"], [])
    assert second.known is first.known


def test_a_task_that_was_forgotten_is_made_anew():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL)
    last.forget()
    last.forget()
    assert first.became == ["closed"]
    assert last.trials(FULL) is not first


def test_what_another_judge_knows_of_a_task_is_known_before_its_trials_are_made():
    last = LastTask(Trials, "cpu")
    row = {"tolerances": {"signed": [None]}, "findings": None}
    assert last.trials(FULL, row).known.tolerances == {"signed": [None]}


def test_the_tasks_that_a_judge_knows_are_limited():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL).known
    for number in range(MOST_KNOWN):
        last.trials({"source": f"task {number}"})
    assert last.trials(FULL).known is not first


def test_memory_of_a_large_task_is_given_back_when_another_task_comes(tmp_path):
    large = task("5_large", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(n)", n=8_000_000)
    wrong = candidate("return x - 1")
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path, keep_task=True) as evaluator:
        (judge,) = [each for each in psutil.Process(evaluator.service).children() if each.name() == "kb-judge"]

        def held_mib(asked):
            (evaluation,) = evaluator.evaluate(asked, [wrong])
            assert evaluation.outcome is Outcome.INCORRECT
            return judge.memory_info().rss >> 20

        at_first, with_large, after = held_mib(RELU), held_mib(large), held_mib(RELU)
        assert with_large > at_first + 200
        assert after < at_first + 100


def test_memory_does_not_grow_with_the_number_of_requests(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path, keep_task=True) as evaluator:
        processes = psutil.Process(evaluator.service).children()
        held_mib = []
        for number in range(12):
            (evaluation,) = evaluator.evaluate((RELU, ROW_SUM)[number % 2], [candidate(f"return x - {number + 1}")])
            assert evaluation.outcome is Outcome.INCORRECT
            held_mib.append(sum(each.memory_info().rss for each in processes) >> 20)
    first, last = max(held_mib[2:6]), max(held_mib[-4:])
    assert last < first + 20, held_mib
