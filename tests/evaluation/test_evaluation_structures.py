"""What a task gives is what a candidate gets, and what it returns is compared as it is."""

from contextlib import closing
from textwrap import indent

import pytest
import torch
from exchange import Exchange, candidate, task_of

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.layouts import span_of
from pytest_kernelbench.evaluation.worker.places import Kept


def outcomes(evaluator, on, *sources):
    return [(each.outcome.value, each.detail) for each in evaluator.evaluate(on, list(sources))]


RIGHT = ("correct", "")
CONFIG = (
    "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Config:\n    x: object\n    scale: float\n"
)
PAIR = "from typing import NamedTuple\n\nclass Pair(NamedTuple):\n    x: object\n    y: object\n"
# What get_inputs gives, and a test of a candidate that it got just that.
GIVEN = {
    "channels last": ("torch.randn(2, 3, 8, n).to(memory_format=torch.channels_last)", "x.stride(1) == 1"),
    "transposed": ("torch.randn(n, 3).T", "x.stride() == (1, 3) and x.shape == (3, 64)"),
    "expanded": ("torch.randn(1, n).expand(20, n)", "x.stride() == (0, 1) and x.shape == (20, 64)"),
    "a column of it expanded": ("torch.randn(n, 1, 2).expand(n, 5, 2)", "x.stride() == (2, 0, 1)"),
    "every other row": ("torch.randn(n, 6)[::2]", "x.stride() == (12, 1) and x.shape == (32, 6)"),
    "a slice at an odd address": ("torch.randn(n, 7)[:, 1:]", "x.stride() == (7, 1) and x.data_ptr() % 512 == 4"),
    "a permuted batch": ("torch.randn(4, n, 2).permute(2, 0, 1)", "x.stride() == (1, 128, 2)"),
    "flipped bits": ("torch.randn(n, dtype=torch.cfloat).conj().imag", "x.shape == (64,)"),
    "half": ("torch.randn(n, dtype=torch.float16)", "x.dtype is torch.float16"),
    "unsigned": ("torch.randint(0, 200, (n,), dtype=torch.uint8)", "x.dtype is torch.uint8"),
    "a mask": ("torch.rand(n) > 0.5", "x.dtype is torch.bool"),
    "complex": ("torch.randn(n, dtype=torch.cfloat)", "x.dtype is torch.cfloat"),
    "no dimensions": ("torch.randn(())", "x.shape == ()"),
    "nothing": ("torch.randn(0, n)", "x.shape == (0, 64)"),
    "a parameter": ("nn.Parameter(torch.randn(n))", "not x.requires_grad"),
    "a list": ("[torch.randn(n), torch.randn(n, 2).T]", "type(x) is list and x[1].stride() == (1, 2)"),
    "a tuple": ("(torch.randn(n), 3)", "type(x) is tuple and type(x[1]) is int"),
    "a dict": ("{'a': torch.randn(n), 4: None}", "type(x) is dict and list(x) == ['a', 4] and x[4] is None"),
    "nested": ("[(torch.randn(n), [None, {'k': torch.randn(3)}])]", "x[0][1][1]['k'].shape == (3,)"),
    "a named tuple": ("Pair(torch.randn(n), 2)", "x.y == 2 and x.x.shape == (64,) and x._fields == ('x', 'y')"),
    "a dataclass": ("Config(torch.randn(n), 0.5)", "x.scale == 0.5 and type(x).__name__ == 'Config'"),
    "torch's own tuple": ("torch.max(torch.randn(n, 3), 1)", "x.values.shape == x.indices.shape == (64,)"),
    "a shape": ("torch.Size([3, n])", "type(x) is torch.Size and x == (3, 64)"),
    "a type": ("torch.bfloat16", "x is torch.bfloat16"),
    "a slice": ("slice(1, None, 2)", "x == slice(1, None, 2)"),
    "text": ("'mean'", "x == 'mean'"),
    "numbers": ("(True, -7, 0.1, float('inf'), 1j, 2**60)", "x == (True, -7, 0.1, float('inf'), 1j, 2**60)"),
    "None": ("None", "x is None"),
    "a device": ("torch.device('cpu')", "x == torch.device('cpu')"),
    "many": ("[torch.randn(2) for _ in range(150)]", "len(x) == 150"),
}  # fmt: skip


