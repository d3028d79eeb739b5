"""Structures of values: apart, over the wire, and together again."""

import gc
import json
import math
import os
import weakref
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation import trees
from pytest_kernelbench.evaluation.device.shared import attach_memory, attach_place, create, describe_memory
from pytest_kernelbench.evaluation.layouts import Layout, Overlapping, alike, same_bytes, span_of

DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int64, torch.bool,
    torch.complex64,
]  # fmt: skip


@st.composite
def tensors(draw):
    """Tensors of any type, with gaps, permuted, expanded, at odd addresses or empty."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    starts = [draw(st.integers(0, 2)) for _ in shape]
    steps = [draw(st.integers(1, 2)) for _ in shape]
    base = torch.rand([start + step * size for start, step, size in zip(starts, steps, shape, strict=True)])
    base = (base * 100).to(dtype)
    slices = tuple(
        slice(start, start + step * size, step) for start, step, size in zip(starts, steps, shape, strict=True)
    )
    made = base[slices].permute(draw(st.permutations(range(len(shape)))))
    for dim in range(made.dim()):
        if made.shape[dim] == 1 and draw(st.booleans()):
            made = made.expand(*(3 if each == dim else -1 for each in range(made.dim())))
    return made


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.complex_numbers(allow_nan=False),
    st.sampled_from([torch.bfloat16, torch.Size([2, 3]), slice(1, None), range(3), ..., torch.device("cpu")]),
)
VALUES = st.recursive(
    st.one_of(PLAIN, tensors()),
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.lists(below, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(-9, 9)), below, max_size=4),
        st.dictionaries(st.text(max_size=5), below, max_size=3).map(OrderedDict),
    ),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and alike(one, other)
    if isinstance(one, dict):
        return type(one) is type(other) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and not isinstance(one, torch.Size):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(tensors())
def test_a_copy_has_the_same_bytes_until_its_last_element_is_another(value):
    one = value.contiguous()
    copy = one.clone()
    assert same_bytes(one, copy)
    if copy.numel():
        copy.view(-1)[-1] = not copy.view(-1)[-1]
        assert same_bytes(one, copy) is alike(one, copy)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2), -torch.zeros(2)),
        (torch.eye(2), torch.eye(2).t()),
        (torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.complex64).conj()),
    ],
)
def test_other_types_shapes_signs_of_zero_and_orders_in_memory_have_not_the_same_bytes(one, other):
    assert not same_bytes(one, other)


def test_equal_tensors_are_alike_whatever_their_bytes_and_so_is_nan_in_the_same_place():
    nan = torch.tensor([float("nan"), 0.0])
    assert alike(nan, nan.clone())
    assert alike(torch.zeros(2), -torch.zeros(2))
    assert alike(torch.eye(2), torch.eye(2).t())
    assert not alike(nan, torch.tensor([float("nan"), 1.0]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([float("nan"), 0.0], [0.0, float("nan")]),
        ([float("inf")], [torch.finfo(torch.float32).max]),
        ([complex(float("nan"), 1)], [complex(float("nan"), 2)]),
        ([complex(float("nan"), 1)], [complex(1, float("nan"))]),
    ],
)
def test_only_nan_in_the_same_place_is_alike(one, other):
    one, other = torch.tensor(one), torch.tensor(other)
    assert alike(one, one.clone())
    assert not alike(one, other)
    assert not alike(other, one)


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_a_worker_gets_the_structure_and_the_strides_that_the_judge_sends(value):
    tree, apart = trees.take_apart(value)
    layouts = [Layout.of(each) for each in apart]
    places = create(layouts, "cpu")
    for place, each in zip(places, apart, strict=True):
        place.core.copy_(place.layout.core(each))
    sent = json.loads(json.dumps([trees.to_json(tree), [place.describe() for place in places]]))
    memories = {place.memory.name: place.memory for place in places}
    mapped = {
        name: attach_memory(describe_memory(memory), iter([os.dup(memory.descriptor)]), "cpu")
        for name, memory in memories.items()
    }
    arrived = [attach_place(each, mapped).tensor for each in sent[1]]
    assert trees.from_json(sent[0]) == tree
    assert same(value, trees.put_together(trees.from_json(sent[0]), iter(arrived)))
    for one, other in zip(apart, arrived, strict=True):
        assert one.numel() == 0 or one.stride() == other.stride()
        assert one.numel() == 0 or one.storage_offset() * one.itemsize % 512 == other.data_ptr() % 512
    for place in places:
        place.close()


@settings(max_examples=100, deadline=None)
@given(value=tensors())
def test_a_layout_holds_each_element_once_and_gives_the_tensor_back(value):
    layout = Layout.of(value)
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    laid_out = layout.laid_out(layout.core(value).contiguous())
    assert alike(laid_out, value)
    assert value.numel() == 0 or laid_out.stride() == value.stride()
    first, last = span_of(value)
    assert value.numel() == 0 or last - first + 1 + layout.lead * value.itemsize == layout.n_bytes
    again = layout.laid_out(layout.core(value).contiguous(), copied=True)
    assert value.numel() == 0 or span_of(again) != span_of(laid_out)


@pytest.mark.parametrize(
    "value",
    [torch.rand(9).unfold(0, 3, 1), torch.rand(9).as_strided((3, 3), (1, 1)), torch.rand(9).as_strided((2, 5), (3, 1))],
)
def test_elements_that_overlap_otherwise_than_by_expand_are_refused(value):
    with pytest.raises(Overlapping):
        Layout.of(value)


@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_a_result_is_like_itself_and_its_numbers_are_tensors(value):
    try:
        tree, apart = trees.take_apart(value, result=True)
    except trees.Unjudgeable:
        return
    assert trees.like(tree, trees.from_json(json.loads(json.dumps(trees.to_json(tree))))) == list(range(len(apart)))
    assert trees.like(tree, trees.Branch("tuple", (tree,))) is None
    assert trees.like(trees.Branch("list", (tree,)), tree) is None
    assert all(isinstance(each, torch.Tensor) for each in apart)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just("tensor"), st.just("branch")
    ),
    lambda below: st.one_of(st.lists(below, max_size=6), st.dictionaries(st.text(max_size=3), below, max_size=2)),
    max_leaves=20,
)
HEADS = st.one_of(
    st.tuples(st.just("tensor"), st.sampled_from(["float32", "rand", 3]), JSON),
    st.tuples(st.just("number"), st.sampled_from(["int", "float", "str", None])),
    st.tuples(st.just("plain"), st.sampled_from(["int", "None", "enum", "x"]), JSON),
    st.tuples(st.just("branch"), st.sampled_from(["tuple", "dict", "x"]), JSON, JSON, JSON),
    JSON,
)


@given(found=HEADS)
@settings(max_examples=300, deadline=None)
def test_whatever_a_worker_says_is_a_tree_or_a_value_error(found):
    try:
        tree = trees.from_json(list(found) if isinstance(found, tuple) else found)
    except ValueError:
        return
    assert trees.from_json(trees.to_json(tree)) == tree or math.isnan(getattr(tree, "value", 0))
    assert isinstance(str(tree), str)


def nested(depth):
    tree = ["number", "int"]
    for _ in range(depth):
        tree = ["branch", "tuple", "", [], [tree]]
    return tree


@pytest.mark.parametrize(
    "found",
    [
        nested(trees.MAX_DEPTH + 1),
        nested(5000),
        ["branch", "list", "", [], [["number", "int"]] * trees.MAX_NODES],
        ["tensor", "float32", [1] * 65],
        ["tensor", "float32", [-1]],
        ["tensor", "float32", [10**400]],
        ["plain", "str", "x" * 2000],
        ["plain", "int", 10**400],
        ["branch", "dict", "", ["a"], []],
        ["branch", "tuple", "x" * 2000, [], []],
    ],
)
def test_what_is_too_deep_too_many_or_too_large_is_no_tree(found):
    with pytest.raises(ValueError, match=r"^expected "):
        trees.from_json(found)
    assert trees.from_json(nested(trees.MAX_DEPTH))


class Lazy(torch.Tensor):
    """Would compute when it is looked at."""

    @property
    def shape(self):
        raise AssertionError("looked at")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.rand(3).as_subclass(Lazy), "a value of type test_evaluation_trees.Lazy"),
        ([{"a": {1, 2}}], "a value of type set at [0]['a']"),
        ({(1, 2): 3}, "a dict with keys that are neither text nor integers"),
        ({True: 3}, "a dict with keys that are neither text nor integers"),
        ("x" * 1001, "a str of more than 1000 characters"),
        (2**64, "an integer beyond 64 bits"),
        ([0] * 2001, "more than 2000 values, or 8 containers in each other"),
    ],
)
def test_what_cannot_be_described_is_named_with_its_place(value, said):
    with pytest.raises(trees.Unjudgeable) as refusal:
        trees.take_apart(value, result=True)
    assert str(refusal.value) == said


def test_a_tensor_that_was_taken_apart_goes_as_soon_as_nobody_holds_it():
    gc.disable()
    try:
        value = {"a": [torch.zeros(2), 3]}
        gone = weakref.ref(value["a"][0])
        _, apart = trees.take_apart(value, result=True)
        assert len(apart) == 2
        del value, apart
        assert gone() is None
    finally:
        gc.enable()
