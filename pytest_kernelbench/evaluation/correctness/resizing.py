"""Sizes of a task made smaller and odd: primes, and one more than a block, so that no kernel's tile divides them.

A task's sizes are integers that its module assigns to names. Each large one gets a small odd value; if the reference
does not run with that (a number of groups must divide the channels), it gets a small round one, or stays.
"""

from __future__ import annotations

import ast
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from pytest_kernelbench.evaluation.correctness.copied import copied
from pytest_kernelbench.evaluation.modules import ReferenceModule, instantiate, seed_torch
from pytest_kernelbench.evaluation.sharing.giving_way import give_way
from pytest_kernelbench.evaluation.trees import take_apart
from pytest_kernelbench.tasks import with_sizes

# Smaller integers are not taken for sizes: a stride, a kernel's width, an axis.
LEAST_SIZE = 12
# One more than a block of 256, then primes: the largest size gets the first.
ODD = (257, 67, 37, 29, 23, 19, 17, 13)
ODD_BATCH = 3
ROUND = (64, 48, 32, 16)
MOST_ELEMENTS = 1 << 19
# After so many seconds of running the reference, sizes are tried by shapes alone: 23 trials of a transposed 3D
# convolution took 34 s, and 0.05 s by shapes. Not from the start: the first operator on a "meta" tensor imports 800
# modules.
SECONDS_OF_RUNNING = 0.2
# Functions by which tasks make inputs.
MAKERS = (torch.rand, torch.randn, torch.randint, torch.zeros, torch.ones, torch.full)


class TooLarge(Exception):
    """The inputs have more than ``MOST_ELEMENTS`` elements."""


