"""The judge's data of one task: its reference, inputs, answers, tolerance, floor and duration."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch

from pytest_kernelbench.evaluation.correctness import inputs
from pytest_kernelbench.evaluation.correctness.comparison import Expected, Tolerance
from pytest_kernelbench.evaluation.correctness.domain import MIXED, TASK
from pytest_kernelbench.evaluation.correctness.doubt import Due, once_more
from pytest_kernelbench.evaluation.correctness.mixed import expected_in_parts, parts_of_mixed
from pytest_kernelbench.evaluation.correctness.parts import AT_ONCE_BYTES
from pytest_kernelbench.evaluation.correctness.reference import Reference
from pytest_kernelbench.evaluation.correctness.tolerances import (
    REFRESHED,
    Tolerances,
    measured_on,
    measured_on_parts,
    wider,
)
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.physics import (
    Traffic,
    moving_ms,
    products_per_ms,
    traffic,
)
from pytest_kernelbench.evaluation.device.required import Required, required
from pytest_kernelbench.evaluation.precision import PRECISIONS

SHARE_OF_MEMORY_FOR_SLOTS = 0.3
SHARE_OF_MEMORY_FOR_ORIGINALS = 0.1
ORIGINALS = 3


@dataclass(frozen=True, slots=True)
class Drawn:
    """One set of inputs: an original draw, and for each of its signals a key to the factors on it."""

    original: Sequence[torch.Tensor]
    keys: Sequence[int | None]
    factors: torch.Tensor

    def write(self, number: int, out: torch.Tensor) -> torch.Tensor:
        """Input ``number`` into ``out``."""
        value, key = self.original[number], self.keys[number]
        return out.copy_(value) if key is None else inputs.vary(value, key, self.factors, out)

    def values(self) -> list[torch.Tensor]:
        return [
            value if key is None else self.write(number, torch.empty_like(value))
            for number, (value, key) in enumerate(zip(self.original, self.keys, strict=True))
        ]


@dataclass(slots=True)
class Check:
    """The inputs of one check; ``answers``: what a correct candidate returns, computed after the first call."""

    kind: str
    values: list[torch.Tensor]
    answers: Due | None = None


class Needs(NamedTuple):
    """Bytes that must be moved for a task's work, and products that must be formed."""

    traffic: Traffic
    products: float


