"""What the pipeline works with: the ledger at hand, policy and evaluators once something is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kernelbench.policies import Policy, load_policy, require_logprobs, require_trainable
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.learner import Learner
    from pytest_kernelbench.evaluation import Evaluator
    from pytest_kernelbench.ledger import Ledger

# Of the tasks that a replay file has rows for and nobody collected.
MOST_UNUSED = 5


class Workbench:
    """One a process; a policy and an evaluator for each way to judge are made when first needed.

    ``tasks`` are all that the session collected. ``null`` None leaves the identity control to the strategy's
    protocol; ``say`` shows one line of progress.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        policy: str,
        device: str,
        seed: int,
        tasks: Sequence[Task] = (),
        null: bool | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.ledger = ledger
        self.device = device
        self.seed = seed
        self.tasks = tasks
        self.null = null
        self.say = say
        self._policy_spec = policy
        self._policies: dict[str, Policy] = {}
        self._evaluators: dict[str, Evaluator] = {}
        self._learner: tuple[str, Learner] | None = None

    def _policy_of(self, strategy: Strategy) -> Policy:
        """The policy that answers under ``strategy``, and that it trains if it adapts."""
        return self._loaded(strategy.sampling.policy or self._policy_spec)

    def _loaded(self, spec: str) -> Policy:
        if spec not in self._policies:
            self.say(f"loading {spec}")
            with self.spending("loading the policy"):
                policy = self._policies[spec] = load_policy(spec, device=self.device)
            if spec == self._policy_spec:
                self.ledger.note(policy_version=policy.version, policy_label=policy.label)
            if isinstance(policy, ReplayPolicy) and self.tasks and (unused := policy.tasks_without(self.tasks)):
                shown = ", ".join(unused[:MOST_UNUSED]) + (", ..." if len(unused) > MOST_UNUSED else "")
                self.ledger.remark(spec, f"{spec} has rows for tasks that are not collected here: {shown}")
        return self._policies[spec]

    def policy_for(self, strategy: Strategy) -> Policy:
        """With the weights of the strategy's version. Raises PolicyError where it cannot give what is needed."""
        self.release()
        policy = self._policy_of(strategy)
        if strategy.needs_logprobs:
            require_logprobs(policy, strategy.name)
        if strategy.adaptation:
            require_trainable(policy, strategy.name)
        if strategy.version and strategy.version.step > 0:
            return self.learner_for(strategy).policy
        if self._learner:
            self._learner[1].use_loaded()
        return policy

    def learner_for(self, strategy: Strategy) -> Learner:
        """The policy and its adapter, both at the strategy's version: one lineage at a time."""
        self.release()
        from pytest_kernelbench.adaptation.checkpoints import Checkpoint
        from pytest_kernelbench.adaptation.learner import Learner
        from pytest_kernelbench.policies.base import random_seed

        version = strategy.version
        assert version is not None and strategy.adaptation is not None
        policy = require_trainable(self._policy_of(strategy), strategy.name)
        if self._learner and self._learner[0] != version.lineage:
            self._learner[1].close()
            self._learner = None
        if self._learner is None:
            learner = Learner(
                policy,
                strategy.adaptation,
                temperature=strategy.sampling.temperature,
                max_tokens=strategy.sampling.max_tokens,
                seed=random_seed(self.seed, "adapter", 0),
            )
            self._learner = version.lineage, learner
        learner = self._learner[1]
        if learner.holds != version.step:
            saved = Checkpoint.read(self.checkpoint_folder(strategy)) if version.step else None
            learner.load(saved, step=version.step)
        if version.step:
            learner.use_adapted(f"{learner.loaded_version}+{version.lineage}.{version.step}")
        else:
            learner.use_loaded()
        return learner

    def checkpoint_folder(self, strategy: Strategy) -> Path:
        """Of the strategy's version."""
        assert strategy.version is not None
        return self.ledger.folder / "adapters" / strategy.version.lineage / f"step-{strategy.version.step:04d}"

    def evaluator_for(self, strategy: Strategy) -> Evaluator:
        if strategy.evaluation_sha256 not in self._evaluators:
            from pytest_kernelbench.evaluation import Evaluator

            settings = strategy.evaluation
            evaluator = Evaluator(
                device=self.device,
                protocol=settings.protocol,
                precision=settings.precision,
                torch_operators=settings.torch_operators,
                parameters=settings.parameters,
                seed=self.seed,
                keep_task=True,
            )
            self._evaluators[strategy.evaluation_sha256] = evaluator
            described = evaluator.describe()
            self.ledger.note(device=described.get("hardware", {}).get("name") or self.device)
            self.ledger.describe(described)
        return self._evaluators[strategy.evaluation_sha256]

    @contextmanager
    def spending(self, stage: str) -> Iterator[None]:
        """Add the wall seconds of a block to ``run.json``, under ``seconds``; evaluations record their own."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ledger.spend(stage, time.perf_counter() - start)

    def margin_of(self, strategy: Strategy) -> float:
        """Of the strategy's protocol, on top of 1."""
        return margin_of(strategy, self.device)

    def release(self) -> None:
        """Have the judges give back the device's memory: a policy needs it, or another process."""
        for evaluator in self._evaluators.values():
            evaluator.release()

    def close(self) -> None:
        """End every process that was started."""
        while self._evaluators:
            _, evaluator = self._evaluators.popitem()
            if evaluator.clocks is not None:
                self.ledger.describe(evaluator.describe())
            evaluator.close()


def margin_of(strategy: Strategy, device: str) -> float:
    """What the lower end of a confirmed interval must clear on top of 1."""
    from pytest_kernelbench.evaluation.protocols import protocol_named

    return protocol_named(strategy.evaluation.protocol).margin(device)
