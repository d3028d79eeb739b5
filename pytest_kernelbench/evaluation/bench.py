"""What the judge knows of one task: its reference, inputs, answers, tolerance, floor and duration."""

from __future__ import annotations

import copy
import math
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import devices, inputs
from pytest_kernelbench.evaluation.comparison import Expected, Tolerance, as_tensors, differ_by_rounding
from pytest_kernelbench.evaluation.modules import ReferenceModule, compute_in_float32, instantiate, seed_all
from pytest_kernelbench.evaluation.physics import (
    moving_ms,
    products_per_ms,
    products_that_must_be_formed,
    traffic,
)

SHARE_OF_MEMORY_FOR_SLOTS = 0.3
SHARE_OF_MEMORY_FOR_ORIGINALS = 0.1
ORIGINALS = 3
# In float64, inputs and outputs of many level-1 tasks take 26 GB; a batch whose rows are independent goes in parts.
AT_ONCE_BYTES = 2 << 30
REFRESHED = "refreshed"

# Of each output, by kind of inputs; None for integers, which must be equal.
Tolerances = dict[str, list[Tolerance | None]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One set of inputs: an original draw, and for each of its signals a key to the factors on it."""

    original: Sequence[Any]
    keys: Sequence[int | None]
    factors: torch.Tensor

    def write(self, number: int, out: torch.Tensor) -> torch.Tensor:
        """Input ``number`` into ``out``."""
        value, key = self.original[number], self.keys[number]
        return out.copy_(value) if key is None else inputs.vary(value, key, self.factors, out)

    def values(self) -> list[Any]:
        return [
            value if key is None else self.write(number, torch.empty_like(value))
            for number, (value, key) in enumerate(zip(self.original, self.keys, strict=True))
        ]


@dataclass(slots=True)
class Check:
    """Inputs of one check, and once a candidate has been asked what a correct one returns for them."""

    kind: str
    values: list[Any]
    answers: list[Expected] | None = None


class Bench:
    """One task, ready to judge by. Raises HarnessError when the reference itself does not run.

    ``tolerances`` by kind of inputs, where they were measured for this task before; measured ones are added.
    """

    def __init__(
        self,
        task_id: str,
        source: str,
        *,
        seed: int,
        device: str,
        tolerances: Tolerances | None = None,
    ) -> None:
        self.task_id = task_id
        self.source = source
        self.seed = seed
        self.device = device
        torch.set_grad_enabled(False)
        torch.set_num_threads(devices.threads())
        compute_in_float32()
        try:
            self._module = ReferenceModule(source)
            self._model = instantiate(self._module.model_class, self._module, seed, device)
            self.example_inputs: list[Any] = []
            self.example_inputs = self._draw("task")
            started = time.perf_counter()
            called = copy.deepcopy(self._model)
            outputs = as_tensors(self._call(called, self.example_inputs))
            devices.settle(device)
            self.seconds_per_call = time.perf_counter() - started
            if _is_lazy(self._model, called):
                # Made anew in every call, they would be others in float64.
                self._model = called
            self._n_parts = self._parts(outputs)
        except Exception as error:
            raise HarnessError(
                f"{task_id}: the reference does not run on {device} ({type(error).__name__}: {error}); "
                "check the task file and its sizes"
            ) from error
        self.example_outputs = [torch.empty_like(t, device="meta") for t in outputs]
        self._is_signal = [inputs.is_signal(value) for value in self.example_inputs]
        self._exact_model = copy.deepcopy(self._model).double()
        self._usable: dict[str, bool] = {"task": True}
        self._checks: dict[int, Check] = {}
        self._originals: list[list[Any]] = [self.example_inputs]
        self._n_originals: int | None = None
        self._tolerances = {} if tolerances is None else tolerances
        self._factors = self._new_factors()
        self._traffic = traffic(self.example_inputs, self.example_outputs)
        self._arithmetic_ms = self._least_arithmetic_ms()
        self.floor_ms = max(moving_ms(self._traffic, device), self._arithmetic_ms)

    def renew(self) -> None:
        """Have new inputs for all that comes from now on."""
        self._checks.clear()
        self._originals.clear()
        self.example_inputs = self._draw("task")
        self._originals.append(self.example_inputs)
        self._factors = self._new_factors()

    @property
    def bytes_to_answer(self) -> int:
        """Memory to have for one answer and its comparison: inputs, and outputs with what is computed on the way."""
        return _bytes(self.example_inputs) + 3 * _bytes(self.example_outputs) + AT_ONCE_BYTES

    def usable(self, kind: str) -> bool:
        """Whether the reference is defined on this kind of input: finite, as it is on the task's own."""
        if kind not in self._usable:
            self._usable[kind] = all(bool(t.isfinite().all()) for t in as_tensors(self._run(self._draw(kind))))
        return self._usable[kind]

    def check(self, number: int, kind: str) -> Check:
        """Check ``number``; the same for all candidates of a request where that takes little memory.

        They run one at a time and cannot speak to each other.
        """
        if number in self._checks:
            return self._checks[number]
        check = Check(kind, self._draw(kind))
        if _bytes(check.values) + 2 * _bytes(self.example_outputs) < devices.free_bytes(self.device) / 50:
            self._checks[number] = check
        return check

    def answers_to(self, check: Check) -> list[Expected]:
        """What a correct candidate returns for the inputs of a check.

        To be asked for after the candidate's call: until then the memory is free for that, and holds no answer.
        """
        if check.answers is None:
            check.answers = self.answers(check.values, check.kind)
        return check.answers

    def refreshed(self) -> Drawn:
        """Inputs that nobody has seen, at the price of one multiplication: the task's draw times ``inputs.factors``."""
        if self._n_originals is None:
            room = devices.free_bytes(self.device) * SHARE_OF_MEMORY_FOR_ORIGINALS
            self._n_originals = ORIGINALS if room > _bytes(self.example_inputs) * ORIGINALS else 1
        if len(self._originals) < self._n_originals:
            self._originals.append(self._draw("task"))
        original = secrets.choice(self._originals)
        return Drawn(
            original,
            [secrets.randbits(63) if is_signal else None for is_signal in self._is_signal],
            self._factors,
        )

    def measure_tolerances(self, kinds: Iterable[str]) -> None:
        """Have the tolerances for these kinds of inputs, and for refreshed ones, before slots take the memory."""
        for kind in (*kinds, REFRESHED):
            self._tolerances_on(kind)

    def answers(self, values: Sequence[Any], kind: str = REFRESHED) -> list[Expected]:
        """What a correct candidate returns for inputs of a kind: eager's answer, within the tolerance on that kind."""
        tolerances = self._tolerances_on(kind)
        eager = self._in_parts(self._model, values)
        return [Expected.of(e, None, known) for e, known in zip(eager, tolerances, strict=True)]

    def pairs_in_memory(self, wanted: int) -> int:
        """How many pairs of input sets, with outputs, can be held at once; at least one."""
        one = _bytes(self.example_inputs) + _bytes(self.example_outputs)
        room = devices.free_bytes(self.device) * SHARE_OF_MEMORY_FOR_SLOTS
        return max(1, min(wanted, int(room / (2 * one + 1))))

    def lower_floor(self) -> None:
        """Measure the floor again, before it convicts anybody: the machine may have been busy the first time."""
        self.floor_ms = max(min(self.floor_ms, moving_ms(self._traffic, self.device)), self._arithmetic_ms)

    def _new_factors(self) -> torch.Tensor:
        # Signs as well, where the reference is defined on them: calls in which the identity is a ReLU check nothing.
        return inputs.factors(seed=secrets.randbits(63), signed=self.usable("signed"), device=self.device)

    def _draw(self, kind: str) -> list[Any]:
        seed = secrets.randbits(63)  # known to nobody
        get_inputs = self._module.get_inputs
        return inputs.draw(kind, get_inputs, seed=seed, device=self.device, others=self.example_inputs)

    def _tolerances_on(self, kind: str) -> list[Tolerance | None]:
        if kind not in self._tolerances:
            values = self.refreshed().values() if kind == REFRESHED else self._draw(kind)
            exact: Sequence[torch.Tensor | None]
            try:
                exact = self._in_parts(self._exact_model, values, widened=True)
            except RuntimeError:
                # Some operators have no float64 kernel, and some tasks do not fit twice.
                exact = [None] * len(self.example_outputs)
            eager = self._in_parts(self._model, values)
            measured = [Expected.of(e, x).tolerance for e, x in zip(eager, exact, strict=True)]
            # KernelBench's limit was set for the task's own inputs.
            self._tolerances[kind] = measured if kind == "task" else [each and each.uncapped() for each in measured]
        return self._tolerances[kind]

    def _run(self, values: Sequence[Any]) -> Any:
        # A model with running statistics changes when it runs; every answer starts from the same state.
        return self._call(copy.deepcopy(self._model), values)

    def _call(self, model: torch.nn.Module, values: Sequence[Any]) -> Any:
        # A candidate is called under the same seed: what draws at random draws the same.
        seed_all(self.seed)
        return model(*values)

    def _in_parts(self, model: torch.nn.Module, values: Sequence[Any], *, widened: bool = False) -> list[torch.Tensor]:
        """The outputs of ``model``; of a large batch, so many rows at a time. ``widened``: all of it in float64."""
        if self._n_parts == 1:
            given = [_widened(value) if widened else value for value in values]
            return as_tensors(self._call(copy.deepcopy(model), given))
        wholes = [
            torch.empty_like(
                t, dtype=torch.float64 if widened and t.is_floating_point() else t.dtype, device=self.device
            )
            for t in self.example_outputs
        ]
        rows = len(wholes[0])
        for part in range(self._n_parts):
            begin, end = (rows * bound // self._n_parts for bound in (part, part + 1))
            some = _rows(values, begin, end)
            given = [_widened(value) for value in some] if widened else some
            outputs = as_tensors(self._call(copy.deepcopy(model), given))
            for whole, piece in zip(wholes, outputs, strict=True):
                whole[begin:end] = piece
        return wholes

    def _parts(self, outputs: Sequence[torch.Tensor]) -> int:
        """In how many parts the reference can be computed: 1 unless it is large and treats each row by itself."""
        wanted = math.ceil(2 * (_bytes(self.example_inputs) + _bytes(outputs)) / AT_ONCE_BYTES)
        tensors = [v for v in (*self.example_inputs, *outputs) if isinstance(v, torch.Tensor)]
        sizes = {t.shape[0] if t.dim() else 1 for t in tensors}
        rows = sizes.pop()
        if wanted == 1 or sizes or rows < 3:
            return 1
        # From the middle: what depends on the rows before or after it gives another result.
        begin, end = rows // 3, 2 * rows // 3
        try:
            middle = as_tensors(self._run(_rows(self.example_inputs, begin, end)))
        except RuntimeError:
            return 1
        alike = len(middle) == len(outputs) and all(
            part.shape == whole[begin:end].shape and differ_by_rounding(part, whole[begin:end])
            for part, whole in zip(middle, outputs, strict=True)
        )
        return min(wanted, rows) if alike else 1

    def _least_arithmetic_ms(self) -> float:
        per_ms = products_per_ms(self.device)
        if per_ms is None:
            return 0.0
        return products_that_must_be_formed(lambda: self._run(self.example_inputs)) / per_ms


def _is_lazy(model: torch.nn.Module, called: torch.nn.Module) -> bool:
    """Whether a model makes parameters in its first call; ``called`` is a copy that was called."""
    made, before = called.state_dict(), model.state_dict()
    return made.keys() != before.keys() or any(is_lazy(value) for value in before.values())


def _widened(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _rows(values: Sequence[Any], begin: int, end: int) -> list[Any]:
    return [value[begin:end] if isinstance(value, torch.Tensor) else value for value in values]


def _bytes(values: Sequence[Any]) -> int:
    return sum(v.numel() * v.element_size() for v in values if isinstance(v, torch.Tensor))
