"""Turns of two workers, and what of them is looked at: at once, or once others may use the device."""

from itertools import pairwise

import pytest
from made_up_turns import INPUT, OUTPUT, Worker

from pytest_kernelbench.evaluation.clock import turns
from pytest_kernelbench.evaluation.clock.turns import (
    CHECKED_AT_RANDOM,
    CONTROL_CHECKED,
    LONE_TURNS_CHECKED,
    ControlFailed,
    TakingTurns,
)
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome

TURNS = 400


def test_a_candidate_s_answers_are_checked_after_every_turn():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4)
    of_turns = []
    for _ in range(TURNS):
        before = len(candidate.answers_checked)
        assert two.turn("candidate") == 0.005
        of_turns.append(len(candidate.answers_checked) - before)
    # The last call's, and that of one at random, which may be the same.
    assert set(of_turns) == {1, 1 + CHECKED_AT_RANDOM}
    assert candidate.inputs_checked == candidate.answers_checked


def test_a_control_s_inputs_are_checked_after_every_turn_and_its_answers_after_some():
    control = Worker()
    two = TakingTurns(Worker(), control, 4)
    with_inputs = with_answers = 0
    for _ in range(TURNS):
        inputs, answers = len(control.inputs_checked), len(control.answers_checked)
        two.turn("control")
        with_inputs += len(control.inputs_checked) > inputs
        with_answers += len(control.answers_checked) > answers
    assert with_inputs == TURNS
    # Five standard errors.
    assert with_answers == pytest.approx(CONTROL_CHECKED * TURNS, abs=50)


def test_outputs_are_all_copied_before_one_is_compared():
    # To compare one, the worker may be asked to free memory, and runs meanwhile.
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4)
    for _ in range(20):
        two.turn("candidate")
    assert "check,read" not in ",".join(candidate.did)


def test_turns_of_one_call_have_slots_of_their_own_and_some_of_their_answers_are_looked_at_after_the_last():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4)
    assert two.lone_turns("candidate") == [0.005] * 4
    assert candidate.calls_of_turns == [1] * 4
    assert sorted(candidate.called) == [0, 1, 2, 3]
    assert len(set(candidate.answers_checked)) == len(candidate.answers_checked) == LONE_TURNS_CHECKED
    assert [each == "check" for each in candidate.did[-LONE_TURNS_CHECKED:]] == [True] * LONE_TURNS_CHECKED
    two.turn("candidate")
    assert candidate.calls_of_turns[-1] == 4


def test_inputs_and_outputs_may_wait_until_others_may_use_the_device():
    candidate, control = Worker(), Worker()
    two = TakingTurns(candidate, control, 4, most_unchecked=1e6)
    for _ in range(20):
        two.turn("candidate"), two.turn("control")
    two.lone_turns("candidate")
    assert candidate.answers_checked == control.answers_checked == []
    assert candidate.inputs_checked == control.inputs_checked == []
    two.check_outputs()
    assert len(candidate.inputs_checked) >= 20 + LONE_TURNS_CHECKED
    assert candidate.answers_checked == candidate.inputs_checked
    assert 0 < len(control.answers_checked) < len(control.inputs_checked)
    two.check_outputs()
    assert candidate.answers_checked == candidate.inputs_checked


def test_what_takes_much_memory_does_not_wait():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4, most_unchecked=3 * (INPUT.nbytes + OUTPUT.nbytes))
    checked = []
    for _ in range(20):
        two.turn("candidate")
        checked.append(len(candidate.answers_checked))
    # After each turn, one or two more are waiting.
    assert checked[0] == 0 and {b - a for a, b in pairwise(checked)} <= {0, 4, 5}
    assert candidate.answers_checked == candidate.inputs_checked


def test_inputs_that_take_more_memory_than_may_wait_are_not_copied():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4, most_unchecked=INPUT.nbytes - 1)
    two.turn("candidate")
    assert candidate.answers_checked == candidate.inputs_checked != []


@pytest.mark.parametrize(("side", "error"), [("candidate", CandidateFailed), ("control", ControlFailed)])
@pytest.mark.parametrize(
    ("check", "detail"), [("check_inputs", "changes its inputs"), ("check_left", "error 1 where 0 is allowed")]
)
@pytest.mark.parametrize("most_unchecked", [0, 1e6, OUTPUT.nbytes])
def test_what_is_wrong_is_the_fault_of_the_side_whose_turn_it_was_whenever_it_is_seen(
    side, error, check, detail, most_unchecked
):
    two_sides = {"candidate": Worker(), "control": Worker()}

    def fails(slot, *_):
        raise CandidateFailed(Outcome.INCORRECT, detail)

    setattr(two_sides[side], check, fails)
    two = TakingTurns(**two_sides, calls=4, most_unchecked=most_unchecked)
    with pytest.raises(error, match=detail):
        for _ in range(TURNS):
            # The other side's turn may be the one after which many outputs are waiting.
            two.turn("candidate"), two.turn("control")
        two.check_outputs()


def test_an_error_in_a_control_s_turn_of_one_call_is_the_control_s():
    control = Worker()

    def calls(slots):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    control.calls = calls
    with pytest.raises(ControlFailed, match="the process ended"):
        TakingTurns(Worker(), control, 4).lone_turns("control")


def test_a_control_that_is_tried_as_the_candidate_is_checked_like_one():
    control = Worker()
    TakingTurns(control, control, 4).turn("control")
    assert control.answers_checked == control.inputs_checked != []


def test_which_turns_of_the_control_are_checked_cannot_be_foreseen():
    assert type(turns._random).__name__ == "SystemRandom"
