"""No file of a run holds a number that JSON does not have (RFC 8259): infinity and NaN."""

import json
from dataclasses import MISSING, fields
from math import inf, isfinite, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.clock.estimates import Estimate
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.evaluation.clock.verification import Attested
from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.records import (
    AdaptationStep,
    AgainstBaseline,
    Completion,
    Evaluation,
    Forecast,
    Outcome,
    Selection,
    json_text,
)
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks.findings import TaskFindings

STRATEGY = Strategy(name="some")
TASK = "level1/1_One"
NOT_FINITE = (inf, -inf, nan)
FLOATS = st.floats(1e-6, 1e6) | st.sampled_from(NOT_FINITE)
# By a field's annotation. All others are given by hand, or keep their defaults.
VALUES = {
    "float": FLOATS,
    "float | None": st.none() | FLOATS,
    "tuple[float, ...] | None": st.none() | st.lists(FLOATS, max_size=3).map(tuple),
    "Mapping[str, float]": st.dictionaries(st.sampled_from(["build", "total"]), FLOATS),
    "Mapping[str, float] | None": st.none() | st.dictionaries(st.sampled_from(["loss"]), FLOATS),
    "Mapping[str, float | None]": st.dictionaries(st.sampled_from(["timed"]), st.none() | FLOATS),
    "Mapping[str, Mapping[str, Any]]": st.dictionaries(
        st.just(TASK), st.fixed_dictionaries({"reward": FLOATS, "holdout": st.fixed_dictionaries({"reward": FLOATS})})
    ),
}
# What a record needs, and how the ledger is given it.
WRITTEN = {
    Completion: ({"task": TASK, "index": 0, "text": "", "policy": "p"}, lambda at, it: at.add_completion(it, STRATEGY)),
    Evaluation: (
        {"source_sha256": "s", "outcome": Outcome.CORRECT},
        lambda at, it: at.add_evaluation(TASK, 0, STRATEGY, it),
    ),
    Selection: (
        {"task": TASK, "strategy": "some", "index": 0, "considered": ()},
        lambda at, it: at.add_selection(it, STRATEGY),
    ),
    Forecast: ({"task": TASK, "asked_sha256": "s", "shown": ()}, lambda at, it: at.add_forecast(it)),
    AgainstBaseline: ({"baseline": "compile"}, lambda at, it: at.add_against(TASK, STRATEGY, "s", it)),
    AdaptationStep: (
        {"lineage": "l", "adaptation_sha256": "s", "group": (), "step": 0, "first_index": 0, "rollouts": 1},
        lambda at, it: at.add_adaptation_step(it),
    ),
    TaskFindings: ({"task": TASK, "device": "cpu", "precision": "p"}, lambda at, it: at.add_findings(it, STRATEGY)),
    Comparison: ({}, lambda at, it: at.add_comparison(TASK, {}, it.to_json())),
}


def numbers_in(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers_in(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers_in(each)]
    return [value] if isinstance(value, float) else []


def strictly(text):
    """``text`` as JSON of the RFC: Python alone would read ``Infinity``."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def run_facts():
    facts = {"policy": "p", "seed": 0, "device_kind": "cpu", "sizes": "full", "strategies": [STRATEGY.to_json()]}
    return {**facts, "tasks": [TASK], "task_sha256": {TASK: "s"}}


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: record.__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_record_is_written_as_json_or_refused_in_one_line(tmp_path_factory, record, data):
    needed, write = WRITTEN[record]
    strategies = {each.name: VALUES[each.type] for each in fields(record) if each.type in VALUES}
    required = {each.name for each in fields(record) if each.default is each.default_factory is MISSING}
    assert required <= {*needed, *strategies}
    drawn = data.draw(st.fixed_dictionaries(strategies))
    ledger = Ledger(tmp_path_factory.mktemp("run"))
    made = None
    try:
        made = record(**needed, **drawn)
        write(ledger, made)
    except (HarnessError, ValueError) as refused:
        assert not all(map(isfinite, numbers_in(drawn)))
        assert "\n" not in str(refused) and "a number that is not finite must be None" in str(refused)
        assert all(not file.read_text() for file in ledger.folder.glob("*.jsonl"))
    else:
        # Not of what was drawn: a sum that contradicts its terms is not kept.
        assert all(map(isfinite, numbers_in(made.to_json())))
    for file in ledger.folder.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            strictly(line)


@pytest.mark.parametrize("number", NOT_FINITE)
def test_facts_of_a_run_are_refused_and_run_json_stays_as_it_was(tmp_path, number):
    ledger = Ledger.open(tmp_path / "run", run_facts())
    before = (tmp_path / "run" / "run.json").read_text()
    for write in (
        lambda: ledger.note(margin=number),
        lambda: ledger.describe({"load": [0.5, number]}),
        lambda: ledger.spend("sampling", number),
        lambda: ledger.keep("kernels", "one", {"speedup": number}),
    ):
        with pytest.raises(HarnessError, match=r"^\S+/run\.json: is not written: \S+ is (-?inf|nan); a number that"):
            write()
    assert (tmp_path / "run" / "run.json").read_text() == before
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["locks", "run.json"]
    strictly(before)


def test_the_first_number_that_is_not_finite_is_named():
    with pytest.raises(ValueError) as refused:
        json_text({"task": TASK, "tasks": [{"rate": 1.0}, {"rate": nan}]})
    assert str(refused.value) == "tasks[1].rate is nan; a number that is not finite must be None"


def test_an_attested_speed_up_without_an_upper_end_has_none():
    told = Attested(Estimate(speedup=2.0, low=1.5, high=inf), counted=True).to_json()
    assert (told["attested"], told["attested_low"], told["attested_high"]) == (2.0, 1.5, None)
    row = Evaluation(source_sha256="s", outcome=Outcome.CORRECT, speedup=2.0, **told)
    assert row.fast(1.0, 0.05) and strictly(json_text(row.to_json()))["attested_high"] is None
