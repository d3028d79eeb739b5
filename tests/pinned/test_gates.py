"""A kept kernel at several sizes: requests to the evaluator, the item's result, and its messages."""

import json
from dataclasses import dataclass, field

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.pinned.gates import AtSize, Gated, GateOptions, Kept, gate, shown
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import parse_task

TASK = """
import torch

n = 64

class Model(torch.nn.Module):
    def forward(self, x):
        return x

def get_inputs():
    return [torch.rand(n)]

def get_init_inputs():
    return []
"""
SAME = Comparison(verdict="same_or_faster", slowdown=1.0, low=0.995, high=1.005, series=8, seconds=10.0)
SLOWER = Comparison(verdict="slower", slowdown=1.03, low=1.02, high=1.04, series=16, seconds=20.0)
UNDECIDED = Comparison(verdict="undecided", slowdown=1.01, low=0.99, high=1.03, seconds=60.0, detail="of 64 pairs")
LIMIT = 1.01


@dataclass
class MadeUpEvaluator:
    """Says at each size, by its value of ``n``, what it was made with; keeps what it was asked."""

    verdicts: dict = field(default_factory=dict)
    outcomes: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def evaluate(self, task, sources):
        self.asked.append(("evaluate", task.sizes.get("n")))
        outcome = self.outcomes.get(task.sizes.get("n"), Outcome.CORRECT)
        if isinstance(outcome, Exception):
            raise outcome
        speedup = 1.5 if outcome is Outcome.CORRECT else None
        detail = "" if outcome is Outcome.CORRECT else "task inputs: error 2"
        for source in sources:
            yield Evaluation(source_sha256=sha256_of(source), outcome=outcome, speedup=speedup, detail=detail)

    def compare(self, task, source, baseline, **settings):
        self.asked.append(("compare", task.sizes.get("n"), settings))
        return self.verdicts.get(task.sizes.get("n"), SAME)


class MadeUpBench:
    def __init__(self, folder, evaluator):
        self.ledger = Ledger(folder)
        self.evaluator = evaluator
        self.said = []

    def evaluator_for(self, strategy):
        return self.evaluator

    def say(self, line):
        self.said.append(line)


@pytest.fixture
def task(tmp_path):
    file = tmp_path / "ours" / "1_Same.py"
    file.parent.mkdir()
    file.write_text(TASK)
    (file.parent / "sizes.toml").write_text("[[1_Same]]\nn = 65\n\n[[1_Same]]\nn = 1023\n")
    return parse_task(file)


@pytest.fixture
def gated(task, tmp_path):
    def run(*, baseline="the old text", seconds=60.0, **made_up):
        evaluator = MadeUpEvaluator(**made_up)
        kept = Kept(task=task, strategy=Strategy(name="pinned"), source="new", baseline=baseline, max_slowdown=LIMIT)
        (tmp_path / "run").mkdir(exist_ok=True)
        bench = MadeUpBench(tmp_path / "run", evaluator)
        run.kept, run.bench = kept, bench
        return gate(kept, GateOptions(seconds=seconds), bench), evaluator.asked

    return run


def test_a_kernel_is_checked_and_compared_at_each_size_and_all_sizes_are_one_question(gated):
    found, asked = gated()
    assert [each[:2] for each in asked] == [
        *[("compare", None), ("evaluate", 65), ("compare", 65), ("evaluate", 1023), ("compare", 1023)]
    ]
    assert {each[2]["sizes"] for each in asked if each[0] == "compare"} == {3}
    assert found.verdict == "same_or_faster"
    assert found.failure(gated.kept, GateOptions()) is None
    assert found.summary() == "3 sizes: 3 same_or_faster; 30 of at most 180 s in turns with the baseline"
    assert found.lines() == [
        "its own size: 1.000x the time of its baseline [0.995, 1.005]",
        "n=65: correct, 1.5x the reference's speed; 1.000x the time of its baseline [0.995, 1.005]",
        "n=1023: correct, 1.5x the reference's speed; 1.000x the time of its baseline [0.995, 1.005]",
    ]


def test_what_one_size_leaves_of_the_time_the_next_ones_may_use(gated):
    _, asked = gated(seconds=30.0, verdicts={None: SAME, 65: UNDECIDED})
    assert [each[2]["seconds"] for each in asked if each[0] == "compare"] == [30.0, 40.0, 20.0]


def test_no_size_is_given_more_than_a_server_measures_for_unless_the_option_says_so(task, gated):
    sizes = "".join(f"[[1_Same]]\nn = {65 + place}\n\n" for place in range(19))
    (task.path.parent / "sizes.toml").write_text(sizes)
    # Each of the twenty has a minute and takes ten seconds.
    _, asked = gated()
    seconds = [each[2]["seconds"] for each in asked if each[0] == "compare"]
    assert seconds[:2] == [60.0, pytest.approx(62.6, abs=0.1)] and seconds[-2:] == [pytest.approx(510.0), 600]
    (task.path.parent / "sizes.toml").write_text("[[1_Same]]\nn = 66\n")
    _, asked = gated(seconds=900.0, baseline="an older text")
    assert [each[2]["seconds"] for each in asked if each[0] == "compare"] == [900.0, 900.0]


def test_time_beyond_the_limit_is_told_as_such():
    at = [AtSize(size="", comparison=SAME)]
    shown = {used: Gated(at=at, seconds=used, seconds_limit=10.0).summary() for used in (9.6, 10.0, 10.6)}
    assert shown[9.6] == shown[10.0] == "1 size: 1 same_or_faster; 10 of at most 10 s in turns with the baseline"
    assert shown[10.6] == (
        "1 size: 1 same_or_faster; 10.6 s in turns with the baseline, over the limit of 10 s, "
        "because a pair of processes is measured to its end"
    )


