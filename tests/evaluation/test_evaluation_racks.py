"""The memory that judge and worker share: what is written into many slots at once is what each would get alone."""

from dataclasses import replace

import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.handles import racks
from pytest_kernelbench.evaluation.handles.racks import Rack, refresh

# A small input, one whose rows and columns have factors, labels that are not changed, another layout, one element, and
# another type.
INPUTS = """torch.rand(4, 6) - 0.5, torch.rand(5, 5), torch.arange(6), torch.rand(6, 4).t(), torch.rand(()),
        torch.rand(3, dtype=torch.float64)"""
BODY = "def forward(self, x, square, labels, turned, one, other):\n    return x + turned + one + labels"


@pytest.fixture
def bench():
    each = task("9_many", BODY, inputs=INPUTS)
    return Bench(each.id, each.source, seed=3, device="cpu", precision="float32")


@pytest.mark.parametrize("many", [7, 8])
@pytest.mark.parametrize("small", [0, 23, 24, 1 << 18])
def test_each_slot_gets_inputs_of_its_own_that_can_be_computed_again(bench, small, many, monkeypatch):
    monkeypatch.setattr(racks, "SMALL", small)
    monkeypatch.setattr(racks, "MANY", many)
    rack = Rack(bench)
    try:
        slots = rack.first(8)
        drawn = refresh(slots[1:], bench)
        assert list(drawn) == list(range(1, 8))
        for slot in slots[1:]:
            values = drawn[slot.number].values()
            for place, value in zip(slot.inputs, values, strict=True):
                assert torch.equal(place.core, value)
            assert slot.changed(values, slot.given()) is None
        first = [place.core.clone() for place in slots[1].inputs]
        assert not any(torch.equal(first[0], slot.inputs[0].core) for slot in slots[2:])
        refresh(slots[1:2], bench)
        assert [torch.equal(before, place.core) for before, place in zip(first, slots[1].inputs, strict=True)] == [
            *(False, False, True, False, False, False)
        ]
    finally:
        del slots
        rack.close()


def test_slots_that_take_little_memory_are_made_before_turns_need_them_where_others_would_wait(bench, monkeypatch):
    rack = Rack(bench)
    assert rack.calls_ahead == 0
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], trials_beside_others=True))
    assert rack.calls_ahead == racks.MOST_PAIRS
    # Seven tensors of at most 512 bytes with their places, and the output once more.
    monkeypatch.setattr(cpu, "memory_bytes", lambda: 100 * 100_000)
    assert 100_000 / (7 * 1024 + 512) < rack.calls_ahead < 100_000 / (7 * 512)
    monkeypatch.setattr(cpu, "memory_bytes", lambda: 1000)
    assert rack.calls_ahead == 0