class _NoneTooLarge(TorchFunctionMode):
    """A context in which TooLarge is raised before a tensor of more than ``MOST_ELEMENTS`` is made.

    The 340 million random numbers of level1/70 take a core 2 s, and were made twice.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # On "meta" nothing is filled; a generator of another device would be refused there.
        can_ask = function in MAKERS and "generator" not in kwargs
        if can_ask and function(*args, **{**kwargs, "device": "meta"}).numel() > MOST_ELEMENTS:
            raise TooLarge
        return function(*args, **kwargs)


def smaller(source: str, *, seed: int) -> dict[str, Any] | None:
    """Constants to replace, by name, so that the reference still runs; None where there are none. Runs on a CPU.

    Where running it takes long, sizes are looked for by shapes alone, and tried once found.
    """
    named = _sizes_in(source)
    if not named:
        return None
    spent_s = 0.0

    def works(sizes: Mapping[str, Any]) -> bool:
        nonlocal spent_s
        give_way()
        if spent_s > SECONDS_OF_RUNNING:
            return _fits(source, seed, sizes)
        started = time.perf_counter()
        runs = _runs(source, seed, sizes)
        spent_s += time.perf_counter() - started
        return runs

    found = _found(named, works)
    if spent_s <= SECONDS_OF_RUNNING or (found is not None and _runs(source, seed, found)):
        return found
    return _found(named, partial(_runs, source, seed))


def _found(named: Mapping[str, Any], works: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
    for count in range(len(ODD) - 3):
        wanted = _odd(named, ODD[count:])
        if works(wanted):
            return wanted
    return _one_by_one(named, _odd(named), works)


def _one_by_one(
    named: Mapping[str, Any], odd: Mapping[str, Any], works: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any] | None:
    """Start from sizes that are all divided by the same number, and make each of them odd where that works."""
    known = next(filter(works, _divided(named)), None)
    if known is None:
        return None
    for name in named:
        for value in (odd[name], *(_each(named[name], lambda size, most=most: min(size, most)) for most in ROUND)):
            tried = {**known, name: value}
            if value == known[name] or works(tried):
                known = tried
                break
    return known


def _divided(named: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for least, divisor in itertools.product((16, 8), (64, 32, 16, 8, 4, 2)):

        def change(size: int, least: int = least, divisor: int = divisor) -> int:
            return max(size // divisor, least)

        yield {name: _replaced(name, value, change) for name, value in named.items()}


def _odd(named: Mapping[str, Any], sizes: tuple[int, ...] = ODD) -> dict[str, Any]:
    """Each name with odd values in place of its sizes, the first of ``sizes`` for the largest; a batch gets 3."""
    every = sorted({size for value in named.values() for size in _flat(value)}, reverse=True)
    taken = {size: sizes[min(place, len(sizes) - 1)] for place, size in enumerate(every)}
    return {name: _replaced(name, value, taken.__getitem__) for name, value in named.items()}


def _replaced(name: str, value: Any, change: Callable[[int], int]) -> Any:
    """The sizes of one name changed, none of them made larger; a batch gets 3."""
    return _each(value, lambda size: min(size, ODD_BATCH if "batch" in name.lower() else change(size)))


def _flat(value: Any) -> list[int]:
    sizes = value if isinstance(value, tuple) else (value,)
    return [size for size in sizes if size >= LEAST_SIZE]


def _each(value: Any, change: Callable[[int], int]) -> Any:
    """A size, or the sizes in a tuple, changed; integers below ``LEAST_SIZE`` stay."""
    if isinstance(value, tuple):
        return tuple(_each(item, change) for item in value)
    return change(value) if value >= LEAST_SIZE else value


def _sizes_in(source: str) -> dict[str, Any]:
    """By name, the integers and tuples of integers that the module assigns and of which one is large enough."""
    found: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign):
            continue
        for target in statement.targets:
            pairs = [(target, statement.value)]
            if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                pairs = list(zip(target.elts, statement.value.elts, strict=False))
            for name, node in pairs:
                value = _literal(node)
                if isinstance(name, ast.Name) and value is not None and _flat(value):
                    found[name.id] = value
    return found


def _literal(node: ast.expr) -> Any:
    """The whole number, or tuple of them, that an expression of literals stands for; None for any other."""
    if any(isinstance(each, ast.Name | ast.Call | ast.Attribute) for each in ast.walk(node)):
        return None
    try:
        value = eval(compile(ast.Expression(node), "<size>", "eval"), {"__builtins__": {}})
    except Exception:  # whatever the task's author wrote, such as 1 / 0, is not a size
        return None
    items = value if isinstance(value, tuple) else (value,)
    return value if items and all(type(item) is int for item in items) else None


def _fits(source: str, seed: int, sizes: Mapping[str, Any]) -> bool:
    """Whether the reference's operators take each other's shapes at these sizes, and its inputs are small.

    False also where torch knows an operator's answer only by computing it.
    """
    try:
        with torch.device("meta"):
            return all(output.numel() > 0 for output in _outputs(source, seed, sizes, "meta"))
    except Exception:  # the reference's own: these sizes do not fit together
        return False


def _runs(source: str, seed: int, sizes: Mapping[str, Any]) -> bool:
    """Whether the reference runs with these sizes, on a CPU, and its inputs and answers are finite and small."""
    try:
        outputs = _outputs(source, seed, sizes, "cpu")
        return all(bool(output.isfinite().all()) and output.numel() > 0 for output in outputs)
    except Exception:  # the reference's own: these sizes do not fit together
        return False


def _outputs(source: str, seed: int, sizes: Mapping[str, Any], device: str) -> list[torch.Tensor]:
    """What the reference returns with these sizes. Raises TooLarge, and the reference's own exceptions."""
    task = ReferenceModule(with_sizes(source, sizes))
    seed_torch(seed)
    with _NoneTooLarge():
        inputs = task.get_inputs()
    if sum(value.numel() for value in inputs if isinstance(value, torch.Tensor)) > MOST_ELEMENTS:
        raise TooLarge
    model = instantiate(task.model_class, task, seed, device)
    return take_apart(copied(model)(*inputs), result=True)[1]
