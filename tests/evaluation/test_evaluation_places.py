"""What a worker keeps of its calls for the judge to read."""

from types import SimpleNamespace

import pytest
import torch

from pytest_kernelbench.evaluation import trees
from pytest_kernelbench.evaluation.worker.places import Kept
from pytest_kernelbench.evaluation.worker.slots import Slot, Structures


def slot(shape=(4, 3)):
    values, result = torch.rand(shape), torch.empty(shape)
    arguments, _ = trees.take_apart([values])
    returned, _ = trees.take_apart(result, result=True)
    places = [[SimpleNamespace(tensor=each)] for each in (values, result)]
    return Slot(Structures(arguments, returned, [[]]), *places, [])


def test_outputs_of_their_own_are_told_where_they_are():
    kept, outputs = Kept("cpu"), [torch.rand(4, 3), torch.rand(3, 4).t()]
    for output in outputs:
        kept.add(slot(), output)
    assert kept.answer() == {
        "at": [output.data_ptr() for output in outputs],
        "strides": [3, 1, 1, 4],
        "handle": [0, 0],
        "handles": [""],
    }


def test_what_only_stands_for_numbers_is_copied():
    own = slot()
    for output in (own.inputs[0], own.inputs[0].view(3, 4).view(4, 3), torch.ones(()).expand(4, 3)):
        kept = Kept("cpu")
        kept.add(own, output)
        told = kept.answer()
        assert told["at"] != [output.data_ptr()]
        assert told["strides"] == [3, 1]


def test_memory_that_an_earlier_call_returned_is_told_and_from_then_on_copied():
    kept, buffer = Kept("cpu"), torch.rand(4, 3)
    for _ in range(3):
        kept.add(slot(), buffer)
    assert kept.answer() == {"reused": True}
    kept.clear()
    for _ in range(3):
        kept.add(slot(), buffer)
    assert len({*kept.answer()["at"], buffer.data_ptr()}) == 4


@pytest.mark.parametrize("answer", [[torch.rand(4, 3)], torch.nn.Parameter(torch.rand(3, 4)), "text"])
def test_an_answer_of_another_structure_is_a_mismatch(answer):
    kept = Kept("cpu")
    kept.add(slot(), torch.rand(4, 3))
    kept.add(slot(), answer)
    assert set(kept.answer()) == {"mismatch"}
