"""Tasks that cannot be judged are refused in one line, and hold up no other task."""

import re

import pytest
from exchange import Exchange, candidate, task_of

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.records import Outcome

REFUSED = {
    "get_inputs gives a value of type torch.nn.modules.linear.Linear at [0]": (
        "return x(y)",
        "nn.Linear(2, 2), torch.rand(2, 2)",
    ),
    "get_inputs gives a tensor of layout torch.sparse_coo at [0]": (
        "return x.to_dense()",
        "torch.eye(3).to_sparse(), 1",
    ),
    "get_inputs gives a tensor whose elements overlap (strides (1, 1) of shape [62, 3])": (
        "return x * 2",
        "torch.rand(n).unfold(0, 3, 1), 1",
    ),
    "get_inputs gives a value of type function at [1]": ("return y(x)", "torch.rand(3), (lambda z: z)"),
    "forward returns a value of type generator": ("return (y for y in (x,))", "torch.rand(3), 1"),
    "forward returns a value of type set at [1]": ("return x, {1}", "torch.rand(3), 1"),
    "forward returns None, which depends on no input": ("return None", "torch.rand(3), 1"),
    "forward returns a tensor of layout torch.sparse_coo at ['a']": (
        "return {'a': x.to_sparse()}",
        "torch.rand(3), 1",
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_judged_is_refused_when_the_task_is_first_looked_at(said):
    body, inputs = REFUSED[said]
    with pytest.raises(HarnessError) as refusal:
        Exchange(task_of("1_refused", "x, y", body, inputs=inputs))
    assert str(refusal.value) == (
        f"made_up/1_refused: {said}; what can be judged is tensors, numbers, text and None, "
        "in tuples, lists, dicts, named tuples and dataclasses"
    )


@pytest.mark.parametrize(
    ("body", "inputs", "said"),
    [
        (
            "return x[x > 0]",
            "torch.randn(n)",
            r"forward returns float32\[\d+\] on some inputs and float32\[\d+\] on others; "
            "have it return the same types and shapes on all",
        ),
        (
            "return x",
            "torch.rand(int(torch.randint(1, 1 << 30, ())) % 99999)",
            r"get_inputs gives \[float32\[\d+\]\] after \[float32\[\d+\]\], or other strides; "
            "have it give the same types, shapes and strides at each call",
        ),
    ],
    ids=["of the result", "of the inputs"],
)
def test_shapes_that_change_are_refused(body, inputs, said):
    with pytest.raises(HarnessError, match=f"^made_up/1_shapes: {said}$"):
        bench = Exchange(task_of("1_shapes", "x", body, inputs=inputs)).bench
        # One draw in ten has as many positive numbers as the first.
        for number in range(20):
            bench.answers_to(bench.check(number, "task"))


def test_a_task_that_is_refused_ends_neither_the_judge_nor_another_task(evaluator):
    refused = task_of("3_refused", "x", "return (each for each in x)", inputs="torch.rand(n)")
    said = re.escape("made_up/3_refused: forward returns a value of type generator; what can be judged is")
    with pytest.raises(HarnessError, match=said):
        list(evaluator.evaluate(refused, [candidate("x", "return x")]))
    plain = task_of("4_plain", "x", "return x * 2, None", inputs="torch.rand(n)")
    (null,) = evaluator.evaluate(plain, [reference_as_candidate(plain)])
    assert null.outcome is Outcome.CORRECT