@pytest.mark.gpu
def test_a_candidate_gets_what_the_task_gives_on_a_gpu(tmp_path):
    with Evaluator(device="cuda", protocol="fast", cache=tmp_path) as evaluator:
        a_candidate_gets_what_the_task_gives(evaluator)


def test_a_candidate_gets_what_the_task_gives(evaluator):
    a_candidate_gets_what_the_task_gives(evaluator)


def a_candidate_gets_what_the_task_gives(evaluator):
    names = [f"x{number}" for number in range(len(GIVEN))]
    inputs = ", ".join([given for given, _ in GIVEN.values()] + ["torch.randn(9)"])
    arguments = ", ".join([*names, "z"])
    checks = "\n".join(
        f"x = {name}\nif not ({test}):\n    raise ValueError({what!r})"
        for name, (what, (_, test)) in zip(names, GIVEN.items(), strict=True)
    )
    made = task_of("2_given", arguments, "return z * 2", inputs=inputs, preamble=CONFIG + PAIR)
    assert outcomes(evaluator, made, candidate(arguments, f"{checks}\nreturn z + z")) == [RIGHT]


# Of what forward returns: what is right, and what is wrong, with what is said of it. ``x`` is float32[8, 64].
RETURNED = {
    "a tensor": (
        ["x * 2", "(x + x).contiguous()", "nn.Parameter(x + x)", "(x.T + x.T).contiguous().T"],
        {
            "(x * 2,)": "returns (float32[8, 64],) where float32[8, 64] is due",
            "[x * 2]": "returns [float32[8, 64]] where float32[8, 64] is due",
            "{'y': x * 2}": "returns {'y': float32[8, 64]} where float32[8, 64] is due",
            "None": "returns None where float32[8, 64] is due",
            "(x * 2).double()": "returns float64[8, 64] where float32[8, 64] is due",
            "(x * 2).view(64, 8)": "returns float32[64, 8] where float32[8, 64] is due",
            "(x * 2).numpy()": "returns a value of type numpy.ndarray where float32[8, 64] is due",
            "(x * 2).to_sparse()": "returns a tensor of layout torch.sparse_coo where float32[8, 64] is due",
        },
    ),
    "a tuple of one": (["(x * 2,)", "[x + x]"], {"x * 2": "returns float32[8, 64] where (float32[8, 64],) is due"}),
    "with None": (
        ["(x * 2, None)", "[x + x, None]"],
        {
            "(x * 2,)": "returns (float32[8, 64],) where (float32[8, 64], None) is due",
            "(x * 2, x)": "returns (float32[8, 64], float32[8, 64]) where (float32[8, 64], None) is due",
        },
    ),
    "a dict": (
        ["{'twice': x * 2, 'more': x + 1}", "{'more': 1 + x, 'twice': x + x}"],
        {
            "{'twice': x + 1, 'more': x * 2}": "error ",
            "{'twice': x * 2}": "returns {'twice': float32[8, 64]} where {'twice': ",
            "(x * 2, x + 1)": "returns (float32[8, 64], float32[8, 64]) where {'twice': ",
        },
    ),
    "nested": (
        ["(x * 2, [x.sum(1), {'k': (x + 1, None)}])", "[x + x, (x.sum(1), {'k': [1 + x, None]})]"],
        {
            "(x * 2, [x.sum(1), {'k': (x + 2, None)}])": "error ",
            "(x * 2, x.sum(1), x + 1)": "returns (float32[8, 64], float32[8], float32[8, 64]) where (",
        },
    ),
    "a float": (
        ["(x * x).sum().item()", "float((x ** 2).sum(1).sum())"],
        {
            "(x * x).sum()": "returns float32[] where float is due",
            "(x * x).mean().item()": "error ",
            "int((x * x).sum())": "returns int where float is due",
        },
    ),
    "an integer and a bool": (
        ["(int(x.argmax()), bool((x > 0).all()))", "(x.flatten().argmax().item(), False)"],
        {"(int(x.argmin()), False)": "1 of 1 ", "(int(x.argmax()), True)": "1 of 1 "},
    ),
    "complex": (
        ["torch.fft.rfft(x)", "torch.fft.fft(x)[:, :33]", "torch.fft.rfft(x.double()).to(torch.cfloat)"],
        {"torch.fft.rfft(x) * 1.001": "error ", "torch.fft.rfft(x).conj_physical()": "error "},
    ),
    "a complex number": (["complex(x.sum(), 1)", "complex(x.sum(1).sum(), 1)"], {"complex(x.sum(), -1)": "error "}),
    "booleans": (["x > 0", "0 < x"], {"x > 0.5": ""}),
    "text beside it": (["('l2', x * 2)"], {"('l1', x * 2)": "returns ('l1', float32[8, 64]) where ('l2', "}),
    "a named tuple": (
        ["x.max(1)", "tuple(x.max(1))", "(x.amax(1), x.argmax(1))", "list(x.max(1))"],
        {
            "x.amax(1)": "returns float32[8] where max(values=float32[8], indices=int64[8]) is due",
            "(x.amax(1), x.argmin(1))": "",
        },
    ),
    "nothing": (["x[:0] * 2"], {"(x * 2)[:0, :3]": "returns float32[0, 3] where float32[0, 64] is due"}),
    "half": (["x.half() * 2", "(x.half().float() * 2).half()"], {"x * 2": "returns float32[8, 64] where float16"}),
    "a view": (["x.T", "x.transpose(0, 1)", "x.T.contiguous()"], {"x.T * 2": "error "}),
    "itself": (["x", "x.clone()", "x.view(8, 64)"], {"x + 1e-3": "error "}),
    "expanded": (["x[:, :1].expand(8, 64)", "x[:, :1].repeat(1, 64)"], {"x": "error "}),
    "a conjugate": (["torch.fft.rfft(x).conj()", "torch.fft.rfft(x).conj_physical()"], {"torch.fft.rfft(x)": "error "}),
    "without memory of its own": (
        ["x.T.contiguous()", "x.clone().T"],
        {
            "x.T": "returns float32[64, 8], a view of an input where float32[64, 8] is due",
            "x.view(-1).as_strided((64, 8), (1, 64))": "returns float32[64, 8], a view of an input where ",
        },
    ),
    "negated": (
        ["-x", "x.neg()", "0 - x"],
        {"torch._neg_view(x)": "returns float32[8, 64], yet to be negated where float32[8, 64] is due"},
    ),
    "repeated": (
        ["x[:, :1].repeat(1, 64)", "x[:, :1] + torch.zeros(64)"],
        {"(x[:, :1] + 0).expand(8, 64)": "returns float32[8, 64], whose elements share memory where float32[8, 64]"},
    ),
    "conjugated": (
        ["torch.fft.fft(x).conj_physical()", "torch.fft.fft(x).conj().resolve_conj()"],
        {"torch.fft.fft(x).conj()": "returns complex64[8, 64], yet to be conjugated where "},
    ),
}