def test_slower_at_one_size_fails_the_item_and_names_the_size(gated):
    found, _ = gated(verdicts={1023: SLOWER, 65: UNDECIDED})
    assert found.verdict == "slower"
    assert found.failure(gated.kept, GateOptions(), file="baseline.json") == (
        "at n=1023: correct, 1.5x the reference's speed; 1.030x the time of its baseline [1.020, 1.040], "
        "over the limit of 1.01x (baseline.json)"
    )


def test_slower_at_two_sizes_names_the_worst_and_counts_the_other(gated):
    worse = Comparison(verdict="slower", slowdown=1.2, low=1.1, high=1.3, series=4, seconds=1.0)
    found, _ = gated(verdicts={None: worse, 65: SLOWER})
    assert found.failure(gated.kept, GateOptions()) == (
        "1.200x the time of its baseline [1.100, 1.300], over the limit of 1.01x, and at 1 more size"
    )


def test_undecided_is_no_same_and_passes_or_fails_as_the_option_says(gated):
    found, _ = gated(verdicts={65: UNDECIDED})
    assert found.verdict == "undecided"
    assert found.failure(gated.kept, GateOptions(undecided="pass")) is None
    assert found.failure(gated.kept, GateOptions(undecided="fail")) == (
        "at n=65: correct, 1.5x the reference's speed; 1.010x the time of its baseline [0.990, 1.030], "
        "undecided (of 64 pairs)"
    )
    assert ("gate", "undecided") in found.properties() and ("gate_undecided", 1) in found.properties()


def test_a_kernel_that_is_wrong_at_a_size_fails_and_is_not_compared_there(gated):
    found, asked = gated(outcomes={65: Outcome.INCORRECT}, verdicts={None: SLOWER})
    assert ("compare", 65) not in [each[:2] for each in asked]
    assert found.failure(gated.kept, GateOptions()) == "at n=65: incorrect: task inputs: error 2"


def test_a_baseline_that_fails_at_a_size_fails_nobody_and_is_told(gated):
    failing = Comparison(failed="baseline", detail="incorrect: task inputs: error 1")
    found, _ = gated(verdicts={65: failing})
    assert found.failure(gated.kept, GateOptions(undecided="fail")) is None
    assert found.verdict == "same_or_faster"
    assert found.lines()[1].endswith("not compared, because the baseline fails: incorrect: task inputs: error 1")


@pytest.mark.parametrize("baseline", [None, "new"], ids=["none", "the same text"])
def test_without_another_baseline_it_is_checked_and_timed_at_each_further_size(gated, baseline):
    found, asked = gated(baseline=baseline)
    assert asked == [("evaluate", 65), ("evaluate", 1023)]
    assert (found.verdict, found.seconds_limit) == (None, 0.0)
    assert found.summary() == "3 sizes"
    timed = "correct, 1.5x the reference's speed"
    assert found.properties() == [("at n=65", timed), ("at n=1023", timed)]


def test_what_is_recorded_is_not_done_again(gated, tmp_path):
    first, asked = gated(verdicts={65: UNDECIDED})
    assert len(asked) == 5
    again, asked = gated()
    assert asked == [] and again.at == first.at
    rows = [json.loads(line) for line in (tmp_path / "run" / "comparisons.jsonl").read_text().splitlines()]
    assert [(row["sizes"], row["n_sizes"], row["verdict"]) for row in rows] == [
        *[("", 3, "same_or_faster"), ("n=65", 3, "undecided"), ("n=1023", 3, "same_or_faster")]
    ]


def test_an_undecided_comparison_is_measured_again_where_it_may_take_longer_now(gated, tmp_path):
    gated(verdicts={65: UNDECIDED}, seconds=60.0)
    found, asked = gated(seconds=61.0, verdicts={65: SLOWER})
    # Of 183 s, 10 were used by the first size, whose verdict stands.
    assert [(each[1], each[2]["seconds"]) for each in asked] == [(65, (3 * 61.0 - 10.0) / 2)]
    assert found.verdict == "slower"
    # What was decided stays, and the last row counts.
    again, asked = gated(seconds=600.0)
    assert asked == [] and again.at == found.at
    assert gated(seconds=1.0)[1] == []


def test_a_row_without_the_seconds_that_were_given_stands_for_those_it_took(gated, tmp_path):
    gated(verdicts={None: UNDECIDED})
    file = tmp_path / "run" / "comparisons.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [{name: value for name, value in row.items() if name != "seconds_given"} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert gated(seconds=60.0)[1] == []
    assert [each[1] for each in gated(seconds=61.0)[1]] == [None]


def test_a_fault_of_the_harness_names_the_size(gated):
    with pytest.raises(HarnessError, match=r"^at n=65: the reference fails$"):
        gated(outcomes={65: HarnessError("the reference fails")})


def test_a_comparison_is_shown_in_one_line():
    assert (
        shown(Comparison(verdict="slower", slowdown=2.0, low=1.5))
        == "2.000x the time of its baseline [1.500, unbounded]"
    )
    assert shown(Comparison(verdict="undecided", detail="busy")) == "undecided (busy)"


def test_one_size_alone_needs_no_lines():
    assert Gated(at=[AtSize(size="", comparison=SAME)]).lines() == []