class Bench:
    """One task, ready to judge by. Raises HarnessError when the reference itself does not run.

    ``tolerances``: those measured for this task before, by kind of inputs; the bench adds the ones that it measures.
    ``seed``: of the weights; inputs have secret seeds. ``floor_ms``: the least time in which the device could do the
    task's work, None before ``measure_floor``, which a bench that times nothing never calls.
    """

    def __init__(
        self,
        task_id: str,
        source: str,
        *,
        seed: int,
        device: str,
        precision: str = "float32",
        tolerances: Tolerances | None = None,
    ) -> None:
        self.task_id = task_id
        self.source = source
        self.seed = seed
        self.device = device
        self.precision = precision
        known = PRECISIONS[precision]
        self.reference = Reference(task_id, source, seed=seed, device=device, precision=known)
        self.seconds_per_call = self.reference.seconds_per_call
        self.example_outputs = self.reference.example_outputs
        self.bytes_by_input = [bytes_of([value]) for value in self.example_inputs]
        self._is_signal = [inputs.is_signal(value) for value in self.example_inputs]
        self._checks: dict[int, Check] = {}
        self._originals: list[list[torch.Tensor]] = []
        self._n_originals: int | None = None
        self._tolerances = {} if tolerances is None else tolerances
        self._factors = self._new_factors()
        self._needs: Needs | None = None
        self.floor_ms: float | None = None

    @property
    def example_inputs(self) -> list[torch.Tensor]:
        """One draw of the task."""
        return self.reference.example_inputs

    def renew(self) -> None:
        """Give up all inputs, and their memory: later checks and timed calls draw new ones."""
        self._checks.clear()
        self._originals.clear()
        self.reference.forget_example()
        self._factors = self._new_factors()

    @property
    def bytes_to_answer(self) -> int:
        """Memory needed for one answer and its comparison: inputs, outputs and intermediate results, in bytes."""
        return sum(self.bytes_by_input) + 3 * bytes_of(self.example_outputs) + AT_ONCE_BYTES

    def usable(self, kind: str) -> bool:
        """Whether the reference is defined on this kind of input."""
        return self.reference.usable(kind)

    def check(self, number: int, kind: str) -> Check:
        """Check ``number``, with inputs of ``kind``. If it takes little memory, all candidates of a request share it.

        Sharing is safe: candidates run one at a time and cannot communicate.
        """
        if number in self._checks:
            return self._checks[number]
        check = Check(kind, self.reference.draw(kind))
        device, n_bytes = device_named(self.device), bytes_of(check.values) + 2 * bytes_of(self.example_outputs)
        # Asking for free memory takes a GPU's driver longer than most checks.
        if n_bytes < device.memory_bytes() / 1000 or n_bytes < device.free_bytes() / 50:
            self._checks[number] = check
        return check

    def answer_ahead(self, kinds: Iterable[str]) -> None:
        """Compute inputs and answers of a request's checks ahead, one for each kind, until one is too large to keep."""
        for number, kind in enumerate(kinds):
            check = self.check(number, kind)
            if number not in self._checks:
                return
            self.answers_to(check)

    def answers_to(self, check: Check) -> Due:
        """What a correct candidate returns for the inputs of a check.

        To be called after the candidate's call: until then the memory is free, and nowhere holds the answer.
        """
        if check.answers is None:
            check.answers = self.answers(check.values, check.kind)
        return check.answers

    def answers_in_doubt(self, check: Check, got: Sequence[torch.Tensor]) -> Due:
        """As ``answers_to``, with tolerances measured on these inputs, for a wrong answer ``got``: see ``doubt``."""
        check.answers = once_more(self.reference, check.kind, check.values, got, self.answers_to(check))
        return check.answers

    def refreshed(self, count: int) -> list[Drawn]:
        """So many sets of new inputs, each a draw of the task times secret ``inputs.factors``."""
        if self._n_originals is None:
            room = device_named(self.device).free_bytes() * SHARE_OF_MEMORY_FOR_ORIGINALS
            self._n_originals = ORIGINALS if room > sum(self.bytes_by_input) * ORIGINALS else 1
        if not self._originals:
            self._originals.append(self.example_inputs)
        while len(self._originals) < min(self._n_originals, count):
            self._originals.append(self.reference.draw(TASK))
        # Seeded anew each time: what can be told of these numbers from the inputs says nothing about later ones.
        random = Random(secrets.randbits(128))
        return [
            Drawn(
                random.choice(self._originals),
                [random.getrandbits(63) if is_signal else None for is_signal in self._is_signal],
                self._factors,
            )
            for _ in range(count)
        ]

    def measure_tolerances(self, kinds: Iterable[str]) -> None:
        """Measure the tolerances for these kinds of inputs, and for refreshed ones, before slots take the memory.

        What torch keeps of the answers in float64 is freed.
        """
        n_known = len(self._tolerances)
        for kind in (*kinds, REFRESHED):
            if kind == MIXED and self.usable(kind):
                self._tolerances_on_parts()
            else:
                self._tolerances_on(kind)
        if len(self._tolerances) > n_known:
            device_named(self.device).leave_room()

    def answers(self, values: Sequence[torch.Tensor], kind: str = REFRESHED) -> Due:
        """What a correct candidate returns for ``values`` of a kind: eager's answer, within that kind's tolerance."""
        if kind == MIXED and self.usable(kind):
            by_part = self._tolerances_on_parts()
            return expected_in_parts(self.reference, self.reference.answers(values, kind), by_part)
        tolerances = self._tolerances_on(kind)
        eager = self.reference.answers(values, kind)
        return [Expected.of(e, None, known) for e, known in zip(eager, tolerances, strict=True)]

    @property
    def bytes_of_pair(self) -> int:
        """Memory of two sets of inputs with their outputs, in bytes."""
        return 2 * (sum(layout.n_bytes for layout in self.reference.layouts) + bytes_of(self.example_outputs))

    def pairs_in_memory(self, wanted: int, *, beside_bytes: int = 0) -> int:
        """How many pairs of input sets, with outputs, can be held at once; at least one.

        ``beside_bytes``: memory of the sets that are held already; it counts as free.
        """
        room = (device_named(self.device).free_bytes() + beside_bytes) * SHARE_OF_MEMORY_FOR_SLOTS
        return max(1, min(wanted, int(room / (self.bytes_of_pair + 1))))

    def find_needs(self) -> Needs:
        """The least work that the task takes any kernel, found once by some runs of the reference.

        Raises HarnessError where the reference does not run.
        """
        if self._needs is None:
            needed = self._required()
            self._needs = Needs(self._least_traffic(needed), needed.products)
        return self._needs

    def measure_floor(self) -> float:
        """``floor_ms``, measured once; to be called while nobody else uses the device."""
        if self.floor_ms is None:
            self.floor_ms = self._measured_floor_ms()
        return self.floor_ms

    def lower_floor(self) -> float:
        """Measure the floor again and keep the lower one: the machine may have been busy the first time."""
        self.floor_ms = min(self.measure_floor(), self._measured_floor_ms())
        return self.floor_ms

    def forget_floor(self) -> None:
        """Have the floor measured anew for the next candidate."""
        self.floor_ms = None

    def _measured_floor_ms(self) -> float:
        needs = self.find_needs()
        arithmetic_ms = needs.products / (products_per_ms(self.device) or math.inf)
        return max(moving_ms(needs.traffic, self.device), arithmetic_ms)

    def _new_factors(self) -> torch.Tensor:
        # With signs where the reference is defined on them: on positive inputs the identity would pass for a ReLU.
        return inputs.factors(seed=secrets.randbits(63), signed=self.reference.usable("signed"), device=self.device)

    def _tolerances_on(self, kind: str) -> list[Tolerance | None]:
        if kind not in self._tolerances:
            values = self.refreshed(1)[0].values() if kind == REFRESHED else self.reference.draw(kind)
            measured = measured_on(self.reference, kind, values)
            if kind == REFRESHED and self.usable("signed"):
                # Refreshed inputs are like signed ones: an answer that is right untimed must be right when timed.
                measured = wider(measured, self._tolerances_on("signed"))
                self._tolerances["signed"] = measured
            self._tolerances[kind] = measured
        return self._tolerances[kind]

    def _tolerances_on_parts(self) -> Tolerances:
        if not all(part.key in self._tolerances for part in parts_of_mixed(self.reference)):
            self._tolerances.update(measured_on_parts(self.reference, self.reference.draw(MIXED)))
        return self._tolerances

    def _required(self) -> Required:
        """The inputs and products that the reference needs."""
        reference, given = self.reference, self.example_inputs
        if reference.written:
            # ``required`` follows outputs only, and not the contents of an input that was written to.
            return Required(0.0, dict.fromkeys(range(len(given)), 1.0))
        outputs_of_another = reference.run(reference.draw(TASK))
        return required(reference.run, given, outputs_of_another)

    def _least_traffic(self, needed: Required) -> Traffic:
        """What must be read and written; a view that the reference returns need not be."""
        reference = self.reference
        written = [each for each, traits in zip(self.example_outputs, reference.traits, strict=True) if not traits]
        written += [self.example_inputs[number] for number in reference.written]
        return traffic(self.example_inputs if written else (), written, needed.read)
