"""What the judge keeps of a task from one request to the next."""

from pytest_kernelbench.evaluation.judge import LastTask

FULL, FAST = {"source": "a task", "protocol": "full"}, {"source": "a task", "protocol": "fast"}


class Trials:
    """Trials of no candidates: what becomes of them."""

    def __init__(self, case, *, known):
        self.case, self.known, self.became = case, known, []

    def renew(self):
        self.became.append("renewed")

    def close(self):
        self.became.append("closed")


def test_the_same_task_asked_about_again_keeps_its_bench_and_gets_new_inputs():
    last = LastTask(Trials, "cpu")
    first = last.trials(FULL)
    assert last.trials(dict(FULL)) is first
    assert first.became == ["renewed"]


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
