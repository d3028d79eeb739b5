"""Is an output right? Judged against float64, with a tolerance that scales with the problem.

A fixed 1e-4 accepts all zeros for a softmax over 400,000 elements and rejects a good sum of a billion. An output is
right here if it is the exact answer to a problem within a few roundings of the given one (``rounding.py`` measures how
far such answers lie apart), or off by a small multiple of what eager PyTorch itself is off by at the declared
precision. On the task's own inputs it is never looser than KernelBench's 1e-4 + 1e-4 |x| (1e-2 in half precision),
except where the eager reference does not meet that either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch

from pytest_kernelbench.evaluation.correctness.pieces import all_finite, count_nan, pieces
from pytest_kernelbench.evaluation.correctness.rounding import Spread
from pytest_kernelbench.evaluation.correctness.scalars import (
    error_of,
    finite_rms,
    largest_of,
    median_of,
    numbers,
    rms_of,
)
from pytest_kernelbench.evaluation.layouts import same_bytes
from pytest_kernelbench.evaluation.precision import PRECISIONS, Precision

# With more elements, the root mean square hardly differs from draw to draw.
A_HANDFUL = 16
KERNELBENCH_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}
NO_SPREAD = Spread(0.0, 0.0, 0.0)
FLOAT32 = PRECISIONS["float32"]


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Complex numbers as real and imaginary parts in a last dimension; other tensors unchanged."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from the truth one output may be: element by element, and in the root mean square.

    An element may be off by ``min(kernelbench (1 + |x|), max(of_eager, of_spread, rounding (|x| + rms(x))))``, by
    ``eager_floor`` in any case, and by ``forgiving (|x| + median(|x|))``; the whole by
    ``max(of_eager_rms, of_spread, rounding_rms rms(x), ...)``.

    ``kernelbench``: KernelBench's limit, absolute and relative. ``rounding``: relative, a multiple of the largest
    spread of any element; ``rounding_rms``: the same of the root mean square of all, which is a quarter of the largest
    among 65536 elements (in bfloat16, a product 0.9 times the right one is within ``rounding``). ``of_spread``:
    absolute, a multiple of the spread, for outputs of a handful of elements, which may all be near zero in the next
    draw. ``of_eager`` and ``of_eager_rms``: absolute, multiples of eager's error. ``forgiving``: relative, see
    ``that_forgives``. ``of_largest``: the share of the largest element by which any element may be off.
    """

    kernelbench: float
    rounding: float
    of_eager: float
    of_eager_rms: float
    eager_floor: float
    rounding_rms: float = 0.0
    of_spread: float = 0.0
    forgiving: float = 0.0
    of_largest: float = 0.0

    @classmethod
    def measured(
        cls,
        eager: torch.Tensor,
        exact: torch.Tensor | None,
        *,
        spread: Spread = NO_SPREAD,
        precision: Precision = FLOAT32,
    ) -> Tolerance:
        """From eager PyTorch's own error, and the spread of answers to problems within a rounding of the given one.

        ``eager`` and ``exact`` (in float64) are the same output. If ``exact`` is None, KernelBench's tolerance alone
        holds.
        """
        kernelbench = KERNELBENCH_TOLERANCE.get(eager.dtype, 1e-2)
        if exact is None:
            return cls(kernelbench, float("inf"), 0.0, float("inf"), 0.0)
        largest, rms, size = numbers(*error_of(eager, exact, of_finite=True), rms_of(exact))
        unit, size = precision.unit_of(eager.dtype), finite_rms(exact, size)
        rounding = max(unit * precision.roundings, precision.of_spread * spread.relative)
        of_spread = precision.of_spread_rms * spread.rms
        # Where eager is far off, as in a sum of millions in plain order, another kernel may not be 32 times as far off.
        of_many = min(precision.of_eager_max * largest, precision.of_eager_cap * unit * size)
        return cls(
            kernelbench=kernelbench,
            rounding=rounding,
            of_eager=max(of_many, precision.of_eager_far * largest),
            of_eager_rms=max(
                min(precision.of_eager_rms * rms, precision.of_eager_cap * unit * size),
                precision.of_eager_far * rms,
            ),
            eager_floor=precision.of_eager_far * largest,
            rounding_rms=min(rounding, max(unit * precision.roundings_rms, of_spread / size))
            if of_spread and size
            else rounding,
            # Where all terms cancel, as in ``x - x.mean()`` of one element, nothing is left to be relative to.
            of_spread=of_spread if exact.numel() <= A_HANDFUL or not size else 0.0,
        )

    def uncapped(self) -> Tolerance:
        """Without KernelBench's limit, which was set for the task's own inputs, where hardly anything cancels.

        With signs, a sum of a million terms may come out near zero, and no order of summation may be within 1e-4 then:
        three honest matrix-vector kernels were off by 1.2 times that (H200).
        """
        return self if math.isinf(self.rounding) else replace(self, kernelbench=math.inf)

    def that_forgives(self, share: float) -> Tolerance:
        """For inputs far from the task's own, where a kernel may lose digits but must compute the same function.

        An honest GroupNorm that averages squares keeps four digits of values near 100, and eager PyTorch seven.
        """
        return self if math.isinf(self.rounding) else replace(self, forgiving=share)

    def of_the_largest(self, share: float) -> Tolerance:
        """For inputs that one value dominates: transforms (FFT, Winograd, Strassen) spread that value's rounding error.

        An honest Winograd convolution of 4x4 tiles is off by 28 units in the last place of the largest output.
        """
        return self if math.isinf(self.rounding) else replace(self, of_largest=share)

    def wider(self, other: Tolerance) -> Tolerance:
        """The wider one of two tolerances of one output, part by part."""
        return Tolerance(*(max(getattr(self, name), getattr(other, name)) for name in self.__slots__))

    def elementwise(self, magnitude: torch.Tensor, of: Sizes) -> torch.Tensor:
        """The tolerance of each element, given its magnitude."""
        if math.isinf(self.rounding):
            return self.kernelbench * (1 + magnitude)
        scaled = (self.rounding * (magnitude + of.rms)).clamp_(min=max(self.of_eager, self.of_spread))
        floor = max(self.eager_floor, self.of_largest * of.largest)
        allowed = torch.minimum(self.kernelbench * (1 + magnitude), scaled).clamp_(min=floor)
        return torch.maximum(allowed, self.forgiving * (magnitude + of.median)) if self.forgiving else allowed

    def everywhere(self, of: Sizes) -> float:
        """The tolerance of any element, independent of its magnitude."""
        scaled = max(self.of_eager, self.of_spread, self.rounding * of.rms)
        allowed = max(min(self.kernelbench, scaled), self.eager_floor, self.of_largest * of.largest)
        return max(allowed, self.forgiving * of.median)

    def root_mean_square(self, rms: float) -> float:
        return max(self.of_eager_rms, self.of_spread, self.rounding_rms * rms, self.forgiving * rms)


