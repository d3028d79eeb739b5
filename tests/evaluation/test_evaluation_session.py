"""What the judge asks of a worker, and when, where memory is short."""

import os
import time

import pytest
import torch
from hostile_answers import HONEST
from made_up_session import answer_rightly

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.foreign import Place
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles import device_room


def test_a_worker_is_asked_for_its_memory_only_where_the_judge_would_lack_it(session, worker, monkeypatch):
    drawn = session.refresh(session.slots)
    answer_rightly(session, session.slots)
    session.check_timed(session.slots, drawn)
    assert worker.asked == []
    monkeypatch.setattr(cpu, "obtainable_bytes", lambda: session.bench.bytes_to_answer - 1)
    # What was free a moment ago is not asked for again; what is mapped makes it uncertain.
    session.check_timed(session.slots, drawn)
    assert worker.asked == []
    session.room.look_anew()
    session.check_timed(session.slots, drawn)
    assert [ask for ask, _ in worker.asked] == ["leave_room"]


def test_a_judge_that_holds_the_memory_for_an_answer_does_not_ask_what_is_free(session, worker, monkeypatch):
    looks = []
    monkeypatch.setattr(cpu, "obtainable_bytes", lambda: looks.append("look") or 0)
    monkeypatch.setattr(cpu, "unused_bytes", lambda: session.bench.bytes_to_answer + 1)
    session.make_room_for_judge()
    assert looks == [] and worker.asked == []
    monkeypatch.setattr(cpu, "unused_bytes", lambda: session.bench.bytes_to_answer)
    session.make_room_for_judge()
    assert looks == ["look"] and [ask for ask, _ in worker.asked] == ["leave_room"]


def test_what_gave_its_memory_back_allocates_anew_before_it_sees_the_inputs_it_is_timed_on(session, worker):
    drawn = session.refresh(session.slots)
    before = [slot.inputs[0].tensor.clone() for slot in session.slots]
    session.room.worker_is_cold = True
    session.refresh(session.slots)
    ((ask, seen),) = worker.asked
    assert ask == "warm"
    assert all(torch.equal(one, other) for one, other in zip(seen, before, strict=True))
    assert not any(torch.equal(slot.inputs[0].tensor, old) for slot, old in zip(session.slots, before, strict=True))
    session.refresh(session.slots)
    assert len(worker.asked) == 1
    assert len(drawn) == 2


def test_the_judge_looks_at_its_own_memory_again_only_when_it_holds_more(session, monkeypatch):
    held, looks = [5], []
    monkeypatch.setattr(cpu, "held_bytes", lambda: held[0])
    monkeypatch.setattr(cpu, "leave_room", lambda wanted: looks.append(held[0]))
    for more in (0, 0, 2, 0, -3, 3):
        held[0] += more
        session.warm(*session.slots, times=1)
    # The second look is made because the worker's peak is known by then.
    assert looks == [5, 5, 7]
    # Whoever gave its memory back needs it anew.
    monkeypatch.setattr(cpu, "obtainable_bytes", lambda: session.bench.bytes_to_answer - 1)
    session.room.for_judge(session.leave_room)
    session.warm(*session.slots, times=1)
    assert looks == [5, 5, 7, 7]


def test_before_a_worker_s_peak_is_known_half_of_the_device_is_to_be_free(session, monkeypatch):
    wanted = []
    monkeypatch.setattr(cpu, "memory_bytes", lambda: 1000)
    monkeypatch.setattr(cpu, "leave_room", wanted.append)
    session.room.look_anew()
    session.warm(*session.slots, times=1)
    session.room.worker_had(40)
    session.warm(*session.slots, times=1)
    assert wanted == [500, 10]


def test_the_outputs_that_a_turn_keeps_are_to_be_free_before_its_first_calls_only(session, monkeypatch):
    def timed_and_frozen(request):
        session.room.for_worker()
        raise messages.ConnectionEnded

    wanted = []
    monkeypatch.setattr(cpu, "leave_room", wanted.append)
    monkeypatch.setattr(session, "timed_and_frozen", timed_and_frozen)
    session.room.worker_had(400)
    output_bytes = bytes_of(session.bench.example_outputs)
    for n_calls in (1, 1, 2, 1):
        with pytest.raises(messages.ConnectionEnded):
            session.calls(session.slots[:n_calls])
    spare = [round((400 + n * output_bytes) / 4) for n in (1, 2)]
    assert wanted == [spare[0] + output_bytes, spare[1] + output_bytes]


