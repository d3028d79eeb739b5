"""Findings of judges about a task are handed to other judges."""

import json

from hypothesis import given
from hypothesis import strategies as st
from made_up_tasks import HONEST_RELU, RELU, candidate

from pytest_kernelbench.evaluation import Evaluator, EvaluatorPool
from pytest_kernelbench.evaluation.correctness.comparison import Tolerance
from pytest_kernelbench.evaluation.correctness.findings import bench_of
from pytest_kernelbench.evaluation.correctness.known import Known
from pytest_kernelbench.evaluation.judges import known_tasks as known_tasks_module
from pytest_kernelbench.evaluation.judges.known_tasks import KnownTasks
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.tasks.findings import TaskFindings

CASE = {"task": RELU.id, "source": RELU.source, "seed": 0, "precision": "float32"}
numbers = st.floats(0, allow_nan=False)
tolerances = st.builds(Tolerance, *[numbers] * 8)
FINDINGS = TaskFindings(task="level1/1_other", device="cpu", precision="float32", repeatable="always", constant=True)


@given(st.dictionaries(st.text(), st.lists(st.none() | tolerances)), st.sampled_from([None, FINDINGS]))
def test_what_is_known_is_the_same_once_it_has_crossed_processes(of_kinds, findings):
    there = Known(tolerances=of_kinds, findings=findings)
    here = Known()
    here.learn(json.loads(json.dumps(there.to_json())))
    assert here == there


@given(tolerances, tolerances)
def test_what_a_judge_measured_itself_stays(own, of_another):
    known = Known(tolerances={"task": [own]})
    known.learn(Known(tolerances={"task": [of_another], "signed": [None]}, findings=FINDINGS).to_json())
    assert known == Known(tolerances={"task": [own], "signed": [None]}, findings=FINDINGS)


def test_a_reference_that_was_looked_at_is_not_looked_at_again_and_its_findings_bear_the_task_s_name():
    bench, findings = bench_of(CASE, "cpu", {}, known=FINDINGS)
    assert (findings.task, findings.constant) == (RELU.id, True)
    assert not bench.reference.is_random
    seeded = TaskFindings(task=RELU.id, device="cpu", precision="float32", repeatable="seeded", constant=False)
    assert bench_of(CASE, "cpu", {}, known=seeded)[0].reference.is_random


def test_findings_of_a_shorter_look_do_not_do_for_a_longer_one():
    _, short = bench_of(CASE, "cpu", {}, beyond=False)
    assert short.constant is None
    assert bench_of(CASE, "cpu", {}, beyond=True, known=short)[1].constant is False


def test_a_row_is_of_one_kind_of_hardware_and_the_ones_asked_for_longest_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr(known_tasks_module, "MOST_TASKS", 2)
    known = KnownTasks()
    known.keep("a GPU", "first", {"n": 1})
    known.keep("a GPU", "second", {"n": 2})
    assert known.of("a GPU", "first") == {"n": 1}
    assert known.of("another GPU", "first") is None
    known.keep("a GPU", "third", {"n": 3})
    assert [known.of("a GPU", each) for each in ("first", "second", "third")] == [{"n": 1}, None, {"n": 3}]


def test_a_judge_is_told_what_another_one_found_out(tmp_path):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        (evaluation,) = evaluator.evaluate(RELU, [HONEST_RELU])
        assert evaluation.outcome is Outcome.CORRECT
        row = evaluator.known.of(evaluator.hardware, RELU.sha256)
        assert {"task", "signed", "refreshed"} <= set(row["tolerances"])
        assert evaluator.findings[RELU.id].constant is False
    # In another judge's words, a finding that is its own.
    another = Evaluator(device="cpu", protocol="fast", cache=tmp_path)
    with another:
        said = {**row, "findings": {**row["findings"], "seconds_per_call": 7.0}}
        another.known.keep(another.hardware, RELU.sha256, said)
        (evaluation,) = another.evaluate(RELU, [candidate("return x")])
        assert evaluation.outcome is Outcome.INCORRECT
        assert another.findings[RELU.id].seconds_per_call == 7.0


class WithoutProcesses(Evaluator):
    def start(self):
        pass


def test_the_judges_of_a_pool_share_what_they_know(tmp_path):
    with EvaluatorPool(devices=["cpu", "cpu"], evaluator=WithoutProcesses, cache=tmp_path) as pool:
        assert len({id(judge.known) for judge in pool._judges}) == 1


def test_evaluators_share_nothing_by_themselves(tmp_path):
    one, other = (Evaluator(device="cpu", cache=tmp_path) for _ in range(2))
    assert one.known is not other.known
    assert one.hardware == ""