@pytest.mark.parametrize("name", RETURNED)
def test_what_is_returned_is_compared_as_it_is(name):
    right, wrong = RETURNED[name]
    exchange = Exchange(task_of("1_returned", "x", f"return {right[0]}", inputs="torch.randn(8, n)"))
    names = {"torch": torch, "nn": torch.nn}
    with closing(exchange):
        assert {body: exchange.said(eval(f"lambda x: {body}", names)) for body in right} == dict.fromkeys(right)
        for body, due in wrong.items():
            said = exchange.said(eval(f"lambda x: {body}", names))
            assert said is not None, body
            assert said.startswith(due), body


# Of a reference that writes to its input: what does as it does, and what does not.
WRITES = {
    "and returns it": (
        "return x.add_(1)",
        ["return x.add_(1)", "return x + 1", "x += 1\nreturn x.clone()", "y = x + 1\nx.copy_(y)\nreturn y"],
        {"return x.add_(2)": "error ", "x.add_(2)\nreturn x - 1": "what it leaves in its input 0: error "},
    ),
    "and returns None": (
        "x.relu_()",
        ["x.relu_()", "x.clamp_(min=0)\nreturn None", "x.copy_(torch.relu(x))"],
        {"pass": "what it leaves in its input 0: ", "return x.relu_()": "returns float32[8, 64] where None is due"},
    ),
    "and returns another": (
        "x.mul_(2)\nreturn x.sum(1)",
        ["x.mul_(2)\nreturn x.sum(1)", "x += x\nreturn x.sum(1)"],
        {"return (2 * x).sum(1)": "what it leaves in its input 0: error "},
    ),
    "through a view": (
        "x[:, 1:].zero_()\nreturn x",
        ["x[:, 1:] = 0\nreturn x", "return torch.cat([x[:, :1], torch.zeros(8, 63)], 1)"],
        {"return x": "error "},
    ),
    "in a list": (
        "for part in [x]:\n    part.exp_()",
        ["x.exp_()", "torch.exp(x, out=x)"],
        {"x.exp()": "what it leaves"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_a_candidate_may_write_where_the_reference_does(name):
    body, right, wrong = WRITES[name]
    exchange = Exchange(task_of("1_writes", "x", body, inputs="torch.randn(8, n)"))

    def said(body):
        names = {"torch": torch}
        exec(f"def forward(x):\n{indent(body, '    ')}", names)
        return exchange.said(names["forward"])

    with closing(exchange):
        assert exchange.bench.reference.written == (0,)
        # Twice: what one did to the inputs, the next does not see.
        assert {each: (said(each), said(each)) for each in right} == dict.fromkeys(right, (None, None))
        for each, due in wrong.items():
            found = said(each)
            assert found is not None, each
            assert found.startswith(due), each
            assert said(body) is None


def test_who_writes_where_the_reference_does_not_changes_its_inputs():
    exchange = Exchange(task_of("1_reads", "x, y", "return x * y", inputs="torch.randn(8, n), torch.randn(n)"))
    with closing(exchange):
        assert exchange.said(lambda x, y: x.mul_(y)) == "changes its inputs"
        assert exchange.said(lambda x, y: x.mul_(y).clone()) == "changes its inputs"
        assert exchange.said(lambda x, y: x * y.mul_(1.5) / 1.5) == "changes its inputs"
        assert exchange.said(lambda x, y: x.T.mul(y[:, None]).T) is None


def test_what_a_call_does_to_its_containers_the_next_does_not_see():
    exchange = Exchange(
        task_of("1_parts", "parts", "return torch.cat(parts)", inputs="[torch.randn(n), torch.randn(n)]")
    )
    with closing(exchange):
        assert exchange.said(lambda parts: torch.cat([parts.pop(0), parts.pop()])) is None
        assert exchange.said(lambda parts: torch.cat([each.unsqueeze_(0) for each in parts], 1)[0].clone()) is None
        assert exchange.said(lambda parts: torch.cat(parts)) is None


def test_memory_of_another_slot_is_no_answer():
    exchange = Exchange(task_of("1_relu", "x", "return torch.relu(x)", inputs="torch.randn(n)"))
    with closing(exchange):
        for other in (exchange.slots[1]._outputs[0], exchange.slots[0]._outputs[0], exchange.slots[1].inputs[0]):
            said = exchange.said(lambda x, other=other: other.copy_(torch.relu(x)))
            assert said == "returns float32[64], a view of memory that is the harness's where float32[64] is due"


def test_of_honest_candidates_of_a_task_that_writes_to_its_input_each_is_correct(evaluator):
    made = task_of("5_in_place", "x", "return x.add_(1)", inputs="torch.randn(n)", n=1 << 12)
    bodies = ["return x + 1", "return torch.add(x, 1)", "return x.add_(1)", "return 1 + x", "x += 1\nreturn x"]
    found = outcomes(evaluator, made, *(candidate("x", body) for body in bodies), reference_as_candidate(made))
    assert found == [RIGHT] * 6


def test_outputs_that_lie_in_an_input_are_copied_for_the_judge_to_read():
    made = task_of("1_views", "x", "return Pair(x, {'y': [x.T, x + 1]})", inputs="torch.randn(8, n)", preamble=PAIR)
    with closing(Exchange(made)) as exchange:
        x = exchange.slots[0].inputs[0]
        kept = Kept("cpu")
        kept.add(exchange.slots[0], (x, {"y": [x.T, x + 1]}))
        answer = kept.answer()
    assert "mismatch" not in answer and "reused" not in answer
    first, last = span_of(x)
    assert len(answer["at"]) == 3 and not any(first <= at <= last for at in answer["at"])
