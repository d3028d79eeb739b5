"""What the judge knows of a task: answers in float64, of a batch in parts."""

import gc
import socket
import weakref
from dataclasses import replace

import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.correctness import parts as parts_module
from pytest_kernelbench.evaluation.device.cpu import NoClocks
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.trial import evaluate
from pytest_kernelbench.evaluation.trials import Known, Trials
from pytest_kernelbench.records import Outcome

BATCH = "torch.rand(30, n)"


class Workers:
    """None is needed: no candidate is tried."""

    def call_up(self):
        pass

    settle = call_up


def bench_of(forward, inputs=BATCH, n=500, **known):
    made = task("9_batch", f"def forward(self, x, *more):\n    return {forward}", inputs=inputs, n=n)
    return Bench(made.id, made.source, seed=0, device="cpu", **known)


def test_a_bench_has_a_floor_once_it_is_measured_and_a_lower_one_never_rises():
    bench = bench_of("torch.relu(x)")
    assert bench.floor_ms is None
    first = bench.measure_floor()
    assert bench.measure_floor() == first
    assert 0 < bench.lower_floor() <= first
    assert bench.measure_floor() == bench.floor_ms <= first


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("torch.softmax(x, dim=1)", BATCH),
        ("x.argmax(dim=1)", BATCH),
        ("(x.sum(dim=1, keepdim=True), x * more[0], more[1])", f"{BATCH}, {BATCH}, torch.rand(30)"),
    ],
    ids=["softmax", "integers", "several"],
)
def test_a_batch_s_answers_come_in_parts_and_are_those_of_the_whole(monkeypatch, forward, inputs):
    whole = bench_of(forward, inputs)
    monkeypatch.setattr(parts_module, "AT_ONCE_BYTES", 50_000)
    parted = bench_of(forward, inputs)
    assert (whole.reference.n_parts, parted.reference.n_parts > 1) == (1, True)
    values = whole.check(0, "task").values
    for widened in (False, True):
        answers = [each.reference.answers(values, widened=widened) for each in (whole, parted)]
        for one, other in zip(*answers, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("x - x.mean(dim=0)", BATCH),
        ("x.cumsum(dim=0)", BATCH),
        ("x.flip(0).cumsum(dim=0).flip(0)", BATCH),
        ("x @ more[0]", "torch.rand(300, 300), torch.rand(300, 300)"),
        ("x @ more[0]", "torch.rand(30, 300), torch.rand(300, 30)"),
        ("x.sum()", BATCH),
        ("x.view(10, -1)", BATCH),
    ],
    ids=["mean", "from above", "from below", "square product", "product", "sum", "shape"],
)
def test_what_depends_on_other_rows_is_computed_at_once(monkeypatch, forward, inputs):
    monkeypatch.setattr(parts_module, "AT_ONCE_BYTES", 50_000)
    assert bench_of(forward, inputs).reference.n_parts == 1


def test_answers_are_computed_when_they_are_asked_for_and_once():
    bench = bench_of("torch.relu(x)")
    asked = []
    answers = bench.answers
    bench.answers = lambda values, kind: asked.append(kind) or answers(values, kind)
    check = bench.check(0, "task")
    assert asked == []
    assert bench.answers_to(check) is bench.answers_to(check)
    assert asked == ["task"]
    assert bench.check(0, "task") is check


def test_float64_is_asked_once_for_each_kind_of_inputs():
    bench = bench_of("torch.relu(x)")
    asked = []
    bench.reference._exact_model.register_forward_pre_hook(lambda *_: asked.append(1))
    bench.measure_tolerances(["task", "signed"])
    measured = len(asked)
    bench.measure_tolerances(["signed", "task"])
    for number, kind in enumerate(["task", "signed", "task", "signed"]):
        (expected,) = bench.answers_to(bench.check(number, kind))
        assert expected.tolerance.kernelbench == (1e-4 if kind == "task" else float("inf"))
    bench.answers(bench.refreshed().values())
    assert len(asked) == measured


def test_tolerances_of_an_earlier_request_are_not_measured_again():
    tolerances = {}
    bench_of("torch.relu(x)", tolerances=tolerances).measure_tolerances(["task"])
    again = bench_of("torch.relu(x)", tolerances=tolerances)
    asked = []
    again.reference._exact_model.register_forward_pre_hook(lambda *_: asked.append(1))
    again.measure_tolerances(["task"])
    assert not asked
    (expected,) = again.answers_to(again.check(0, "task"))
    assert [expected.tolerance] == tolerances["task"]


def test_without_a_float64_kernel_kernelbench_s_tolerance_holds():
    bench = bench_of("torch.relu(x)")

    def missing(*_):
        raise RuntimeError("not implemented for 'Double'")

    bench.reference._exact_model.register_forward_pre_hook(missing)
    (expected,) = bench.answers_to(bench.check(0, "signed"))
    assert (expected.tolerance.kernelbench, expected.tolerance.rounding) == (1e-4, float("inf"))


