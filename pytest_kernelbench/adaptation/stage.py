"""The resources of one strategy's training loop: the trainer, judged rollouts, and the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kernelbench.adaptation.trainers import said_of, trainer_of
from pytest_kernelbench.policies import require_trainable
from pytest_kernelbench.policies.base import random_seed
from pytest_kernelbench.records import Judged, Task
from pytest_kernelbench.rollouts import all_sampled, judge
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.workbench import Training

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.trainer import Trainer
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.workbench import Workbench


class Stage:
    """The adaptation of ``strategy``, between sampling and selection.

    ``ledger`` is the run folder. ``margin`` is what the lower end of a speed-up must clear on top of 1. ``say`` shows
    progress; ``spending`` adds the seconds of a block to a stage of ``run.json``.
    """

    def __init__(self, strategy: Strategy, bench: Workbench) -> None:
        self.strategy = strategy
        self.ledger = bench.ledger
        self.margin = bench.margin_of(strategy)
        self.say = bench.say
        self.spending = bench.spending
        self._bench = bench

    def checkpoint(self, at: Strategy) -> Path:
        """``adapters/LINEAGE/step-0001`` in the run folder, for the weights of the version of ``at``."""
        assert at.version is not None
        return self.ledger.folder / "adapters" / at.version.lineage / f"step-{at.version.step:04d}"

    def rollouts(self, task: Task, at: Strategy) -> list[Judged]:
        """The candidates of ``task`` at the version of ``at``, sampled and judged, in order of index."""
        with self.ledger.sole_owner(task.id):
            return self.judged(task, at)

    def judged(self, task: Task, at: Strategy) -> list[Judged]:
        """As ``rollouts``, for a caller that has locked ``task``."""
        assert at.version is not None
        adapted = at.version.step > 0 and not all_sampled(task, at, self.ledger)
        return judge(task, at, self._bench, self.trainer(at) if adapted else None)

    def trainer(self, at: Strategy) -> Trainer:
        """The trainer of the strategy's policy, with the weights of the version of ``at``. Raises PolicyError.

        A session has one trainer, of one lineage at a time. Making one loads the policy, which takes minutes, so it is
        asked for when something is left to do.
        """
        version, policy, held = at.version, self._bench.policy_of(at), self._bench.training
        assert version is not None
        if held and held.lineage != version.lineage:
            held.trainer.close()
            held = self._bench.training = None
        if held is None:
            held = self._bench.training = Training(version.lineage, self._new_trainer(at, policy))
        trainer = held.trainer
        if trainer.holds != version.step:
            trainer.load(self.checkpoint(at) if version.step else None, step=version.step)
        if version.step:
            trainer.use_adapted(f"{trainer.loaded_version}+{version.lineage}.{version.step}")
        else:
            trainer.use_loaded()
        return trainer

    def _new_trainer(self, at: Strategy, policy: Policy) -> Trainer:
        assert at.version is not None and at.adaptation is not None
        require_trainable(policy, at.name)
        trainer = trainer_of(
            policy,
            at.adaptation,
            temperature=at.sampling.temperature,
            max_tokens=at.sampling.max_tokens,
            seed=random_seed(self._bench.seed, "adapter", 0),
        )
        if self.ledger.keep("adapters", at.version.lineage, trainer.described):
            self._bench.tell(f"{at.name}: {said_of(trainer.described)}")
        return trainer
