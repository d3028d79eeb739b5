"""The reference of a task as the judge runs it: on inputs of every kind that it is defined on, and in float64."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.correctness import inputs
from pytest_kernelbench.evaluation.correctness.copied import copied
from pytest_kernelbench.evaluation.correctness.defined import Defined
from pytest_kernelbench.evaluation.correctness.domain import MIXED, MOVED, TASK, Level
from pytest_kernelbench.evaluation.correctness.parts import parts_of, treats_rows_alone
from pytest_kernelbench.evaluation.correctness.rounding import Noise, move
from pytest_kernelbench.evaluation.correctness.variants import Variants
from pytest_kernelbench.evaluation.correctness.widened import (
    bytes_of,
    in_float64,
    rows_of,
    wide_type,
)
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import torch_name
from pytest_kernelbench.evaluation.layouts import Layout, Overlapping, alike, plain, span_of, traits_of
from pytest_kernelbench.evaluation.modules import ReferenceModule, instantiate, seed_all
from pytest_kernelbench.evaluation.precision import Precision
from pytest_kernelbench.evaluation.sharing.giving_way import give_way
from pytest_kernelbench.evaluation.trees import JUDGED, Tree, Unjudgeable, put_together, take_apart


class Reference:
    """A task's model on a device. Raises HarnessError when it does not run."""

    @torch.no_grad()
    def __init__(
        self,
        task_id: str,
        source: str,
        *,
        seed: int,
        device: str,
        precision: Precision,
    ) -> None:
        self.task_id = task_id
        self.device = device
        self.precision = precision
        self._seed = seed
        precision.set_flags()
        try:
            self._module = ReferenceModule(source)
            started = time.perf_counter()
            model = instantiate(self._module.model_class, self._module, seed, torch_name(device))
            self.seconds_to_make = time.perf_counter() - started
            # The task's file may have chosen otherwise.
            precision.set_flags()
            self._model = precision.cast_model(model)
            self._example_inputs: list[torch.Tensor] | None = None
            self._given_layouts: list[Layout] | None = None
            self._look_at_result()
            self._in_parts(self._model, self.drawn_at(()))
        except Unjudgeable as error:
            raise HarnessError(f"{task_id}: {error}; what can be judged is {JUDGED}") from error
        except HarnessError:
            raise
        except torch.OutOfMemoryError as error:
            raise HarnessError(
                f"{task_id}: the reference needs more memory than {device} has ({_first_line(error)}); "
                "use small sizes, or a device with more"
            ) from error
        except Exception as error:
            raise HarnessError(
                f"{task_id}: the reference does not run on {device} ({type(error).__name__}: {error}); "
                "check the task file and its sizes"
            ) from error
        self.variants = Variants(self._model, seed)
        self._defined = Defined()
        # Whether the same inputs give the same answer only under the same seed.
        self.is_random = False

    def _look_at_result(self) -> None:
        """Call the reference for the first time, and note what it returns, which inputs it writes to, and its seconds.

        ``written``: the numbers of the inputs that it writes to. ``filled``: those of them that it does not return, so
        that their contents after the call are a part of the answer.
        """
        give_way()
        self.written: tuple[int, ...] = ()
        called, values = copied(self._model), self.example_inputs
        # Small inputs are copied and compared; for large ones, torch's count of writes to a tensor must do.
        compared = bytes_of(values) < device_named(self.device).free_bytes() / 50
        given = [layout.laid_out(value, copied=compared) for layout, value in zip(self.layouts, values, strict=True)]
        versions = [each._version for each in given]
        started = time.perf_counter()
        result = self._called(called, given)
        device_named(self.device).settle()
        self.seconds_per_call = time.perf_counter() - started
        try:
            self.result, tensors = take_apart(result, result=True)
        except Unjudgeable as error:
            raise Unjudgeable(f"forward returns {error}") from None
        if _is_lazy(self._model, called):
            # The model that has made its parameters: made anew in every call, they would differ in float64.
            self._model = called
        self.written = tuple(
            number
            for number, (one, version, layout) in enumerate(zip(given, versions, self.layouts, strict=True))
            if one._version != version or (compared and not alike(layout.core(one), values[number]))
        )
        if not tensors and not self.written:
            raise Unjudgeable(f"forward returns {self.result}, which depends on no input")
        addresses = {each.data_ptr() for each in tensors if each.numel()}
        self.filled = frozenset(number for number in self.written if given[number].data_ptr() not in addresses)
        spans = [span_of(each) for each in given]
        self.traits = [traits_of(each, spans) for each in tensors]
        answers = self._answer(tensors, given)
        self.example_answers = [torch.empty(each.shape, dtype=each.dtype, device="meta") for each in answers]
        self.example_outputs = self.example_answers[: len(tensors)]
        if self.written and not compared:
            self.forget_example()
        self.n_parts = parts_of(self, answers)

    @property
    def example_inputs(self) -> list[torch.Tensor]:
        """One draw of the task; another one after ``forget_example``."""
        if self._example_inputs is None:
            self._example_inputs = self.drawn_at(())
        return self._example_inputs

    def forget_example(self) -> None:
        """Free the example's memory."""
        self._example_inputs = None

    @property
    def answers_by_row(self) -> bool:
        """Whether every output has as many rows as the first input that has any, so that rows may correspond."""
        rows = next((layout.core_shape[0] for layout in self.layouts if layout.core_shape), None)
        return rows is not None and rows > 1 and all(t.dim() and len(t) == rows for t in self.example_answers)

    def usable(self, kind: str) -> bool:
        """Whether the reference is defined on this kind of input: see ``Defined``."""
        return self._defined.on(self, kind) is not None

    def levels(self) -> list[Level]:
        """See ``Defined.levels``."""
        return self._defined.levels(self)

    def levels_mixed(self) -> list[Level]:
        """The kinds that share the rows of ``mixed`` inputs, in their order."""
        return self._defined.on(self, MIXED) or []

    @cached_property
    def rows_are_independent(self) -> bool:
        """Whether a row of the answer depends on the same row of the inputs alone; see ``answers_by_row``."""
        return self.answers_by_row and treats_rows_alone(self)

    @property
    def chooses(self) -> bool:
        """Whether the reference calls an operator that chooses among equal values: see ``ties``."""
        return self._defined.chooses(self)

    @property
    def can_move(self) -> bool:
        """Whether the model has parameters or buffers that can be moved away from their initial values."""
        return self.variants.can_move

    def model_for(self, kind: str) -> torch.nn.Module:
        """A copy of the model that answers inputs of a kind: with moved parameters where that is the kind."""
        return self.variants.fresh(moved=kind == MOVED)

    def draw(self, kind: str) -> list[torch.Tensor]:
        """New inputs of a kind; the task's own where the reference is not defined on it."""
        if kind == MOVED:
            kind = TASK
        return self.drawn_at(self._defined.on(self, kind) or ())

    def drawn_at(self, levels: Sequence[Level]) -> list[torch.Tensor]:
        """New inputs of these kinds, each on a part of the first dimension; without kinds, the task's own draw."""
        give_way()
        seed = secrets.randbits(63)  # known to nobody
        # Without levels nothing is changed in place.
        others = self.example_inputs if levels else ()
        return inputs.draw(self._given, levels, seed=seed, device=self.device, others=others, precision=self.precision)

    def _given(self) -> list[torch.Tensor]:
        """The tensors among the arguments that the task makes, each with its elements in memory once.

        The numbers among the arguments, and other plain values, stay what they were at the first draw.
        """
        given = self._module.get_inputs()
        if type(given) not in (list, tuple):
            raise Unjudgeable(f"get_inputs gives a {type(given).__name__} where a list of arguments is due")
        try:
            arguments, tensors = take_apart(given)
            layouts = [Layout.of(each) for each in tensors]
        except Unjudgeable as error:
            raise Unjudgeable(f"get_inputs gives {error}") from None
        except Overlapping as error:
            raise Unjudgeable(f"get_inputs gives a tensor whose elements overlap ({error})") from None
        if self._given_layouts is None:
            self.arguments, self._given_layouts = arguments, layouts
            types = [each.dtype for each in self.precision.cast([torch.empty(0, dtype=each.dtype) for each in layouts])]
            self.layouts = [replace(layout, dtype=dtype) for layout, dtype in zip(layouts, types, strict=True)]
        elif layouts != self._given_layouts:
            raise HarnessError(
                f"{self.task_id}: get_inputs gives {arguments} after {self.arguments}, or other strides; "
                "have it give the same types, shapes and strides at each call"
            )
        return [
            layout.core(plain(each)).to(torch_name(self.device)) for layout, each in zip(layouts, tensors, strict=True)
        ]

    def answers(
        self, values: Sequence[torch.Tensor], kind: str = TASK, *, widened: bool = False, seed: int | None = None
    ) -> list[torch.Tensor]:
        """The outputs for inputs of a kind; ``widened``: in float64, for the same inputs and weights.

        ``seed``: of the call, for a model that draws at random; None: the seed under which candidates are called.
        """
        give_way()
        model, own = self.variants.of(moved=kind == MOVED, widened=widened), self._seed
        self._seed = own if seed is None else seed
        try:
            return self._in_parts(model, values, widened=widened)
        finally:
            self._seed = own

    def beside(self, values: Sequence[torch.Tensor], kind: str, noise: Noise | None) -> list[torch.Tensor]:
        """The answers in float64 to a problem that ``noise`` moves away from this one; None: to this one.

        Computed at once, whatever the size. Raises RuntimeError where that cannot be done.
        """
        give_way()
        model = self.variants.fresh(moved=kind == MOVED, widened=True)
        given = self._laid_out([in_float64(each) for each in values] if noise is None else move(model, values, noise))
        with nullcontext() if noise is None else noise:
            result = self._called(model, given)
        return self._answer(take_apart(result, result=True)[1], given)

    def run(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The model's answer. Every call starts from the same state, since running statistics would change it."""
        return self._run(self._model, values)[1]

    def answer_of(self, model: torch.nn.Module, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The answer of another model (a copy of it), called as the reference is, on the device that has ``values``."""
        return self._run(model, values, str(values[0].device))[1]

    def _run(
        self, model: torch.nn.Module, values: Sequence[torch.Tensor], on: str | None = None
    ) -> tuple[Tree, list[torch.Tensor]]:
        """The structure of what a copy of ``model`` returns, and its answer; ``on``: see ``_answer``."""
        given = self._laid_out(values)
        tree, tensors = take_apart(self._called(copied(model), given), result=True)
        return tree, self._answer(tensors, given, on)

    def arguments_for(self, values: Sequence[torch.Tensor]) -> Sequence[Any]:
        """The arguments of a call on ``values``, as the task's ``get_inputs`` gives them."""
        arguments: Sequence[Any] = put_together(self.arguments, iter(self._laid_out(values)))
        return arguments

    def _laid_out(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Values as the task lays them out in memory; copies of those that the reference writes to."""
        return [
            layout.laid_out(value, copied=number in self.written)
            for number, (layout, value) in enumerate(zip(self.layouts, values, strict=True))
        ]

    @torch.no_grad()
    def _called(self, model: torch.nn.Module, given: Sequence[torch.Tensor]) -> Any:
        # A candidate is called under the same seed: what draws at random draws the same.
        seed_all(self._seed)
        return model(*put_together(self.arguments, iter(given)))

    def _answer(
        self, tensors: Sequence[torch.Tensor], given: Sequence[torch.Tensor], on: str | None = None
    ) -> list[torch.Tensor]:
        """The answer to compare candidates with: the tensors of a result, and the inputs that were written to.

        ``on``: the device that gets it, None: the reference's.
        """
        left = [self.layouts[number].core(given[number]) for number in self.written]
        return [plain(each).to(on or torch_name(self.device)) for each in (*tensors, *left)]

    def _in_parts(
        self, model: torch.nn.Module, values: Sequence[torch.Tensor], *, widened: bool = False
    ) -> list[torch.Tensor]:
        """The answer of ``model``; of a large batch, so many rows at a time. ``widened``: all of it in float64."""
        if self.n_parts == 1:
            tree, answer = self._run(model, [in_float64(value) for value in values] if widened else values)
            if not widened and tree != self.result:
                raise HarnessError(
                    f"{self.task_id}: forward returns {tree} on some inputs and {self.result} on others; "
                    "have it return the same types and shapes on all"
                )
            return answer
        wholes = [
            torch.empty_like(t, dtype=wide_type(t.dtype) if widened else t.dtype, device=torch_name(self.device))
            for t in self.example_answers
        ]
        rows = len(wholes[0])
        for part in range(self.n_parts):
            give_way()
            begin, end = (rows * bound // self.n_parts for bound in (part, part + 1))
            some = rows_of(values, begin, end)
            _, answer = self._run(model, [in_float64(value) for value in some] if widened else some)
            for whole, piece in zip(wholes, answer, strict=True):
                whole[begin:end] = piece
        return wholes


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". GPU 0")[0]


def _is_lazy(model: torch.nn.Module, called: torch.nn.Module) -> bool:
    """Whether a model makes parameters in its first call; ``called`` is a copy that was called."""
    made, before = called.state_dict(), model.state_dict()
    return made.keys() != before.keys() or any(is_lazy(value) for value in before.values())
