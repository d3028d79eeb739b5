"""A lineage: one chain of versions of the weights, and the tasks that each of its steps learns from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import Ledger, read_run
from pytest_kernelbench.records import Task, sha256_of
from pytest_kernelbench.strategy import Adaptation, Strategy
from pytest_kernelbench.tasks import as_argument, as_option, load_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """One chain of versions: ``strategy`` adapts to the tasks named in ``group``. ``tasks`` are the collected ones."""

    strategy: Strategy
    group: tuple[str, ...]
    tasks: Mapping[str, Task]
    seed: int

    @property
    def id(self) -> str:
        # The seed is part of the name, since runs with different seeds have different weights.
        return sha256_of(json.dumps([self.strategy.adaptation_sha256, self.seed, *self.group]))[:12]

    @property
    def settings(self) -> Adaptation:
        assert self.strategy.adaptation is not None
        return self.strategy.adaptation

    def at(self, step: int) -> Strategy:
        return self.strategy.at(self.id, step)

    def trained_on(self, step: int) -> tuple[str, ...]:
        """The tasks that a step trains on: all, or the next ``tasks_per_step`` of shuffled passes over the group."""
        n = self.settings.tasks_per_step or len(self.group)
        if n >= len(self.group):
            return self.group
        places = [divmod(place, len(self.group)) for place in range(step * n, (step + 1) * n)]
        return tuple(dict.fromkeys(self._shuffled(epoch)[place] for epoch, place in places))

    def sampled(self, step: int) -> tuple[str, ...]:
        """The tasks that are sampled at a step: the tasks of its batch; all tasks at the first and at the last step."""
        return self.group if step in (0, self.settings.steps) else self.trained_on(step)

    def task(self, name: str) -> Task:
        if name not in self.tasks:
            raise UsageError(
                f"strategy {self.strategy.name}: adapts to {len(self.group)} tasks in this run, and {name} is not "
                "collected now; name all of them again to go on"
            )
        return self.tasks[name]

    def _shuffled(self, epoch: int) -> list[str]:
        return sorted(self.group, key=lambda task: sha256_of(f"epoch\0{self.seed}\0{epoch}\0{task}"))


def lineage_of(task: Task, strategy: Strategy, ledger: Ledger, *, tasks: Sequence[Task], seed: int) -> Lineage:
    """The lineage whose weights are used for ``task``.

    With ``scope = "task"`` it is the task's own. Otherwise it is the lineage of the tasks of ``train_on``, or of all
    collected ``tasks``.
    """
    assert strategy.adaptation is not None
    if strategy.adaptation.scope == "task":
        return Lineage(strategy=strategy, group=(task.id,), tasks={task.id: task}, seed=seed)
    named = strategy.adaptation.train_on
    if named is not None:
        sizes = (read_run(ledger.folder) or {}).get("sizes") or "full"

        def spelled(argument: str, value: object = None) -> str:
            if argument != "tasks":
                return as_option(argument, value)
            return as_argument(f"strategy {strategy.name}: train_on", value)

        learnt_on: Sequence[Task] = load_tasks([named], sizes=sizes, named=spelled)
    else:
        learnt_on = tasks
    group = ledger.group_of(strategy, learnt_on)
    return Lineage(strategy=strategy, group=group, tasks={each.id: each for each in learnt_on}, seed=seed)