class Sizes(NamedTuple):
    """How large the elements of an expected output are, infinite ones left out.

    ``largest`` is 0 where the tolerance asks for no share of it.
    """

    rms: float
    median: float
    largest: float = 0.0


@dataclass(frozen=True)
class Expected:
    """One expected output tensor (in float64 where it could be computed) and its tolerance (None: integers, exact).

    ``open``: a mask of integers of which any value is right, because they depend on the order of equal values.
    """

    exact: torch.Tensor
    tolerance: Tolerance | None
    open: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        eager: torch.Tensor,
        exact: torch.Tensor | None,
        known: Tolerance | None = None,
        *,
        spread: Spread = NO_SPREAD,
        precision: Precision = FLOAT32,
    ) -> Expected:
        """From the eager output and, where it could be computed, the same output in float64 (``exact``).

        ``known`` is a tolerance measured before on inputs of the same kind: then the eager output is the truth.
        Complex numbers are judged as their real and imaginary parts.
        """
        eager, exact = as_real(eager), None if exact is None else as_real(exact)
        if not eager.is_floating_point():
            return cls(eager, None)
        if exact is not None and not all_finite(eager):
            # Where eager overflows at the declared precision, its infinity or NaN is expected.
            exact = torch.where(eager.isfinite(), exact, eager.double())
        truth = eager if exact is None else exact
        return cls(truth, known or Tolerance.measured(eager, exact, spread=spread, precision=precision))

    @cached_property
    def sizes(self) -> Sizes:
        """Found when they are first needed: for an answer that is right to the last bit they are not."""
        assert self.tolerance is not None
        wanted = [rms_of(self.exact), median_of(self.exact)]
        if self.tolerance.of_largest:
            wanted.append(largest_of(self.exact))
        found = Sizes(*numbers(*wanted))
        return found._replace(rms=finite_rms(self.exact, found.rms))

    def objection(self, got: torch.Tensor) -> str | None:
        """Why ``got`` is wrong, in one line; None if it is right."""
        got = as_real(got)
        if self.tolerance is None:
            differ = got != self.exact
            wrong = int((differ if self.open is None else differ & ~self.open).sum())
            return f"{wrong} of {got.numel()} integers differ" if wrong else None
        if same_bytes(got, self.exact):
            # A candidate that calls the reference's operators is right to the last bit: one pass instead of five.
            return None
        largest, rms = numbers(*error_of(got, self.exact))
        if largest == 0:
            return None
        # The fewer elements, the higher the limit: twice as high for one element, whose root mean square is its error.
        allowed_rms = self.tolerance.root_mean_square(self.sizes.rms) * (1 + got.numel() ** -0.5 if got.numel() else 1)
        # One pass settles nearly every right answer; a NaN or infinity fails both comparisons.
        if largest <= self._everywhere() and rms <= allowed_rms:
            return None
        return self._objection_in_full(got, allowed_rms)

    def is_near(self, got: torch.Tensor, factor: float) -> bool:
        """Whether every error is within ``factor`` times the allowed one; integers always are."""
        if self.tolerance is None or float(error_of(as_real(got), self.exact)[0]) <= factor * self._everywhere():
            return True
        # Among many zeros, what is allowed everywhere is little.
        return all(
            bool(((part.to(exact.dtype) - exact).abs() <= factor * self._elementwise(exact)).all())
            for part, exact in pieces(as_real(got), self.exact)
        )

    def widened(self, tolerance: Tolerance | None) -> Expected:
        """With the wider one of two tolerances, provided that both were measured in the same way."""
        if self.tolerance is None or tolerance is None:
            return self
        if math.isinf(tolerance.rounding) and not math.isinf(self.tolerance.rounding):
            return self
        return Expected.of(self.exact, None, self.tolerance.wider(tolerance))

    def _everywhere(self) -> float:
        assert self.tolerance is not None
        return self.tolerance.everywhere(self.sizes)

    def _elementwise(self, exact: torch.Tensor) -> torch.Tensor:
        assert self.tolerance is not None
        magnitude = exact.abs().nan_to_num_(nan=0.0, posinf=0.0)
        return self.tolerance.elementwise(magnitude, self.sizes)

    def _objection_in_full(self, got: torch.Tensor, allowed_rms: float) -> str | None:
        assert self.tolerance is not None
        if not all(torch.equal(part.isnan(), exact.isnan()) for part, exact in pieces(got, self.exact)):
            return f"{count_nan(got)} NaN where {count_nan(self.exact)} are due"
        for part, exact in pieces(got, self.exact):
            infinite = exact.isinf() | part.isinf()
            if not torch.equal(part[infinite], exact[infinite]):
                return "infinities differ"
        worst, begin = None, 0
        for part, exact in pieces(got, self.exact):
            found = self._worst(part.to(exact.dtype), exact, begin)
            worst = found if worst is None or found.excess > worst.excess else worst
            begin += part.numel()
        if worst is not None and worst.excess > 0:
            return (
                f"error {worst.error:.3g} where {worst.allowed:.3g} is allowed "
                f"(element {worst.element} is {worst.got:.6g}, not {worst.exact:.6g})"
            )
        rms = float(error_of(got, self.exact, of_finite=True)[1])
        if rms > allowed_rms:
            return f"root mean square error {rms:.3g} where {allowed_rms:.3g} is allowed"
        return None

    def wrong_elements(self, got: torch.Tensor) -> list[WrongElements]:
        """Every element beyond its tolerance, piece by piece; none where only the root mean square is too large."""
        got, found, begin = as_real(got), [], 0
        for part, exact in pieces(got, self.exact):
            part = part.to(exact.dtype)
            same = (part == exact) | (part.isnan() & exact.isnan())
            if self.tolerance is None:
                allowed = torch.zeros_like(exact, dtype=torch.float32)
                places = (~same).nonzero()[:, 0]
            else:
                allowed = self._elementwise(exact)
                # A NaN is not under any limit.
                places = (~((part - exact).abs() <= allowed) & ~same).nonzero()[:, 0]
            found.append(WrongElements(places + begin, part[places], exact[places], allowed[places]))
            begin += part.numel()
        return found

    def _worst(self, got: torch.Tensor, exact: torch.Tensor, begin: int) -> _Worst:
        """The element furthest beyond its tolerance; ``begin`` is the number of the first element given."""
        error = (got - exact).abs_().nan_to_num_(nan=0.0)
        allowed = self._elementwise(exact)
        excess = error - allowed
        at = excess.argmax()
        # To index with ``at`` would read it at once.
        element, *values = numbers(at, *(each.take(at) for each in (excess, error, allowed, got, exact)))
        return _Worst(begin + int(element), *values)


class WrongElements(NamedTuple):
    """Wrong elements of one output: their places in it when it is flat, the values, what is due, what is allowed."""

    places: torch.Tensor
    got: torch.Tensor
    due: torch.Tensor
    allowed: torch.Tensor


class _Worst(NamedTuple):
    """An element and its error; ``excess`` is the error minus the allowed error."""

    element: int
    excess: float
    error: float
    allowed: float
    got: float
    exact: float


def differ_by_rounding(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one shape differ by no more than the order of a few operations can explain."""
    one, other = as_real(one), as_real(other)
    if not one.is_floating_point():
        return torch.equal(one, other)
    largest, rms = numbers(error_of(one, other)[0], rms_of(other))
    return largest <= torch.finfo(one.dtype).eps * FLOAT32.roundings * rms
