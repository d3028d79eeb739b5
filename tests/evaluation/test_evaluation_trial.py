"""What a trial asks for, in which order, and what becomes of one that lacked memory."""

import gc
import itertools
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from made_up_trials import NO_MEMORY, Ended, Idle, made_up_trials, starting

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import trial
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.clock.neighbours import Neighbours
from pytest_kernelbench.evaluation.clock.timing import paired_timing
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.correctness.examination import Examined
from pytest_kernelbench.evaluation.correctness.tolerances import REFRESHED
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.sharing import holds
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.tasks.findings import SEEDED

pytestmark = pytest.mark.usefixtures("own_locks")


def test_a_task_s_tensors_go_with_its_last_trial(trials):
    # On a GPU of 80 GB, inputs of the task before were 8.6 GB that the next one lacked.
    gc.disable()
    try:
        (bench := trials[0]._setting.bench).answers_to(bench.check(0, "task"))
        kept = [weakref.ref(each) for each in (bench, bench.example_inputs[0])]
        del bench
        trials.pop().close()
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


def keep_for_long(monkeypatch, share):
    """Have judges keep this share of the device's memory while they wait."""
    monkeypatch.setattr("pytest_kernelbench.evaluation.setting.traits_of", lambda _: SimpleNamespace(share_kept=share))


@pytest.mark.parametrize(("share", "left"), [(0.1, True), (1e-9, False)])
def test_slots_that_take_much_of_a_device_are_freed_while_other_judges_have_it(trials, monkeypatch, share, left):
    keep_for_long(monkeypatch, share)
    setting = starting(Ended, trials[0]._setting)
    setting.rack.first(2)
    assert trial.evaluate(setting, "class ModelNew: pass", Built()).detail == "the process ended"
    assert (setting.rack.n_bytes > 0) is left
    assert len(setting.rack.first(2)) == 2


@pytest.mark.parametrize(("share", "held"), [(0.1, True), (1e-9, False)])
def test_inputs_that_take_much_of_a_device_are_freed_after_each_trial(trials, monkeypatch, share, held):
    keep_for_long(monkeypatch, share)
    setting = starting(Ended, trials[0]._setting)
    example = weakref.ref(setting.bench.example_inputs[0])
    trial.evaluate(setting, "class ModelNew: pass", Built())
    gc.collect()
    assert (example() is not None) is held


def test_a_judge_that_waits_for_its_first_candidate_holds_no_large_inputs(monkeypatch):
    keep_for_long(monkeypatch, 1e-9)
    with made_up_trials() as made:
        assert made[0]._setting.bench.reference._example_inputs is None
        made[0].make_ready()
        assert made[0]._setting.bench.reference._example_inputs is None


def test_tolerances_are_measured_before_slots_take_the_memory(trials):
    setting, seen = trials[0]._setting, []

    class Noting(Ended):
        def wait_until_ready(self):
            seen.append((REFRESHED in setting.bench._tolerances, setting.rack.n_bytes))
            super().wait_until_ready()

    assert REFRESHED not in setting.bench._tolerances
    trial.evaluate(starting(Noting, setting), "class ModelNew: pass", Built())
    assert seen == [(True, 0)]


# As level3/2 failed where eight judges held an H200's memory.
NO_MEMORY_TO_START = HarnessError(
    "made_up/9: a worker on cuda fails while starting (OutOfMemoryError: CUDA out of ...)"
)


@pytest.mark.parametrize("first", [NO_MEMORY, NO_MEMORY_TO_START])
@pytest.mark.parametrize("second", [None, NO_MEMORY, CandidateFailed(Outcome.INCORRECT, "wrong")])
def test_a_candidate_that_finds_no_memory_is_tried_once_more_with_the_fewest_slots(trials, monkeypatch, first, second):
    setting, pairs = trials[0]._setting, []

    def judge(setting, hold, source, notes):
        pairs.append(setting.rack.pairs_in_memory(64))
        notes.found["speedup"] = float(len(pairs))
        if len(pairs) == 1 or second is not None:
            raise first if len(pairs) == 1 else second

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = trial.evaluate(setting, "class ModelNew: pass", Built())
    assert (len(pairs), pairs[0] > 1, pairs[1]) == (2, True, 1)
    assert evaluation.outcome is (Outcome.CORRECT if second is None else second.outcome)
    assert evaluation.speedup == (2.0 if second is None else None)
    # One candidate cannot leave the next ones with fewer calls to be timed by.
    assert setting.rack.pairs_in_memory(64) == pairs[0]


class NoRoom(Ended):
    """A worker for which the judge finds no memory."""

    def wait_until_ready(self):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("hold_of", "raised"), [(holds.beside_others, RuntimeError), (holds.alone, HarnessError)])
def test_memory_that_a_judge_lacks_is_nobody_s_fault_while_stopped_candidates_may_hold_it(trials, hold_of, raised):
    setting = starting(NoRoom, trials[0]._setting)
    with hold_of("made-up") as hold, pytest.raises(raised, match="out of memory"):
        hold.be_alone()
        trial._judge(setting, hold, "class ModelNew: pass", Notes({}))


