"""Finds the kinds of inputs on which a reference has an answer by which candidates can be judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch

from pytest_kernelbench.evaluation.correctness.domain import (
    BEYOND_THE_TASK,
    FAR,
    KINDS,
    MIXED,
    MOVED,
    TASK,
    Level,
)
from pytest_kernelbench.evaluation.correctness.few_rows import FewRows, are_defined
from pytest_kernelbench.evaluation.correctness.ties import EqualValues
from pytest_kernelbench.evaluation.shortage import lacks_memory

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.correctness.reference import Reference


class Defined:
    """Tries a reference on each kind of inputs, once.

    A reference is defined on a kind if it raises nothing, its answer is finite, integers in its answer are the same in
    float64, and nothing in it depends on which of equal values an operator takes (see ``ties``).
    """

    def __init__(self) -> None:
        # The reference is an argument of each method: kept here, it would be part of a cycle, and its tensors would
        # stay until Python collects cycles.
        self._found: dict[str, list[Level] | None] = {TASK: []}
        self._few: FewRows | None = None
        self._chose: bool | None = None

    def on(self, reference: Reference, kind: str) -> list[Level] | None:
        """The levels at which inputs of a kind are drawn; None where the reference is not defined on the kind.

        The task's own draw, on which a reference counts as defined, and ``MOVED`` have no levels: [].
        """
        if kind not in self._found:
            self._found[kind] = self._first(reference, kind)
        return self._found[kind]

    def levels(self, reference: Reference) -> list[Level]:
        """The kinds of ``BEYOND_THE_TASK`` on which a few rows have an answer, each at its first such level."""
        found = [next(iter(self._levels_of_few(reference, kind)), None) for kind in BEYOND_THE_TASK]
        return [level for level in found if level is not None]

    def _levels_to_mix(self, reference: Reference) -> list[Level]:
        if reference.rows_are_independent:
            return self.levels(reference)
        # Where rows are added up, the levels stay below ``FAR``: values of 100,000 and -100,000 would cancel, and leave
        # a plain loop none of the other values.
        near = [
            (level for level in self._levels_of_few(reference, each) if level.level < FAR) for each in BEYOND_THE_TASK
        ]
        return [level for levels in near for level in islice(levels, 1)]

    def _levels_of_few(self, reference: Reference, kind: str) -> Iterator[Level]:
        if self._few is None:
            self._few = FewRows(reference)
        few = self._few
        levels = (Level(kind, level) for level in KINDS[kind].levels)
        return (level for level in levels if few.has_answer(reference, level))

    def _first(self, reference: Reference, kind: str) -> list[Level] | None:
        if kind == MOVED:
            return [] if reference.can_move and self._has_answer(reference, reference.draw(TASK), kind) else None
        options: Iterator[list[Level]] = (
            ([level] for level in self._levels_of_few(reference, kind)) if kind != MIXED else iter(())
        )
        if kind == MIXED and reference.answers_by_row and (beyond := self._levels_to_mix(reference)):
            options = iter([[Level(TASK, 1.0), *beyond]])
        return next((option for option in options if self._has_answer_at(reference, option, kind)), None)

    def _has_answer_at(self, reference: Reference, option: Sequence[Level], kind: str) -> bool:
        if self._has_answer(reference, reference.drawn_at(option), kind):
            return True
        # A second draw, since two values may be equal by chance: so it is in 7 of 100 draws of 60 rows of 200 values.
        chooses = self._few is not None and self._few.chooses is True
        return chooses and self._has_answer(reference, reference.drawn_at(option), kind)

    def _has_answer(self, reference: Reference, values: Sequence[torch.Tensor], kind: str) -> bool:
        try:
            answers = partial(reference.answers, values, kind)
            return are_defined(answers, partial(answers, widened=True), kind, chooses=lambda: self.chooses(reference))
        except Exception as error:  # the reference's own: whatever it raises, it is not defined on this kind
            if lacks_memory(error):
                raise
            return False

    def chooses(self, reference: Reference) -> bool:
        """Whether the reference calls an operator that chooses among equal values."""
        if self._chose is None:
            if self._few is None:
                self._few = FewRows(reference)
            self._chose = self._few.chooses
        if self._chose is None:
            with EqualValues(last=True) as watch:
                reference.answers(reference.example_inputs)
            self._chose = watch.chose
        return self._chose