def test_the_reference_is_not_computed_in_tf32():
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    bench_of("torch.relu(x)")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_a_bench_that_is_renewed_has_other_inputs_and_is_as_strict():
    bench = bench_of("torch.relu(x)")
    before = [bench.example_inputs[0], *bench.check(0, "signed").values, bench._factors]
    bench.measure_tolerances(["task"])
    tolerances = dict(bench._tolerances)
    bench.renew()
    after = [bench.example_inputs[0], *bench.check(0, "signed").values, bench._factors]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert bench._tolerances == tolerances


@pytest.fixture
def trials():
    """Trials of a task, with no worker to be had."""
    case = {
        **{"task": "made_up/9", "source": bench_of("torch.relu(x)").source, "seed": 0},
        **{"protocol": "fast", "torch_operators": "allowed", "cache": "builds"},
        **{"precision": "float32", "parameters": "any"},
    }
    owner, judge = socket.socketpair()
    with owner, judge:
        # In a list: a test may let go of them.
        yield [
            Trials(
                case,
                owner=judge,
                workers=Workers(),
                device="cpu",
                hardware_id="made-up",  # a lock that no other test waits for
                clocks=NoClocks(),
                known=Known(),
            )
        ]


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


class Ended:
    """A worker that ends before it is ready."""

    def wait_until_ready(self):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    def close(self):
        pass


@pytest.mark.parametrize(("share", "left"), [(0.1, True), (1e-9, False)])
def test_slots_that_take_much_of_a_device_are_freed_while_other_judges_have_it(trials, monkeypatch, share, left):
    monkeypatch.setattr("pytest_kernelbench.evaluation.trial.SHARE_KEPT_BETWEEN_TRIALS", share)
    setting = replace(trials[0]._setting, start=Ended)
    setting.rack.first(2)
    assert evaluate(setting, "class ModelNew: pass", Built()).detail == "the process ended"
    assert (setting.rack.n_bytes > 0) is left
    assert len(setting.rack.first(2)) == 2


NO_MEMORY = CandidateFailed(Outcome.RUNTIME_ERROR, "OutOfMemoryError: CUDA out of memory. Tried to allocate 4.00 GiB.")


@pytest.mark.parametrize("second", [None, NO_MEMORY, CandidateFailed(Outcome.INCORRECT, "wrong")])
def test_a_candidate_that_finds_no_memory_is_tried_once_more_with_the_fewest_slots(trials, monkeypatch, second):
    setting, pairs = trials[0]._setting, []

    def judge(setting, hold, source, found, seconds):
        pairs.append(setting.rack.pairs_in_memory(64))
        found["speedup"] = float(len(pairs))
        if len(pairs) == 1 or second is not None:
            raise NO_MEMORY if len(pairs) == 1 else second

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = evaluate(setting, "class ModelNew: pass", Built())
    assert (len(pairs), pairs[0] > 1, pairs[1]) == (2, True, 1)
    assert evaluation.outcome is (Outcome.CORRECT if second is None else second.outcome)
    assert evaluation.speedup == (2.0 if second is None else None)
    # One candidate cannot leave the next ones with fewer calls to be timed by.
    assert setting.rack.pairs_in_memory(64) == pairs[0]


@pytest.mark.parametrize(
    ("first", "times"),
    [
        (CandidateFailed(Outcome.TIMEOUT, "no answer within 10 s"), 2),
        (NO_MEMORY, 2),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "RuntimeError: CUBLAS_STATUS_ALLOC_FAILED"), 2),
        (torch.OutOfMemoryError("the judge's own"), 2),
        (HarnessError("made_up/9: a worker does not start"), 2),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "ZeroDivisionError"), 1),
        (CandidateFailed(Outcome.INCORRECT, "wrong"), 1),
    ],
)
def test_what_may_have_failed_for_its_company_is_tried_again_alone(trials, monkeypatch, first, times):
    holds = []

    def judge(setting, hold, source, found, seconds):
        holds.append(hold.is_alone)
        assert "speedup" not in found
        found["speedup"] = 2.0
        if len(holds) == 1:
            raise first

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = evaluate(replace(trials[0]._setting, beside_others=True), "class ModelNew: pass", Built())
    assert holds == [False, True][:times]
    assert evaluation.outcome is (Outcome.CORRECT if times == 2 else first.outcome)


def test_where_other_processes_hold_the_memory_it_is_the_harness_that_failed(trials, monkeypatch):
    monkeypatch.setattr("pytest_kernelbench.evaluation.trial.is_gpu", lambda device: True)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.bytes_of_others", lambda: 60 << 30)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.memory_bytes", lambda: 80 << 30)

    def judge(*_):
        raise NO_MEMORY

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    with pytest.raises(HarnessError) as raised:
        evaluate(trials[0]._setting, "class ModelNew: pass", Built())
    assert str(raised.value) == (
        "made_up/9: a candidate finds no memory on the device, of which other processes hold 75%; "
        "end them, or use fewer workers (-n), and run again to resume"
    )
