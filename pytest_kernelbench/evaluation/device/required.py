"""Work that every kernel for a task must do, traced through the reference's operators: inputs read, products formed.

The reference runs once, on real values. Each tensor records the products and inputs that it depends on, and the share
of each that is needed after slicing. A product counts if the reference's result needs it under every known algebraic
trick, so the count is a lower bound, and mostly far below the real work:

- Of a convolution, one multiplication for each pair of channels at each point of the input or of the output, whichever
  has fewer: as if its kernel were 1 x 1. Winograd's and Fourier's algorithms need more than one a point, however large
  their tiles (Winograd, CBMS-NSF 33, 1980: m + r - 1 for m outputs of r taps).
- Of a matrix product, (7/8)^2 of its multiplications: two levels of Strassen's recursion. Products with a zero do not
  count, nor the same product formed twice.
- A product that a linear operator follows (a sum, a mean over space, another product) does not count, since the two can
  be combined: it counts only if a function follows that is not linear on the values at hand. Of two products that are
  added, the larger one counts. A linear function of a product is not a product's operand that counts.
- Operators of unknown kind do not count, nor elements that are dropped at random or multiplied by zero. Nothing counts
  if two draws of the inputs give the same output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from pytest_kernelbench.evaluation.correctness.pieces import pieces
from pytest_kernelbench.evaluation.watching import Watching

# The share of a matrix product's multiplications that two levels of Strassen's algorithm need.
STRASSEN = (7 / 8) ** 2
# A function whose values a line explains so well is a line, as far as a tolerance can tell.
MOST_EXPLAINED = 0.999
SAMPLED = 1 << 16

MATRIX_PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2)}
# Each element is moved, and none is lost or repeated.
VIEWS = frozenset(
    "view _unsafe_view reshape _reshape_alias permute transpose t alias detach clone contiguous copy _to_copy to "
    "unsqueeze squeeze flatten unflatten lift_fresh movedim".split()
)
CUTS = frozenset("slice select narrow split split_with_sizes chunk unbind".split())
# Every element of the first output is a line through the input's, and through sums of them.
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
LOOKUPS = frozenset("index index_select gather embedding take masked_select take_along_dim".split())
RANDOM = ("dropout", "bernoulli", "rand", "multinomial")
MASKING = frozenset("where masked_fill tril triu masked_scatter".split())

Shares = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Past:
    """The past of a tensor: by number, the shares that it needs of inputs (``read``) and of products.

    ``pending`` products were followed by linear functions only; ``formed`` ones by others too. A product with the
    tensor counts if it is ``free`` (not a linear function of a product or a sum) and ``plain`` (no element is
    repeated). ``name`` is equal for two views of the same numbers in the same order.
    """

    read: Shares = field(default_factory=dict)
    pending: Shares = field(default_factory=dict)
    formed: Shares = field(default_factory=dict)
    free: bool = True
    plain: bool = True
    name: Any = None

    def cut(self, share: float) -> Past:
        """The past of a part of the tensor."""
        read, pending, formed = (_times(each, share) for each in (self.read, self.pending, self.formed))
        return replace(self, read=read, pending=pending, formed=formed)


@dataclass(frozen=True, slots=True)
class Required:
    """``products``: multiplications that must be done. ``read``: of each input, by its place, the share to be read."""

    products: float
    read: Shares


def required(
    run: Callable[[Sequence[Any]], Sequence[torch.Tensor]],
    inputs: Sequence[Any],
    outputs_of_another: Sequence[torch.Tensor],
) -> Required:
    """The inputs and products that ``run`` needs for its result.

    ``outputs_of_another``: the outputs for other values of the inputs. An output that is equal for both needs nothing.
    """
    follower = _Follower(inputs)
    with torch.no_grad(), follower:
        outputs = run(inputs)
    pairs = zip(outputs, outputs_of_another, strict=True)
    return follower.needed_by([one for one, other in pairs if not _the_same(one, other)])


def _the_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for rounding, of numbers of their size or of numbers around 1 that cancelled."""
    if one.shape != other.shape or not one.is_floating_point():
        return torch.equal(one, other)
    largest = max((float(part.nan_to_num().abs_().max()) for (part,) in pieces(one) if part.numel()), default=0.0)
    rounding = 1e-6 * largest + 5e-7
    return all(
        bool(((part.nan_to_num() - another.nan_to_num()).abs_() <= rounding).all())
        for part, another in pieces(one, other)
    )


