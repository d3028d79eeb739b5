"""A tree over distinct programs: parents are chosen by PUCT, and each child has read its parent.

Source: TTT-Discover (arXiv 2601.16175) has the form and its constants: the value of a program is its own reward until
it has children and the best of theirs from then on, the prior falls with the program's rank, and programs of one line
of descent are not chosen for the same turn. Here the weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

from pytest_kernelbench.records import Judged

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import SearchSettings

# Of one parent, so many of its children may become parents themselves.
CHILDREN_KEPT = 2
# The root, of which every first answer is a child: asked without an earlier answer.
ROOT = -1


@dataclass(slots=True)
class Node:
    """A program, first seen as candidate ``index``. ``best_child`` is the greatest reward among its children."""

    index: int
    parent: int | None
    reward: float
    best_child: float | None = None
    visits: int = 0
    children: list[int] = field(default_factory=list)


class Evolve:
    """Parents of a turn of ``width`` children: the best by PUCT, none beside its own ancestor or descendant."""

    def __init__(self, settings: SearchSettings) -> None:
        self._width = settings.width
        self._exploration = settings.exploration

    def shown(self, indices: Sequence[int], known: Mapping[int, Judged]) -> dict[int, list[Judged]]:
        """The parent of each candidate; none for a child of the root."""
        parents = self.parents(indices, known)
        return {index: [] if parents[index] == ROOT else [known[parents[index]]] for index in indices}

    def parents(self, indices: Sequence[int], known: Mapping[int, Judged]) -> dict[int, int]:
        """For each candidate, the index of its parent, or ``ROOT``.

        The tree is rebuilt from the verdicts, turn by turn, so a resumed run needs only the records.
        """
        nodes: dict[int, Node] = {ROOT: Node(index=ROOT, parent=None, reward=0.0)}
        program_of: dict[str, int] = {}
        for begin in range(0, indices[0], self._width):
            turn = range(begin, begin + self._width)
            for index, parent in self._choose(turn, nodes).items():
                if index in known:
                    _grow(nodes, program_of, index, parent, known[index])
        return self._choose(indices, nodes)

    def _choose(self, turn: Sequence[int], nodes: Mapping[int, Node]) -> dict[int, int]:
        """A parent for each child of a turn: in order of PUCT, from the best again once each was taken."""
        ranked = self._ranked(nodes)
        taken: list[int] = []
        blocked: set[int] = set()
        for number in ranked:
            if len(taken) == len(turn):
                break
            if number not in blocked:
                taken.append(number)
                blocked |= _line_of(number, nodes)
        return {index: taken[place % len(taken)] for place, index in enumerate(turn)}

    def _ranked(self, nodes: Mapping[int, Node]) -> list[int]:
        """Programs that may be parents, best first: Q + c (max - min) P sqrt(1 + T) / (1 + n)."""
        able = [each for each in nodes.values() if each.index == ROOT or (each.reward > 0 and _is_kept(each, nodes))]
        by_reward = sorted(able, key=lambda each: (-each.reward, each.index))
        weight = {each.index: len(able) - rank for rank, each in enumerate(by_reward)}
        total_weight = sum(weight.values())
        spread = max(each.reward for each in able) - min(each.reward for each in able)
        visits = nodes[ROOT].visits

        def score(node: Node) -> float:
            prior = weight[node.index] / total_weight
            value = node.reward if node.best_child is None else node.best_child
            return value + self._exploration * spread * prior * sqrt(1 + visits) / (1 + node.visits)

        return [each.index for each in sorted(able, key=lambda each: (-score(each), each.index))]


def _grow(nodes: dict[int, Node], program_of: dict[str, int], index: int, parent: int, judged: Judged) -> None:
    """Add a candidate's program, unless it is known, and count the visit to all that it descends from."""
    source = judged.candidate.source
    reward = judged.evaluation.counted_speedup or 0.0
    if source is not None and source not in program_of:
        program_of[source] = index
        nodes[index] = Node(index=index, parent=parent, reward=reward)
        nodes[parent].children.append(index)
    nodes[parent].best_child = max(nodes[parent].best_child or 0.0, reward)
    above: int | None = parent
    while above is not None:
        nodes[above].visits += 1
        above = nodes[above].parent


def _is_kept(node: Node, nodes: Mapping[int, Node]) -> bool:
    """Whether a program is among the best of its parent's children; the root keeps all of its own."""
    if node.parent in (None, ROOT):
        return True
    siblings = sorted(nodes[node.parent].children, key=lambda each: (-nodes[each].reward, each))  # type: ignore[index]
    return node.index in siblings[:CHILDREN_KEPT]


def _line_of(number: int, nodes: Mapping[int, Node]) -> set[int]:
    """A program with its ancestors and descendants; for the root, the root alone."""
    if number == ROOT:
        return {ROOT}
    line, above = {number}, nodes[number].parent
    while above not in (None, ROOT):
        line.add(above)  # type: ignore[arg-type]
        above = nodes[above].parent  # type: ignore[index]
    below = list(nodes[number].children)
    while below:
        each = below.pop()
        line.add(each)
        below += nodes[each].children
    return line
