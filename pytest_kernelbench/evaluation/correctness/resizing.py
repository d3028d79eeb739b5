"""Sizes of a task made smaller and odd: primes, and one more than a block, so that no kernel's tile divides them.

A task's sizes are whole numbers that its module assigns. Each that is large gets a small odd value, or where the
reference does not run with that (a number of groups must divide the channels) a small round one, or stays.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.evaluation.modules import ReferenceModule, instantiate
from pytest_kernelbench.evaluation.trees import take_apart
from pytest_kernelbench.tasks import with_sizes

# Below it stands what is no size: a stride, a kernel's width, an axis.
LEAST_SIZE = 12
# One more than a block of 256, then primes; by falling original size.
ODD = (257, 67, 37, 29, 23, 19, 17, 13)
ODD_BATCH = 3
ROUND = (64, 48, 32, 16)
MOST_ELEMENTS = 1 << 19


def smaller(source: str, *, seed: int) -> dict[str, Any] | None:
    """Constants to replace, by name, so that the reference still runs; None where there are none. Runs on a CPU."""
    named = _sizes_in(source)
    if not named:
        return None
    odd = _odd(named)
    for count in range(len(ODD) - 3):
        wanted = _odd(named, ODD[count:])
        if _runs(source, wanted, seed):
            return wanted
        odd = wanted if count == 0 else odd
    return _one_by_one(source, named, odd, seed)


def _one_by_one(source: str, named: Mapping[str, Any], odd: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
    """Start where all sizes are divided alike, and make odd what can be."""
    known = next((each for each in _divided(named) if _runs(source, each, seed)), None)
    if known is None:
        return None
    for name in named:
        for value in (odd[name], *(_each(named[name], lambda size, most=most: min(size, most)) for most in ROUND)):
            tried = {**known, name: value}
            if value == known[name] or _runs(source, tried, seed):
                known = tried
                break
    return known


def _divided(named: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for least, divisor in itertools.product((16, 8), (64, 32, 16, 8, 4, 2)):

        def change(size: int, least: int = least, divisor: int = divisor) -> int:
            return max(size // divisor, least)

        yield {name: _replaced(name, value, change) for name, value in named.items()}


def _odd(named: Mapping[str, Any], sizes: tuple[int, ...] = ODD) -> dict[str, Any]:
    """Odd values by falling size; of a batch, 3."""
    every = sorted({size for value in named.values() for size in _flat(value)}, reverse=True)
    taken = {size: sizes[min(place, len(sizes) - 1)] for place, size in enumerate(every)}
    return {name: _replaced(name, value, taken.__getitem__) for name, value in named.items()}


def _replaced(name: str, value: Any, change: Callable[[int], int]) -> Any:
    """The sizes of one name changed, none made larger; of a batch, 3."""
    return _each(value, lambda size: min(size, ODD_BATCH if "batch" in name.lower() else change(size)))


def _flat(value: Any) -> list[int]:
    sizes = value if isinstance(value, tuple) else (value,)
    return [size for size in sizes if size >= LEAST_SIZE]


def _each(value: Any, change: Callable[[int], int]) -> Any:
    """A size, or those of a tuple, changed; what is too small to be one stays."""
    if isinstance(value, tuple):
        return tuple(_each(item, change) for item in value)
    return change(value) if value >= LEAST_SIZE else value


def _sizes_in(source: str) -> dict[str, Any]:
    """Names that the module gives a whole number, or a tuple of them, of which one is large; or a batch of any size."""
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
    except Exception:  # whatever a task's author wrote: it is no size
        return None
    items = value if isinstance(value, tuple) else (value,)
    return value if items and all(type(item) is int for item in items) else None


def _runs(source: str, sizes: Mapping[str, Any], seed: int) -> bool:
    """Whether the reference runs with these sizes, on a CPU, and its inputs and answers are finite and small."""
    try:
        task = ReferenceModule(with_sizes(source, sizes))
        torch.manual_seed(seed)
        inputs = task.get_inputs()
        elements = sum(value.numel() for value in inputs if isinstance(value, torch.Tensor))
        if elements > MOST_ELEMENTS:
            return False
        model = instantiate(task.model_class, task, seed, "cpu")
        _, outputs = take_apart(copy.deepcopy(model)(*inputs), result=True)
        return all(bool(output.isfinite().all()) and output.numel() > 0 for output in outputs)
    except (TaskError, torch.OutOfMemoryError):
        return False
    except Exception:  # the reference's own: these sizes do not fit together
        return False