class _Follower(Watching):
    """Keeps the past of every tensor while operators run."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        super().__init__()
        self._pasts: Any = WeakTensorKeyDictionary()
        self._products: dict[int, float] = {}
        self._known: dict[tuple[Any, ...], int] = {}
        self._names = count()
        # Storages that were partly overwritten: their elements have several pasts.
        self._spoilt: set[int] = set()
        for place, value in enumerate(inputs):
            if isinstance(value, torch.Tensor):
                self._pasts[value] = Past(read={place: 1.0}, name=next(self._names))

    def needed_by(self, outputs: Sequence[torch.Tensor]) -> Required:
        read: Shares = {}
        products: Shares = {}
        for output in outputs:
            past = self._past_of(output)
            read = _union([read, past.read])
            products = _union([products, past.pending, past.formed])
        return Required(sum(self._products[number] * share for number, share in products.items()), read)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        name = str(function.overloadpacket.__name__)
        given = [each for each in _flat([*args, *(kwargs or {}).values()]) if isinstance(each, torch.Tensor)]
        outputs = [each for each in _flat([result]) if isinstance(each, torch.Tensor)]
        if outputs:
            past = self._next(function, name.rstrip("_"), args, given, outputs[0])
            for output in outputs:
                view = (past.name, tuple(output.shape), output.stride())
                past = replace(past, name=view if name in VIEWS else next(self._names))
                if name.endswith("_") and output.untyped_storage().nbytes() > output.numel() * output.element_size():
                    self._spoilt.add(output.untyped_storage()._cdata)
                self._pasts[output] = past
        return result

    def _past_of(self, tensor: torch.Tensor) -> Past:
        # A tensor that no traced operator made is a weight.
        past: Past = self._pasts.get(tensor) or Past(name=(tensor.data_ptr(), tuple(tensor.shape), tensor.stride()))
        return _unknown([past]) if tensor.untyped_storage()._cdata in self._spoilt else past

    def _next(self, function: Any, name: str, args: Any, given: list[torch.Tensor], output: torch.Tensor) -> Past:
        pasts = [self._past_of(each) for each in given]
        if not given:
            return Past()
        if name in MATRIX_PRODUCTS or name == "convolution":
            return self._of_product(name, args, pasts, output)
        if name in VIEWS:
            return pasts[-1]  # copy_ writes the second to the first
        if name in CUTS:
            return pasts[0].cut(output.numel() / max(1, given[0].numel()))
        if name == "cat":
            distinct = len({str(each.name) for each in pasts}) == len(pasts)
            past = _elementwise(pasts)
            return replace(past, plain=past.plain and distinct)
        if any(norm in name for norm in NORMS):
            return pasts[0]
        if name in LOOKUPS:
            return _unknown(pasts[1:])
        if name in MASKING or any(word in name for word in RANDOM):
            return _unknown(pasts)
        if name in FUNCTIONS or (torch.Tag.pointwise in function.tags and len(given) == 1):
            return self._of_function(given[0], output, pasts[0])
        if torch.Tag.pointwise in function.tags:
            return self._of_several(name, given, pasts, output)
        if "pool" in name:
            return self._of_pool(name, args, pasts)
        return _mixed(pasts) if name in SUMS else _unknown(pasts)

    def _of_function(self, given: torch.Tensor, output: torch.Tensor, past: Past) -> Past:
        """Pending products count if the function is not linear on the values at hand."""
        if not past.pending and past.free:
            return past
        if given.numel() != output.numel():
            return _unknown([past])
        explained = _explained_by_a_line(given, output)
        if explained is None:
            return _unknown([past])
        return past if explained > MOST_EXPLAINED else _formed(past)

    def _of_several(self, name: str, given: list[torch.Tensor], pasts: list[Past], output: torch.Tensor) -> Past:
        factors = given if name in ("mul", "div") else []
        if name not in LINES or any(int(each.count_nonzero()) < each.numel() for each in factors):
            # Where one factor is zero, or the smaller of two, the other need not have been there.
            return _unknown(pasts)
        past = _elementwise(pasts)
        if all(each.numel() < output.numel() for each in given):
            past = replace(past, plain=False)
        if name in ("add", "sub", "rsub") and sum(bool(each.pending) for each in pasts) > 1:
            largest = max(past.pending, key=lambda number: self._products[number] * past.pending[number])
            return replace(past, pending={largest: past.pending[largest]}, free=False)
        return past

    def _of_pool(self, name: str, args: Any, pasts: list[Past]) -> Past:
        if "max_pool" not in name or "adaptive" in name:
            return _mixed(pasts)
        kernel, stride = (list(args[place]) if len(args) > place and args[place] else None for place in (1, 2))
        kernel = kernel or [1]
        seen = math.prod(min(1.0, size / step) for size, step in zip(kernel, stride or kernel, strict=False))
        return replace(_mixed(pasts), free=pasts[0].free and not pasts[0].pending).cut(seen)

    def _of_product(self, name: str, args: Any, pasts: list[Past], output: torch.Tensor) -> Past:
        left, right = (args[place] for place in MATRIX_PRODUCTS.get(name, (0, 1)))
        operands = [self._past_of(each) for each in (left, right)]
        past = _mixed(pasts)
        if any(each.pending or not (each.free and each.plain) for each in operands):
            return past
        key = (name, *(each.name for each in operands), *(map(str, args[3:]) if name == "convolution" else ()))
        number = self._known.setdefault(key, len(self._known))
        if name == "convolution":
            self._products[number] = _of_convolution(left, right, output, transposed=bool(args[6]))
        else:
            per_inner = left.count_nonzero(-2).double() * right.count_nonzero(-1).double()
            self._products[number] = STRASSEN * float(per_inner.sum())
        return replace(past, pending={number: 1.0})


# Functions of one tensor that torch does not tag as pointwise, and softmax, whose exponential comes first.
FUNCTIONS = frozenset("hardswish hardsigmoid hardtanh mish log_sigmoid_forward _softmax _log_softmax softplus".split())
# Functions of several tensors that are linear in each.
LINES = frozenset("add sub rsub mul div".split())
# Sums over elements: pending products can be combined with them.
SUMS = frozenset(
    "sum mean amax amin max min argmax argmin prod cumsum cumprod logsumexp norm linalg_vector_norm var std "
    "var_mean std_mean logcumsumexp cummax cummin median mse_loss nll_loss_forward".split()
)


def _of_convolution(image: torch.Tensor, weight: torch.Tensor, output: torch.Tensor, *, transposed: bool) -> float:
    """One multiplication for each pair of channels at each point of the input or the output, whichever has fewer."""
    batch, _, *input_points = image.shape if image.dim() == weight.dim() else (1, *image.shape)
    output_points = output.shape[-len(input_points) :]
    points = min(math.prod(input_points), math.prod(output_points))
    # (out, in / groups, ...), transposed (in, out / groups, ...): either way the pairs of channels.
    pairs = weight.shape[0] * weight.shape[1]
    not_zero = int(image.count_nonzero()) / max(1, image.numel()) * int(weight.count_nonzero()) / max(1, weight.numel())
    return STRASSEN * batch * points * pairs * not_zero


def _explained_by_a_line(given: torch.Tensor, output: torch.Tensor) -> float | None:
    """The share of the output's variance that a linear function of the input explains; None if the output is constant.

    1 for complex values, so that no products count for them.
    """
    if given.is_complex() or output.is_complex():
        return 1.0
    step = max(1, given.numel() // SAMPLED)
    x, y = (each.detach().flatten()[::step].double() for each in (given, output))
    if len(x) != len(y) or len(x) < 2:
        return 1.0
    x, y = x - x.mean(), y - y.mean()
    spread = float((y * y).mean())
    if not math.isfinite(spread) or spread < 1e-16:
        return None
    return float((x * y).mean()) ** 2 / max(float((x * x).mean()) * spread, 1e-300)


def _formed(past: Past) -> Past:
    return replace(past, pending={}, formed=_union([past.formed, past.pending]), free=True)


def _elementwise(pasts: Sequence[Past]) -> Past:
    return Past(
        _union([each.read for each in pasts]),
        _union([each.pending for each in pasts]),
        _union([each.formed for each in pasts]),
        free=all(each.free for each in pasts),
        plain=all(each.plain for each in pasts),
    )


def _mixed(pasts: Sequence[Past]) -> Past:
    """Pending products can be combined with the operator that mixed the elements."""
    past = _elementwise(pasts)
    return replace(past, pending={}, free=False)


def _unknown(pasts: Sequence[Past]) -> Past:
    """Inputs are read, and nothing is known of the products."""
    return Past(_union([each.read for each in pasts]), free=False, plain=False)


def _union(shares: Sequence[Shares]) -> Shares:
    numbers = dict.fromkeys(number for each in shares for number in each)
    return {number: max(each.get(number, 0.0) for each in shares) for number in numbers}


def _times(shares: Shares, factor: float) -> Shares:
    return {number: share * factor for number, share in shares.items()}


def _flat(values: Sequence[Any]) -> list[Any]:
    return [each for value in values for each in (_flat(value) if isinstance(value, list | tuple) else [value])]