@pytest.mark.parametrize(("pairs", "beside_others", "alone"), [(5, [1], [12]), (7, [12], [12])])
def test_beside_others_a_large_task_has_one_slot_until_it_is_timed(trials, monkeypatch, pairs, beside_others, alone):
    # A tenth of the device is room for so many pairs; a block has six.
    setting = trials[0]._setting
    memory_bytes = int(10 * (pairs + 0.5) * setting.bench.bytes_of_pair)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.memory_bytes", lambda: memory_bytes)
    for hold, expected in ((holds.beside_others, beside_others), (holds.alone, alone)):
        asked_for = []
        session = SimpleNamespace(rack=setting.rack, built_s=0.0, have_slots=asked_for.append)
        session.wait_until_ready, session.load = (lambda: None), (lambda source: None)
        with hold("made-up") as held:
            trial._load(setting, held, session, "class ModelNew: pass", {})
        assert asked_for == expected


@pytest.mark.parametrize(
    ("findings", "outcome", "uncounted_because"),
    [
        ({}, Outcome.VOID, ""),
        ({"repeatable": SEEDED}, Outcome.VOID, ""),
        ({"constant": True}, Outcome.CORRECT, "the task's answer does not depend on its inputs"),
    ],
)
def test_no_evidence_is_looked_for_where_the_answer_is_a_constant(
    trials, monkeypatch, findings, outcome, uncounted_because
):
    # Beside other tests, a floor is no evidence.
    monkeypatch.setattr(Neighbours, "used_and_had", lambda self: (0.0, 1.0))
    # A kernel that returns ones that it made before has launched no kernel, and needs less time than any copy.
    monkeypatch.setattr(trial, "examine_with_either_weights", lambda *_: Examined(0.001, ()))
    monkeypatch.setattr(trial, "propose", lambda *_, **__: paired_timing([2.0] * 12, [1e-6] * 12))
    monkeypatch.setattr(trial, "_load", lambda *_: None)
    monkeypatch.setattr(trial, "examine_what_is_not_covered", lambda *_: None)
    monkeypatch.setattr(Verifier, "unrecorded", None)
    setting = trials[0]._setting
    setting = replace(setting, findings=replace(setting.findings, **findings), other_sizes=None)
    found = trial.evaluate(starting(Idle, setting), "class ModelNew: pass", Built())
    assert (found.outcome, found.uncounted_because) == (outcome, uncounted_because), found.detail
    assert found.counted is (False if uncounted_because else None)


def test_where_other_processes_hold_the_memory_it_is_the_harness_that_failed(trials, monkeypatch):
    monkeypatch.setattr("pytest_kernelbench.evaluation.trial.is_gpu", lambda device: True)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.bytes_of_others", lambda: 60 << 30)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.memory_bytes", lambda: 80 << 30)

    def judge(*_):
        raise NO_MEMORY

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    with pytest.raises(HarnessError) as raised:
        trial.evaluate(trials[0]._setting, "class ModelNew: pass", Built())
    assert str(raised.value) == (
        "made_up/9_batch: a candidate finds no memory on the device, of which other processes hold 75%; "
        "end them, or use fewer workers (-n), and run again to resume"
    )


@pytest.mark.parametrize(("held_gib", "is_to_blame"), [(27, True), (25, False)])
def test_a_candidate_is_to_blame_for_missing_memory_if_an_honest_one_could_not_hold_so_much(
    trials, monkeypatch, held_gib, is_to_blame
):
    device, setting = "pytest_kernelbench.evaluation.device.cpu", trials[0]._setting
    # It is tried twice, the second time with the fewest slots.
    held = itertools.cycle([60 << 30, 60 - held_gib << 30])
    monkeypatch.setattr(f"{device}.bytes_of_others", lambda: next(held))
    # A fifth of it, and 10 GiB for an answer.
    monkeypatch.setattr(f"{device}.memory_bytes", lambda: 80 << 30)
    monkeypatch.setattr(type(setting.bench), "bytes_to_answer", 10 << 30)

    def prepare(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(trial, "prepare", prepare)
    if is_to_blame:
        found = trial.evaluate(starting(Idle, setting), "class ModelNew: pass", Built())
        assert found.outcome is Outcome.RUNTIME_ERROR
        assert found.detail == "leaves the device no memory to check its answers in"
    else:
        with pytest.raises(HarnessError, match=r"the device has no memory left .* end what else runs on it"):
            trial.evaluate(starting(Idle, setting), "class ModelNew: pass", Built())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no 25769803776 bytes of device memory to share with a worker"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_judge_that_finds_no_memory_tries_once_more_with_the_fewest_slots(trials, monkeypatch, error):
    setting, pairs = trials[0]._setting, []

    def prepare(*_):
        pairs.append(setting.rack.pairs_in_memory(64))
        raise error

    monkeypatch.setattr(trial, "prepare", prepare)
    with pytest.raises(HarnessError, match="the device has no memory left"):
        trial.evaluate(starting(Idle, setting), "class ModelNew: pass", Built())
    assert pairs == [64, 1]
