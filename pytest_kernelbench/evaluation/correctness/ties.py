"""Operators that choose among equal values, in an order that torch does not document.

``argmax`` and ``max`` document that the first one counts. ``topk``, ``sort`` and ``median`` do not say which of equal
values comes first: where a reference's answer depends on that, no candidate can be judged by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pytest_kernelbench.evaluation.watching import Watching

_aten = torch.ops.aten


class EqualValues(Watching):
    """A context in which such operators take the first of equal values first, or with ``last`` the last.

    ``chose``: whether one was called.
    """

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.chose = False
        self._last = last

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        choose = _CHOOSING.get(function)
        if choose is None or kwargs.get("stable") or not args[0].dim():
            return function(*args, **kwargs)
        self.chose = True
        named = {each.name: value for each, value in zip(function._schema.arguments, args, strict=False)}
        given = {"dim": -1, **named, **kwargs}
        if not self._last:
            return choose(function, given)
        value, dim = given["self"], given["dim"]
        chosen = choose(function, {**given, "self": value.flip(dim)})
        n_last = value.shape[dim] - 1
        return n_last - chosen if isinstance(chosen, torch.Tensor) else (chosen[0], n_last - chosen[1])


def either_way(run: Callable[[], list[torch.Tensor]]) -> list[list[torch.Tensor]]:
    """What ``run`` returns if the first of equal values comes first, and if the last does."""
    answers = []
    for last in (False, True):
        with EqualValues(last=last):
            answers.append(run())
    return answers


def _sort(_: Callable[..., Any], given: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.sort(given["self"], dim=given["dim"], descending=given.get("descending", False), stable=True)


def _argsort(function: Callable[..., Any], given: Mapping[str, Any]) -> torch.Tensor:
    return _sort(function, given)[1]


def _topk(function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    sorted_ = _sort(function, {**given, "descending": given.get("largest", True)})
    values, places = (each.narrow(given["dim"], 0, given["k"]).contiguous() for each in sorted_)
    return values, places


def _one_of_a_line(function: Callable[..., Any], given: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    values, places = function(**given)
    return values, places


_CHOOSING: dict[Any, Callable[..., Any]] = {
    _aten.sort.default: _sort,
    _aten.sort.stable: _sort,
    _aten.argsort.default: _argsort,
    _aten.topk.default: _topk,
    _aten.kthvalue.default: _one_of_a_line,
    _aten.median.dim: _one_of_a_line,
    _aten.nanmedian.dim: _one_of_a_line,
}
