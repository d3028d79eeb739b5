"""Deep copies of models, of which Python's own leave functions as they are.

A model may reach its parts through a function that it keeps: ``self.mlpf = lambda x: m.c_proj(m.c_fc(x))`` in
level3/44. ``copy.deepcopy`` copies the parts and not the function, so the copy would still compute with the parts of
the original: after its parameters were moved, or widened to float64, it gave neither the one answer nor the other.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from functools import partial
from types import CellType, FunctionType
from typing import Any, TypeVar

import torch

Model = TypeVar("Model", bound=torch.nn.Module)


def copied(model: Model) -> Model:
    """A deep copy of ``model``, whose functions reach the copy's parts, as the model's reach the model's."""
    memo: dict[int, Any] = {}
    made = copy.deepcopy(model, memo)
    functions = _Functions(memo)
    for module in made.modules():
        functions.copy_in(vars(module))
    return made


class _Functions:
    """Copies functions; ``memo`` has the copy of each object that was copied, by the object's address."""

    def __init__(self, memo: dict[int, Any]) -> None:
        self._memo = memo
        # By address: each container is looked through once, and may contain itself.
        self._looked_through: dict[int, Any] = {}

    def copy_in(self, value: Any) -> Any:
        """A part of a deep copy, ``value``, with copies of its functions; dicts and lists are changed in place."""
        if isinstance(value, FunctionType):
            return self._copy_of_function(value)
        if isinstance(value, partial):
            arguments, named = self.copy_in(value.args), self.copy_in(dict(value.keywords))
            return partial(self.copy_in(value.func), *arguments, **named)
        if type(value) is tuple:
            return tuple(map(self.copy_in, value))
        if isinstance(value, dict | list) and id(value) not in self._looked_through:
            self._looked_through[id(value)] = value
            for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
                value[key] = self.copy_in(each)
        return value

    def _copy_of_function(self, function: FunctionType) -> FunctionType:
        cells = function.__closure__ or ()
        if not cells and not function.__defaults__ and not function.__kwdefaults__:
            return function
        if id(function) in self._memo:
            known: FunctionType = self._memo[id(function)]
            return known
        closure = tuple(CellType() for _ in cells)
        made = FunctionType(function.__code__, function.__globals__, function.__name__, None, closure or None)
        # Before what it reaches, which may be the function itself; a copy is not copied again.
        self._memo[id(function)] = self._memo[id(made)] = made
        vars(made).update(vars(function))
        made.__defaults__ = self._copy_of(function.__defaults__)
        made.__kwdefaults__ = self._copy_of(function.__kwdefaults__)
        for cell, new in zip(cells, closure, strict=True):
            # A cell whose variable has no value yet stays empty.
            with suppress(ValueError):
                new.cell_contents = self._copy_of(cell.cell_contents)
        return made

    def _copy_of(self, value: Any) -> Any:
        """A deep copy of what a function reaches; what was copied before is not copied again."""
        try:
            return self.copy_in(copy.deepcopy(value, self._memo))
        except (TypeError, RuntimeError):  # Python's modules, locks, and results of operators have no deep copy
            return value
