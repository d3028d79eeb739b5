"""What a candidate may do with its weights: real trials on the CPU."""

from textwrap import indent

import pytest
from made_up_tasks import task

from pytest_kernelbench.records import Outcome

LINEAR = task(
    "20_linear",
    """
def __init__(self, n, scale):
    super().__init__()
    self.linear = nn.Linear(n, n)
    self.norm = nn.BatchNorm1d(n)
    self.scale = scale

def forward(self, x):
    return self.norm(torch.relu(self.linear(x) * self.scale))
""",
    inputs="torch.randn(32, n)",
    init="n, 3.0",
    n=48,
)
MAKE = "self.linear = nn.Linear(n, n)\nself.norm = nn.BatchNorm1d(n)\nself.scale = scale\n"
FORWARD = "return self.norm(torch.relu(self.linear(x) * self.scale))"

# (constructor, forward, weights that it is right with)
HONEST = {
    "the reference": (MAKE, FORWARD, "seeded"),
    "folded into the weights": (
        f"{MAKE}with torch.no_grad():\n    self.linear.weight.mul_(scale)\n    self.linear.bias.mul_(scale)",
        "return self.norm(torch.relu_(self.linear(x)))",
        "seeded",
    ),
    "folded by data": (
        f"{MAKE}self.linear.weight.data = self.linear.weight.data * scale\nself.linear.bias.data *= scale",
        "return self.norm(self.linear(x).clamp(min=0))",
        "seeded",
    ),
    "transposed and kept as a buffer": (
        f"{MAKE}self.register_buffer('turned', (self.linear.weight.detach().T * scale).contiguous())\n"
        "self.register_buffer('shift', self.linear.bias.detach() * scale)",
        "return self.norm(torch.addmm(self.shift, x, self.turned).relu_())",
        "seeded",
    ),
    "transposed in place under the same name": (
        f"{MAKE}self.linear.weight.data = self.linear.weight.data.T.contiguous()",
        "return self.norm(torch.relu((x @ self.linear.weight + self.linear.bias) * self.scale))",
        "seeded",
    ),
    "a batch norm of its own": (
        "self.linear = nn.Linear(n, n)\nself.gain = nn.Parameter(torch.ones(n))\nself.scale = scale",
        "y = torch.relu(self.linear(x) * self.scale)\n"
        "v, m = torch.var_mean(y, 0, correction=0)\nreturn (y - m) * (v + 1e-5).rsqrt() * self.gain",
        "seeded",
    ),
    "one more parameter, made last": (
        f"{MAKE}self.more = nn.Parameter(torch.rand(n))",
        f"y = x + 0 * self.more\nx = y\n{FORWARD}",
        "seeded",
    ),
    "tied to itself": (f"{MAKE}self.tied = self.linear.weight", FORWARD, "seeded"),
    "in another order": (f"self.scratch = torch.rand(3)\n{MAKE}", FORWARD, "reference"),
    "drawn by other functions": (
        f"{MAKE}for p in self.linear.parameters():\n    nn.init.normal_(p)",
        FORWARD,
        "reference",
    ),
    "empty before they are loaded": (
        f"{MAKE}self.linear.weight = nn.Parameter(torch.empty(n, n).fill_(7))",
        FORWARD,
        "reference",
    ),
    "scaled twice, as long as its constructor's weights are kept": (
        f"{MAKE}self.linear.weight.data.mul_(scale)",
        FORWARD,
        "reference",
    ),
    "packed in its first call": (
        f"{MAKE}self.packed = None",
        "if self.packed is None:\n    self.packed = (self.linear.weight.T * self.scale).contiguous()\n"
        "return self.norm(torch.relu(x @ self.packed + self.linear.bias * self.scale))",
        "seeded",
    ),
    "made in its first call": (
        "self.linear, self.sizes, self.scale = None, n, scale\nself.norm = nn.BatchNorm1d(n)",
        f"if self.linear is None:\n    self.linear = nn.Linear(self.sizes, self.sizes)\n{FORWARD}",
        "seeded",
    ),
    "a lazy module": (
        "self.linear = nn.LazyLinear(n)\nself.norm = nn.BatchNorm1d(n)\nself.scale = scale",
        FORWARD,
        "seeded",
    ),
}
WRONG = {
    "one more parameter, made first": (f"self.more = nn.Parameter(torch.rand(n))\n{MAKE}", FORWARD),
    "folded and scaled again, under another name": (
        f"{MAKE}self.folded = nn.Parameter(self.linear.weight.detach() * scale)\nself.linear.weight = self.folded",
        FORWARD,
    ),
    "quantised to a byte": (
        f"{MAKE}w = self.linear.weight.detach()\nstep = w.abs().max() / 127\n"
        "self.register_buffer('bytes', (w / step).round().to(torch.int8))\nself.step = step",
        "y = x @ (self.bytes * self.step).T + self.linear.bias\nreturn self.norm(torch.relu(y * self.scale))",
    ),
    "without its bias": (MAKE, "return self.norm(torch.relu(x @ self.linear.weight.T * self.scale))"),
}


MODULE = """
import time
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self, n, scale):
        super().__init__()
{make}

    def forward(self, x):
{forward}
"""


def model_new(make, forward):
    # Slower than the reference, so that no clock is asked whether it is too fast.
    forward = f"time.sleep(3e-4)\n{forward}"
    return MODULE.format(make=indent(make, " " * 8), forward=indent(forward, " " * 8))


@pytest.fixture(scope="module")
def verdicts(evaluator):
    names = [*HONEST, *WRONG]
    sources = [model_new(*each[:2]) for each in (*HONEST.values(), *WRONG.values())]
    return dict(zip(names, evaluator.evaluate(LINEAR, sources), strict=True))


@pytest.mark.parametrize("name", HONEST)
def test_a_constructor_may_do_with_its_weights_what_it_likes(verdicts, name):
    evaluation = verdicts[name]
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert evaluation.weights == HONEST[name][2]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_weights_are_incorrect(verdicts, name):
    evaluation = verdicts[name]
    assert (evaluation.outcome, evaluation.flags) == (Outcome.INCORRECT, ())
    assert evaluation.weights is None


LAZY = task(
    "21_lazy",
    "def __init__(self):\n    super().__init__()\n    self.linear = nn.LazyLinear(8)\n\n"
    "def forward(self, x):\n    return self.linear(x)",
    inputs="torch.randn(64, n)",
    n=48,
)


def test_a_reference_may_make_its_weights_in_its_first_call(evaluator):
    source = LAZY.source + "\nModelNew = Model\n"
    wrong = source.replace("return self.linear(x)", "return self.linear(x) * 1.001")
    right, off = evaluator.evaluate(LAZY, [source, wrong])
    assert (right.outcome, right.detail) == (Outcome.CORRECT, "")
    assert right.weights == "seeded"
    assert off.outcome is Outcome.INCORRECT
