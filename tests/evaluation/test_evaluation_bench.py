"""What the judge knows of a task: answers in float64, of a batch in parts."""

import gc
import weakref

import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness import parts as parts_module
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.handles.racks import SHARE_FOR_TURNS, SHARE_KEPT_BESIDE_OTHERS, Rack
from pytest_kernelbench.evaluation.sharing import holds, lock

BATCH = "torch.rand(30, n)"


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


def test_checks_are_answered_ahead_as_far_as_they_are_kept(monkeypatch):
    kinds = ["task", "signed"]
    bench = bench_of("torch.relu(x)")
    bench.answer_ahead(kinds)
    checks = [bench.check(number, kind) for number, kind in enumerate(kinds)]
    assert [check.kind for check in checks if check.answers] == kinds
    assert [bench.check(number, kind) for number, kind in enumerate(kinds)] == checks
    for memory in ("memory_bytes", "free_bytes"):
        monkeypatch.setattr(cpu, memory, lambda: 0)
    short = bench_of("torch.relu(x)")
    drawn = []
    draw = short.reference.draw
    monkeypatch.setattr(short.reference, "draw", lambda kind: drawn.append(kind) or draw(kind))
    short.answer_ahead(kinds)
    assert drawn == ["task"]
    assert short.check(0, "task").answers is None


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
    bench.reference.variants.of(widened=True).register_forward_pre_hook(lambda *_: asked.append(1))
    bench.measure_tolerances(["task", "signed"])
    measured = len(asked)
    bench.measure_tolerances(["signed", "task"])
    for number, kind in enumerate(["task", "signed", "task", "signed"]):
        (expected,) = bench.answers_to(bench.check(number, kind))
        assert expected.tolerance.kernelbench == (1e-4 if kind == "task" else float("inf"))
    bench.answers(bench.refreshed(1)[0].values())
    assert len(asked) == measured


def test_tolerances_of_an_earlier_request_are_not_measured_again():
    tolerances = {}
    bench_of("torch.relu(x)", tolerances=tolerances).measure_tolerances(["task"])
    again = bench_of("torch.relu(x)", tolerances=tolerances)
    asked = []
    again.reference.variants.of(widened=True).register_forward_pre_hook(lambda *_: asked.append(1))
    again.measure_tolerances(["task"])
    assert not asked
    (expected,) = again.answers_to(again.check(0, "task"))
    assert [expected.tolerance] == tolerances["task"]


def test_without_a_float64_kernel_kernelbench_s_tolerance_holds():
    bench = bench_of("torch.relu(x)")

    def missing(*_):
        raise RuntimeError("not implemented for 'Double'")

    bench.reference.variants.of(widened=True).register_forward_pre_hook(missing)
    (expected,) = bench.answers_to(bench.check(0, "signed"))
    assert (expected.tolerance.kernelbench, expected.tolerance.rounding) == (1e-4, float("inf"))


@pytest.mark.parametrize("words", ["CUDA out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"])
def test_where_others_may_have_the_memory_for_float64_no_tolerance_is_measured_without(tmp_path, monkeypatch, words):
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)
    bench = bench_of("torch.relu(x)")
    bench.usable("signed")

    def no_memory(*_):
        raise torch.OutOfMemoryError(words)

    bench.reference.variants.of(widened=True).register_forward_pre_hook(no_memory)
    with holds.beside_others("made-up"), pytest.raises(torch.OutOfMemoryError):
        bench.measure_tolerances(["task"])
    assert bench._tolerances == {}
    # Alone, it is the task that does not fit twice.
    with holds.alone("made-up"):
        bench.measure_tolerances(["task"])
    assert bench._tolerances["task"][0].rounding == float("inf")


def test_a_library_that_finds_no_memory_does_not_say_that_a_kind_of_inputs_is_undefined():
    bench = bench_of("torch.relu(x)")

    def no_memory(*_):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    bench.usable("signed")
    bench.reference._model.register_forward_pre_hook(no_memory)
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED"):
        bench.usable("wide")


