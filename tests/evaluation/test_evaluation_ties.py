"""Equal values: a reference whose answer depends on their order rejects no candidate for that."""

import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.doubt import once_more
from pytest_kernelbench.evaluation.correctness.ties import EqualValues, either_way

X = torch.tensor([[2.0, 1.0, 2.0, 0.0, 2.0]])


def of_rows(result, n=200):
    made = task("80_rows", f"def forward(self, x):\n    return {result}", inputs="torch.rand(60, n)", n=n)
    return Bench(made.id, made.source, seed=0, device="cpu")


@pytest.mark.parametrize(
    ("choose", "first", "last"),
    [
        (lambda: X.topk(2).indices, [0, 2], [4, 2]),
        (lambda: X.topk(2, largest=False).indices, [3, 1], [3, 1]),
        (lambda: X.sort(dim=1).indices, [3, 1, 0, 2, 4], [3, 1, 4, 2, 0]),
        (lambda: X.argsort(1, descending=True), [0, 2, 4, 1, 3], [4, 2, 0, 1, 3]),
        (lambda: torch.sort(X, stable=True).indices, [3, 1, 0, 2, 4], [3, 1, 0, 2, 4]),
        (lambda: X.argmax(1, keepdim=True), [0], [0]),
    ],
    ids=["topk", "topk of the least", "sort", "argsort", "stable sort", "argmax"],
)
def test_the_first_of_equal_values_comes_first_or_the_last_where_torch_documents_neither(choose, first, last):
    assert [found.tolist() for (found,) in either_way(lambda: [choose()])] == [[first], [last]]


def test_values_stay_what_they_are():
    with EqualValues(last=True) as watch:
        values, places = X.topk(3)
        middle = X.median(1)
    assert watch.chose
    assert torch.equal(X.gather(1, places), values)
    assert torch.equal(X.gather(1, middle.indices[:, None])[:, 0], middle.values)
    with EqualValues(last=True) as watch:
        X.sum(1), X.argmax(1)
    assert not watch.chose


@pytest.mark.parametrize("result", ["x.topk(8).indices", "x.argsort(1)", "x.sort(1).indices[:, :3]"])
def test_places_of_equal_values_are_asked_of_nobody(result):
    # Of 50 values, two were equal by chance in both of two draws of mixed inputs in 2 of 1,000 benches.
    bench = of_rows(result, n=10)
    assert not bench.usable("ties") and not bench.usable("zeros")
    assert bench.usable("wide") and bench.usable("mixed")
    assert {level.kind for level in bench.reference.levels_mixed()}.isdisjoint(("ties", "zeros"))


@pytest.mark.parametrize("result", ["x.topk(8).values", "x.argmax(1)", "x.max(1).indices", "x.median(1).values"])
def test_what_does_not_depend_on_their_order_is_asked_on_equal_values_too(result):
    assert of_rows(result).usable("ties")


def test_equal_values_that_a_draw_has_by_chance_may_be_in_any_order():
    bench = of_rows("x.argsort(1)")
    values = bench.reference.draw("task")
    values[0][:, 7] = values[0][:, 3]
    due = bench.answers(values, "task")
    stable = torch.sort(values[0], dim=1, stable=True).indices
    other = 199 - torch.sort(values[0].flip(1), dim=1, stable=True).indices
    assert any(due[0].objection(each) is not None for each in (stable, other))
    for each in (stable, other):
        assert once_more(bench.reference, "task", values, [each], due)[0].objection(each) is None
    wrong = stable.roll(1, dims=1)
    assert once_more(bench.reference, "task", values, [wrong], due)[0].objection(wrong) is not None
