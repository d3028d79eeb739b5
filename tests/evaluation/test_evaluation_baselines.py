"""Baselines that are stronger than eager PyTorch: their names, and the record of a candidate timed against one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_tasks import candidate, task

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.baselines import BASELINES, EAGER, parse_baselines, reference_as_candidate, stronger
from pytest_kernelbench.evaluation.clock.attestation import Verdict
from pytest_kernelbench.evaluation.clock.baseline_trial import told_by
from pytest_kernelbench.evaluation.clock.estimates import Estimate
from pytest_kernelbench.records import AgainstBaseline
from pytest_kernelbench.report.metrics import METRICS

RELU = "def forward(self, x):\n    return torch.relu(x)"
INPUTS = "torch.rand(n) - 0.5"
# No inductor is needed to see what becomes of what ``Module.compile`` does.
RAISES = task("1_raises", f"{RELU}\n\ndef compile(self):\n    raise RuntimeError('no backend')", inputs=INPUTS)
WRONG = task("2_wrong", f"{RELU}\n\ndef compile(self):\n    self.forward = torch.abs", inputs=INPUTS)
AS_IT_IS = task("3_as_it_is", f"{RELU}\n\ndef compile(self):\n    pass", inputs=INPUTS)
CONSTANT = task("4_constant", "def forward(self, x):\n    return torch.ones_like(x)", inputs=INPUTS)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path_factory.mktemp("builds"), keep_task=True) as evaluator:
        yield evaluator


@given(st.lists(st.sampled_from(list(BASELINES)), min_size=1))
def test_eager_is_always_among_the_baselines_and_comes_first(names):
    found = parse_baselines(" , ".join(names), "--x")
    assert found[0] == EAGER and set(found) == {EAGER, *names} and len(set(found)) == len(found)
    assert stronger(found) == found[1:]


@pytest.mark.parametrize(("text", "unknown"), [("eager,jit", "'jit'"), ("", "''"), ("compile,", "''")])
def test_a_name_that_there_is_not_says_which_there_are(text, unknown):
    with pytest.raises(UsageError) as error:
        parse_baselines(text, f"--kernelbench-baseline={text}")
    assert str(error.value) == f"--kernelbench-baseline={text}: no baseline {unknown}; there are eager, compile"


@pytest.mark.parametrize("name", stronger(BASELINES))
def test_every_stronger_baseline_has_its_metrics(name):
    assert {f"fast_1_{name}", f"geomean_speedup_{name}"} <= METRICS.keys()


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (
            Verdict(Estimate(1.5, 1.4, 1.6), "above", series=2),
            {"speedup": 1.5, "low": 1.4, "high": 1.6, "counted": True, "uncounted_because": "", "series": 2},
        ),
        (
            Verdict(Estimate(0.9, 0.8, math.inf), "undecided", "busy", 1),
            {"speedup": 0.9, "low": 0.8, "high": None, "counted": False, "uncounted_because": "busy", "series": 1},
        ),
        (
            Verdict(Estimate(1.5, 0.0, math.inf), "undecided", "busy", 1),
            {"counted": False, "uncounted_because": "busy", "series": 1},
        ),
    ],
)
def test_a_speed_up_is_told_whether_or_not_it_counts_and_not_where_it_has_no_lower_end(verdict, told):
    assert told_by(verdict) == told


def test_a_record_is_read_as_it_was_written():
    found = AgainstBaseline(baseline="compile", speedup=1.5, low=1.4, counted=True, series=2, build_seconds=12.5)
    assert AgainstBaseline.from_json({**found.to_json(), "task": "t"}) == found


@pytest.mark.parametrize(
    ("on", "how"), [(RAISES, "build_error: RuntimeError: no backend"), (WRONG, "incorrect: signed inputs: ")]
)
def test_a_baseline_that_fails_is_said_in_one_line_and_is_no_fault_of_the_candidate(evaluator, on, how):
    found = evaluator.against(on, reference_as_candidate(on), "compile")
    assert (found.failed, found.counted, found.speedup) == ("baseline", False, None)
    told = "there is no baseline compile: the reference under it is no correct candidate ("
    assert found.uncounted_because.startswith(f"{told}{how}")
    assert "\n" not in found.uncounted_because


def test_a_candidate_that_is_wrong_the_third_time_is_told_from_a_baseline_that_fails(evaluator):
    found = evaluator.against(AS_IT_IS, candidate("return torch.abs(x)"), "compile")
    assert (found.failed, found.counted) == ("candidate", False)
    told = "the candidate was not right when it was judged beside compile (incorrect: signed inputs: "
    assert found.uncounted_because.startswith(told)


def test_beside_a_reference_of_which_no_claim_counts_nothing_is_timed(evaluator):
    found = evaluator.against(CONSTANT, reference_as_candidate(CONSTANT), "compile")
    assert (found.counted, found.speedup, found.failed) == (False, None, None)
    assert found.uncounted_because == evaluator.look_at(CONSTANT).uncounted_because != ""