def test_slots_are_as_many_as_fit_into_the_memory_that_is_free_when_they_are_made(monkeypatch):
    bench = bench_of("torch.relu(x)")
    rack = Rack(bench)
    free = {"bytes": 20 * bench.bytes_of_pair}
    monkeypatch.setattr(cpu, "free_bytes", lambda: free["bytes"])
    # Beside other trials: 30 % of what is free.
    assert rack.pairs_in_memory(64) == 5
    rack.first(10)
    # What there is stays, also where nothing is free.
    free["bytes"] = 0
    assert (rack.pairs_in_memory(64), rack.pairs_in_memory(3)) == (5, 3)
    free["bytes"] = 1000 * bench.bytes_of_pair
    assert rack.pairs_in_memory(64) == 64
    rack.make_room_for(1)
    assert rack.pairs_in_memory(64) == 1


@pytest.mark.parametrize(("slots_kept", "calls"), [(40, 39), (11, 200)])
def test_a_turn_has_no_more_slots_than_may_be_kept_where_these_are_enough(monkeypatch, slots_kept, calls):
    bench = bench_of("torch.relu(x)")
    rack, slot_bytes = Rack(bench), bench.bytes_of_pair / 2
    monkeypatch.setattr(cpu, "free_bytes", lambda: 10_000 * slot_bytes)
    monkeypatch.setattr(cpu, "memory_bytes", lambda: slots_kept * slot_bytes / SHARE_KEPT_BESIDE_OTHERS)
    assert rack.calls_in_memory(200) == calls
    rack.first(calls)
    assert (rack.n_bytes <= SHARE_KEPT_BESIDE_OTHERS * cpu.memory_bytes()) is (calls == 39)
    assert rack.calls_in_memory(5) == 5


def test_a_turn_of_large_calls_has_the_slots_that_fit_beside_the_outputs_of_both_workers(monkeypatch):
    bench = bench_of("torch.relu(x)")
    rack, slot, output = Rack(bench), bench.bytes_of_pair / 2, bytes_of(bench.example_outputs)
    monkeypatch.setattr(cpu, "memory_bytes", lambda: 1)
    # Less than a pair of slots needs by its own rule, for which 30 % are taken.
    monkeypatch.setattr(cpu, "free_bytes", lambda: 0)
    beside = bench.bytes_to_answer + 2 * output
    for calls, there in ((3, 0), (3, 2), (1, 2)):
        rack.first(there)
        taken = beside + calls * 2 * output + max(0, calls - there) * slot
        monkeypatch.setattr(cpu, "obtainable_bytes", lambda taken=taken: (taken + slot / 2) / SHARE_FOR_TURNS)
        assert rack.calls_in_memory(5) == calls
    monkeypatch.setattr(cpu, "obtainable_bytes", lambda: 0)
    assert rack.calls_in_memory(5) == 1
    monkeypatch.setattr(bench, "example_outputs", [])
    assert rack.calls_in_memory(5) == 1


def test_the_reference_is_not_computed_in_tf32():
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    bench_of("torch.relu(x)")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_what_a_task_s_file_chooses_does_not_change_the_declared_precision():
    task_of_file = task("9_tf32", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(4)")
    source = task_of_file.source.replace("class Model", "torch.backends.cuda.matmul.allow_tf32 = True\n\nclass Model")
    Bench(task_of_file.id, source, seed=1, device="cpu", precision="float32")
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_bench_that_is_renewed_has_other_inputs_and_is_as_strict():
    bench = bench_of("torch.relu(x)")
    before = [bench.example_inputs[0], *bench.check(0, "signed").values, bench._factors]
    bench.measure_tolerances(["task"])
    tolerances = dict(bench._tolerances)
    bench.renew()
    after = [bench.example_inputs[0], *bench.check(0, "signed").values, bench._factors]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert bench._tolerances == tolerances


def test_a_bench_that_is_renewed_holds_no_inputs():
    bench = bench_of("torch.relu(x)")
    (drawn,) = bench.refreshed(1)
    held = [weakref.ref(each) for each in (bench.example_inputs[0], bench.check(0, "signed").values[0])]
    assert drawn.original[0] is bench.example_inputs[0]
    del drawn
    bench.renew()
    gc.collect()
    assert [each() for each in held] == [None, None]


def test_a_tensor_that_a_task_hands_out_again_and_again_is_not_changed_where_no_example_is_held():
    of_module = task("9_constant", "def forward(self, x):\n    return torch.relu(x)", inputs="ALWAYS")
    bench = Bench(of_module.id, f"{of_module.source}\nALWAYS = torch.rand(30)\n", seed=0, device="cpu")
    before = bench.example_inputs[0].clone()
    bench.renew()
    assert bench.check(0, "signed").values[0].min() < 0
    assert torch.equal(bench.example_inputs[0], before)
