"""Kernels that are right only where the task's own numbers lie: found by the draws beyond them; honest ones pass."""

from textwrap import indent

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from wrong_kernels import FIXED, WRONG

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, MIXED, MOVED
from pytest_kernelbench.evaluation.correctness.doubt import once_more
from pytest_kernelbench.evaluation.correctness.examination import kinds_to_check
from pytest_kernelbench.evaluation.correctness.mixed import kind_at_fault
from pytest_kernelbench.evaluation.modules import move_parameters
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.evaluation.trees import take_apart

SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F

class Model(nn.Module):
    def __init__(self):
        super().__init__()
{init}

    def forward(self, x, y=None):
        return {task}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return []
"""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
BENCHES: dict[tuple[str, ...], Bench] = {}


def bench_of(row, device):
    key = row.task, row.inputs, row.init, device
    if key not in BENCHES:
        source = SOURCE.format(task=row.task, inputs=row.inputs, init=indent(row.init or "pass", " " * 8))
        BENCHES[key] = Bench("made_up/1", source, seed=0, device=device)
    return BENCHES[key]


def kernel(expression, bench):
    """A candidate with the reference's modules."""
    model = bench.reference._module.model_class()

    @torch.no_grad()
    def forward(x, y=None):
        return eval(expression, {"torch": torch, "F": F, "nn": nn}, {"x": x, "y": y, "self": model})

    model.forward = forward
    torch.manual_seed(bench.seed)
    return model.to(bench.device)


def fails_on(bench, candidate, kinds):
    """The first of ``kinds`` on which a candidate is wrong, decided as the judge does."""
    for kind in kinds:
        values = bench.reference.draw(kind)
        _, outputs = take_apart(candidate(*bench.reference.arguments_for(values)), result=True)
        due = bench.answers(values, kind)
        if objected(due, outputs):
            due = once_more(bench.reference, kind, values, outputs, due)
        part = kind_at_fault(outputs, due) if kind == MIXED else None
        if objected(due, outputs) or (part and fails_on(bench, candidate, [part.kind])):
            return kind
    return None


def objected(due, outputs):
    return any(expected.objection(output) is not None for expected, output in zip(due, outputs, strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_wrong_on_one_of_the_draws_and_an_honest_one_on_none(name, device):
    row = WRONG[name]
    bench = bench_of(row, device)
    kinds = kinds_to_check(bench, PROTOCOLS["fast"])
    wrong, honest = (kernel(each, bench) for each in (row.wrong, row.honest))
    if row.inputs.count("randn") == 0:
        assert fails_on(bench, wrong, ["task"]) is None, "the task's own draw would do"
    assert fails_on(bench, wrong, kinds) is not None
    everything = [*kinds, *(kind for kind in BEYOND_THE_TASK if bench.usable(kind))]
    assert fails_on(bench, honest, ["task", *everything, *everything]) is None


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FIXED)
def test_what_ignores_a_parameter_is_seen_when_parameters_move(name, device):
    row = FIXED[name]
    bench = bench_of(row, device)
    assert bench.usable(MOVED)
    for expression, expected in ((row.wrong, MOVED), (row.honest, None)):
        candidate = kernel(expression, bench)
        assert fails_on(bench, candidate, kinds_to_check(bench, PROTOCOLS["fast"])) is None
        assert move_parameters(candidate, bench.reference._model, bench.seed)
        assert fails_on(bench, candidate, [MOVED]) == expected


def test_every_kind_finds_a_wrong_kernel_that_no_earlier_one_finds():
    found = {name: set() for name in WRONG}
    for name, row in WRONG.items():
        bench = bench_of(row, "cpu")
        for kind in BEYOND_THE_TASK:
            if bench.usable(kind) and fails_on(bench, kernel(row.wrong, bench), [kind]):
                found[name].add(kind)
    print({name: sorted(kinds) for name, kinds in found.items()})
    assert all(found.values()), [name for name, kinds in found.items() if not kinds]
    assert set.union(*found.values()) == set(BEYOND_THE_TASK)
    assert MIXED in kinds_to_check(bench_of(WRONG["a minimum that starts from one"], "cpu"), PROTOCOLS["fast"])
