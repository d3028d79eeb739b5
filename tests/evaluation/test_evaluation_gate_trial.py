"""Two kernels in turns: one that is found faster must be so for a call that is alone, or nothing is said of it."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from pytest_kernelbench.evaluation.clock.attestation import plan_for
from pytest_kernelbench.evaluation.clock.baseline_trial import told_by as told_beside_baseline
from pytest_kernelbench.evaluation.clock.gate_trial import Checked, SideFailed, take_turns
from pytest_kernelbench.evaluation.clock.gates import Gate, plan_of_gate, told_by
from pytest_kernelbench.evaluation.clock.turns import ControlFailed
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome

CALLS, BASELINE_S, AROUND_S = 10, 1e-3, 1e-4
CHECKED = {side: Checked(lambda: None, 1.0, 1e-3) for side in ("kernel", "baseline")}
WRONG = CandidateFailed(Outcome.INCORRECT, "random inputs: error 2")


@dataclass
class MadeUpPairs:
    """Processes in which a call of the kernel takes ``call_s`` among others and ``alone_s`` in a turn of its own.

    ``fails``: what is raised by the kernel's or the baseline's lone turns. ``series`` keeps the numbers of the series,
    and ``rows`` counts the rows of lone turns.
    """

    call_s: float
    alone_s: float
    device: str = "cpu"
    calls: int = CALLS
    fails: dict = field(default_factory=dict)
    series: list = field(default_factory=list)
    rows: int = 0

    @contextmanager
    def two(self, number, candidate, seconds_per_call):
        self.series.append(number)
        yield self

    def turn(self, side):
        return AROUND_S + self.calls * (self.call_s if side == "candidate" else BASELINE_S)

    def lone_turns(self, side):
        self.rows += 1
        if side in self.fails:
            raise self.fails[side]
        return [AROUND_S + (self.alone_s if side == "candidate" else BASELINE_S)] * 6

    def empty_turn(self):
        return AROUND_S


def gated(pairs, max_slowdown=1.05):
    plan = plan_of_gate(Gate(max_slowdown=max_slowdown), pairs.device, 1.0)
    return told_by(take_turns(pairs, CHECKED, plan, lambda: 0.0))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_kernel_that_became_slower_and_computes_the_calls_of_a_turn_as_one_is_not_said_to_be_faster(device):
    told = gated(MadeUpPairs(call_s=BASELINE_S / 4, alone_s=1.5 * BASELINE_S, device=device))
    assert told["verdict"] == "undecided"
    assert told["detail"] == "a call that is alone in its turn takes 0.5 ms longer than one of the baseline"
    assert (told["slowdown"], told["low"], told["high"]) == (pytest.approx(0.25), 0.0, None)


@pytest.mark.parametrize("alone_s", [BASELINE_S / 4, 0.9 * BASELINE_S, BASELINE_S])
def test_a_kernel_that_is_no_slower_alone_is_same_or_faster_with_its_interval(alone_s):
    pairs = MadeUpPairs(call_s=BASELINE_S / 4, alone_s=alone_s)
    told = gated(pairs)
    assert told["verdict"] == "same_or_faster" and 0.2 < told["low"] < 0.25 < told["high"] < 0.3
    # No other processes are started for it.
    assert pairs.series == [0, 1] and pairs.rows > 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("speedup", "looked_at"), [(1.0, False), (1.04, False), (1.2, True)])
def test_only_a_kernel_that_is_faster_by_more_than_the_limit_is_looked_at_alone(device, speedup, looked_at):
    pairs = MadeUpPairs(call_s=BASELINE_S / speedup, alone_s=BASELINE_S / speedup, device=device)
    told = gated(pairs)
    assert told["verdict"] == "same_or_faster"
    assert (pairs.rows > 0) is looked_at


def test_a_slower_kernel_is_slower_whatever_it_is_alone():
    pairs = MadeUpPairs(call_s=2 * BASELINE_S, alone_s=BASELINE_S / 4)
    assert gated(pairs)["verdict"] == "slower" and pairs.rows == 0


@pytest.mark.parametrize(("alone_s", "counted"), [(BASELINE_S / 3, True), (BASELINE_S, False)])
def test_beside_a_stronger_baseline_too_a_claim_must_hold_for_a_call_alone(alone_s, counted):
    pairs = MadeUpPairs(call_s=BASELINE_S / 3, alone_s=alone_s)
    told = told_beside_baseline(take_turns(pairs, CHECKED, plan_for(0.05, "cpu", 1.0), lambda: 0.0))
    assert told["counted"] is counted
    # A speed-up that is not seen alone is in no mean over tasks.
    assert ("speedup" in told) is counted
    assert bool(told["uncounted_because"]) is not counted


@pytest.mark.parametrize(
    ("fails", "side"),
    [({"candidate": WRONG}, "kernel"), ({"control": ControlFailed("incorrect")}, "baseline")],
)
def test_what_goes_wrong_in_a_call_alone_is_the_fault_of_its_side(fails, side):
    for error in fails.values():
        error.__cause__ = WRONG
    with pytest.raises(SideFailed, match=r"^incorrect: random inputs: error 2$") as failed:
        gated(MadeUpPairs(call_s=BASELINE_S / 4, alone_s=BASELINE_S / 4, fails=fails))
    assert failed.value.side == side