def test_others_are_not_timed_right_after_the_judge_has_freed_memory(session, monkeypatch):
    held, pauses = [5], []
    monkeypatch.setattr(cpu, "held_bytes", lambda: held[0])
    monkeypatch.setattr(cpu, "leave_room", lambda wanted: held.__setitem__(0, min(held[0], 3)))
    monkeypatch.setattr(device_room.time, "sleep", pauses.append)
    session.room.for_worker()
    session.room.for_worker()
    assert pauses == [device_room.AFTER_FREEING_S]


def test_a_frozen_worker_that_gave_its_memory_back_is_called_untimed_on_old_inputs(session, monkeypatch):
    called = []
    monkeypatch.setattr(session, "calls", called.append)
    session.take_memory_again(session.slots)
    assert called == []
    session.room.worker_is_cold = True
    session.take_memory_again(session.slots)
    session.take_memory_again(session.slots)
    assert called == [session.slots]


def test_inputs_that_somebody_changed_are_told_from_those_that_were_drawn(session):
    drawn = session.refresh(session.slots)
    for slot in session.slots:
        assert torch.equal(session.check_inputs(slot, drawn[slot.number], slot.given())[0], slot.inputs[0].tensor)
    one, other = session.slots
    other.inputs[0].tensor.add_(1)
    session.check_inputs(one, drawn[one.number], one.given())
    with pytest.raises(CandidateFailed) as failure:
        session.check_inputs(other, drawn[other.number], other.given())
    detail = "a timed call, but no untimed one: changes its inputs"
    assert (failure.value.detail, failure.value.flags) == (detail, ("mutated_input",))


def test_what_a_call_left_is_compared_with_the_answer_to_its_own_inputs_and_not_to_what_is_in_its_slot_by_then(session):
    drawn = session.refresh(session.slots)
    answer_rightly(session, session.slots)
    slot = session.slots[0]
    left, values = slot.left(), drawn[slot.number].values()
    session.refresh(session.slots)
    session.check_left(slot, left, values)
    left[0].add_(1)
    with pytest.raises(CandidateFailed, match="a timed call, but no untimed one: error 1 where"):
        session.check_left(slot, left, values)


def test_what_the_judge_tidies_up_before_a_turn_is_not_in_its_time(session, monkeypatch):
    monkeypatch.setattr(cpu, "leave_room", lambda wanted: time.sleep(0.2))
    seconds, places = session.calls(session.slots)
    assert seconds < 0.15
    assert places == [[Place(4096, (1,))], [Place(8192, (1,))]]


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        ({"at": [4096]}, "calls: at: expected 2"),
        ({"strides": [1]}, "calls: strides: wrong number"),
        ({"strides": [0, 1]}, "calls: strides: not of a tensor with an element for each number"),
    ],
)
def test_places_that_no_outputs_can_have_are_forged(session, monkeypatch, told, detail):
    monkeypatch.setitem(HONEST, "calls", {**HONEST["calls"], **told})
    with pytest.raises(CandidateFailed) as failure:
        session.calls(session.slots)
    assert failure.value.detail == f"an answer that the harness does not give: {detail}"


def test_memory_that_was_returned_twice_is_asked_for_again(session, monkeypatch):
    monkeypatch.setitem(HONEST, "calls", {"reused": True})
    assert session.calls(session.slots) is None


def test_a_rehearsal_opens_each_allocation_that_has_outputs_and_tells_how_long_it_took(session, worker, monkeypatch):
    read = []
    monkeypatch.setattr(session, "read", read.append)
    told = {"at": [0, 512, 0], "strides": [1] * 3, "handle": [0, 0, 1], "handles": ["one", "other"]}
    monkeypatch.setitem(HONEST, "rehearse", told)
    started = time.perf_counter()
    seconds = session.rehearse([*session.slots, session.slots[0]])
    assert 0 < seconds <= time.perf_counter() - started
    assert [ask for ask, _ in worker.asked] == ["rehearse"]
    assert read == [[Place(0, (1,), "one")], [Place(0, (1,), "other")]]
    monkeypatch.setitem(HONEST, "rehearse", {"reused": True})
    session.rehearse(session.slots)
    assert len(read) == 2
    monkeypatch.setitem(HONEST, "rehearse", {"mismatch": "a number"})
    with pytest.raises(CandidateFailed, match="returns a number"):
        session.rehearse(session.slots)


def test_an_output_is_read_where_the_worker_has_it(session, worker, monkeypatch):
    monkeypatch.setattr(type(worker), "process", os.getpid(), raising=False)
    there = torch.rand(1000)
    (found,) = session.read([Place(there.data_ptr(), (1,))])
    assert torch.equal(found, there)
    with pytest.raises(CandidateFailed) as failure:
        session.read([Place(16, (1,))])
    assert failure.value.detail.startswith("an answer that the harness does not give: an output where none is: ")


def test_a_session_is_closed_once(session):
    session.close()
    session.close()
