"""A copy of a model computes with its own parts, however the model reaches them."""

import functools
import math

import pytest
import torch

from pytest_kernelbench.evaluation.correctness.copied import copied


class Model(torch.nn.Module):
    def __init__(self, reach):
        super().__init__()
        self.part = torch.nn.Linear(3, 3)
        reach(self)

    def forward(self, x):
        return self.call(x)


def closure(model):
    part = model.part
    model.call = lambda x: part(x)


def default(model):
    model.call = lambda x, part=model.part: part(x)


def named_default(model):
    model.call = lambda x, *, part=model.part: part(x)


def itself(model):
    model.call = lambda x: model.part(x)


def in_a_list(model):
    part = model.part
    model.steps = [("a step", lambda x: part(x))]
    model.call = lambda x: model.steps[0][1](x)


def through_another_function(model):
    part = model.part

    def inner(x, times=1):
        return part(x) if times == 0 else inner(x, times - 1)

    model.call = lambda x: inner(x)


def through_a_partial(model):
    part = model.part
    model.call = functools.partial(lambda scale, x: scale * part(x), 1.0)


def through_a_method(model):
    model.call = model.part.forward


def hook(model):
    part = model.part
    model.call = torch.nn.Identity()
    model.call.register_forward_hook(lambda module, given, result: part(result))


def through_parts_in_a_list(model):
    parts = [model.part]
    model.call = lambda x: parts[0](x)


WAYS = [
    *(closure, default, named_default, itself, in_a_list, through_another_function, through_a_partial),
    *(through_a_method, hook, through_parts_in_a_list),
]


@pytest.mark.parametrize("reach", WAYS)
@torch.no_grad()
def test_a_copy_computes_with_its_own_parameters_and_the_model_with_the_model_s(reach):
    model, x = Model(reach), torch.rand(2, 3)
    before = model(x)
    made = copied(copied(model))
    assert torch.equal(made(x), before)
    made.part.weight.zero_()
    made.part.bias.fill_(2.0)
    assert torch.equal(made(x), torch.full((2, 3), 2.0))
    assert torch.equal(model(x), before)
    made.double()
    assert torch.equal(made(x.double()), torch.full((2, 3), 2.0, dtype=torch.float64))


def test_functions_that_reach_nothing_of_the_model_are_kept():
    model = Model(closure)
    model.act, model.log = torch.relu, math.log
    made = copied(model)
    assert (made.act, made.log) == (torch.relu, math.log)


def test_a_list_that_two_functions_share_and_that_contains_itself_is_one_list_in_the_copy():
    model, noted = Model(closure), []
    noted.append(noted)
    model.note, model.noted = lambda x: noted.append(x), lambda: noted
    made = copied(model)
    made.note(1)
    assert noted == [noted]
    assert made.noted()[1:] == [1]
    assert made.noted()[0] is made.noted()


def test_what_has_no_deep_copy_is_reached_by_the_copy_too():
    model, part = Model(closure), math
    model.root = lambda x: part.sqrt(x)
    assert copied(model).root(4.0) == 2.0


def test_an_empty_cell_stays_empty():
    model = Model(closure)
    model.unused = lambda: later
    made = copied(model)
    with pytest.raises(NameError):
        made.unused()
    later = 1
    assert model.unused() == later
