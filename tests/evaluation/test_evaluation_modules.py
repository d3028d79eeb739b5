"""Tasks and candidates are made as KernelBench makes them: one seed, then left alone."""

import random
import sys
import textwrap

import pytest
import torch

from pytest_kernelbench.evaluation.modules import ReferenceModule, give_weights, instantiate, seed_torch

TASK = """
{preamble}
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, *arguments, **named):
        super().__init__()
        self.given = arguments, named
{body}

    def forward(self, x):
        return x

def get_inputs():
    return [torch.rand(3)]

def get_init_inputs():
    return {init}
"""


def module_of(body="self.linear = nn.Linear(3, 2)", *, init="[]", preamble=""):
    return ReferenceModule(
        TASK.format(body=textwrap.indent(textwrap.dedent(body), "        "), init=init, preamble=preamble)
    )


def made(module, seed=1):
    return instantiate(module.model_class, module, seed, "cpu")


@pytest.mark.parametrize("drawn", ["torch.rand(3)", "random.random()", "numpy.random.rand()"])
def test_the_same_seed_gives_the_same_state_whatever_was_drawn_before(drawn):
    module = module_of(f"self.drawn = {drawn}", init=f"[{drawn}]", preamble="import random, numpy")
    models = []
    for seed in (1, 1, 2):
        torch.rand(5), random.random(), sys.modules["numpy"].random.rand()
        models.append(made(module, seed))
    one, same, other = [(torch.as_tensor(m.drawn), torch.as_tensor(m.given[0][0])) for m in models]
    assert all(map(torch.equal, one, same))
    assert not any(map(torch.equal, one, other))
    # The seed is set again before the constructor, whose draws do not depend on those of the arguments.
    assert torch.equal(*one)


def test_arguments_may_be_named():
    model = made(module_of(init="{'width': 4}"))
    assert model.given == ((), {"width": 4})


@pytest.mark.parametrize(
    ("preamble", "init"),
    [
        ("from dataclasses import dataclass\n@dataclass\nclass Config:\n    width: int = 4", "[Config()]"),
        (
            "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
            "from typing import ClassVar\n@dataclass(frozen=True, slots=True)\nclass Config:\n"
            "    most: ClassVar[int] = 9\n    width: int = field(default=4)",
            "[Config()]",
        ),
        ("from typing import NamedTuple\nclass Config(NamedTuple):\n    width: int = 4", "[Config()]"),
        ("import enum\nclass Config(enum.Enum):\n    small = 1\n    width = 4", "[Config.small]"),
    ],
    ids=["dataclass", "with annotations as text", "named tuple", "enum"],
)
def test_a_task_file_may_define_classes_for_its_configuration(preamble, init):
    given = made(module_of(init=init, preamble=preamble)).given[0][0]
    assert getattr(given.width, "value", given.width) == 4


def test_annotations_of_a_task_are_not_text_unless_it_says_so():
    assert module_of(preamble="def width(x: int): ...\nkind = width.__annotations__['x']").model_class.__init__
    assert sys.modules["reference"].kind is int


def test_weights_are_given_where_names_and_shapes_match_and_values_do_not():
    reference = made(module_of())
    other = made(module_of("self.first = torch.rand(1)\nself.linear = nn.Linear(3, 2)"))
    assert give_weights(other, reference)
    assert torch.equal(other.linear.weight, reference.linear.weight)
    assert not give_weights(other, reference), "it has them now"


@pytest.mark.parametrize(
    "body",
    [
        "self.linear = nn.Linear(3, 4)",
        "self.dense = nn.Linear(3, 2)",
        "self.linear = nn.Linear(3, 2)\nself.more = nn.Parameter(torch.rand(1))",
        "self.linear = nn.LazyLinear(2)",
        "pass",
    ],
)
def test_no_weights_are_given_to_another_state(body):
    candidate = made(module_of(body), seed=2)
    own = candidate.state_dict()
    assert not give_weights(candidate, made(module_of()))
    assert candidate.state_dict().keys() == own.keys()


@pytest.mark.parametrize("seed", [0, 7, 2**62 + 1])
def test_a_seed_gives_the_numbers_that_torch_s_own_gives(seed):
    torch.manual_seed(seed)
    due = torch.rand(5), torch.randint(100, (5,))
    seed_torch(seed)
    assert all(
        torch.equal(one, other) for one, other in zip(due, (torch.rand(5), torch.randint(100, (5,))), strict=True)
    )


def test_where_cuda_has_started_only_it_and_the_cpu_are_seeded(monkeypatch):
    # torch.manual_seed keeps a stack's text for each kind of accelerator that has not started.
    seeded = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch, "manual_seed", None)
    due = torch.Generator().manual_seed(7)
    seed_torch(7)
    assert seeded == [7]
    assert torch.equal(torch.rand(5), torch.rand(5, generator=due))
