"""What the pipeline works with: the ledger at hand, policy and evaluators once something is left to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.policies import Policy, load_policy, require_logprobs, require_self_certainty, require_trainable
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Judged, Task
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.loop import Surroundings
    from pytest_kernelbench.adaptation.trainer import Trainer
    from pytest_kernelbench.evaluation import Evaluator
    from pytest_kernelbench.ledger import Ledger
    from pytest_kernelbench.policies.device_memory import SharedDevice
    from pytest_kernelbench.serving.client import RemoteEvaluator

# Of the tasks that a replay file has rows for and nobody collected.
MOST_UNUSED = 5


class Workbench:
    """One a process; a policy and an evaluator for each way to judge are made when first needed.

    ``tasks`` are all that the session collected. ``null`` None leaves the identity control to the strategy's
    protocol; ``judges`` is the address of a server that judges, None where this machine does; ``say`` shows one line
    of progress, ``tell`` one that stays. ``policy_device`` is where weights go, None: to the
    judge's device, which the two then share.
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
        judges: str | None = None,
        say: Callable[[str], None] = lambda line: None,
        tell: Callable[[str], None] = lambda line: None,
        policy_device: str | None = None,
    ) -> None:
        self.ledger = ledger
        self.device = device
        self.seed = seed
        self.tasks = tasks
        self.null = null
        self.judges = judges
        self.say = say
        self.tell = tell
        self.policy_device = policy_device
        self._policy_spec = policy
        self._shared: SharedDevice | None = None
        self._policies: dict[str, Policy] = {}
        self._evaluators: dict[str, Evaluator | RemoteEvaluator] = {}
        self._trainer: tuple[str, Trainer] | None = None
        # What comes next is drawn and built in a thread of its own.
        self._making = threading.Lock()

    @property
    def _policy_device(self) -> str:
        """Where a policy samples: on this machine, whatever the judges' device is."""
        if self.policy_device is not None:
            return self.policy_device
        if self.judges is None:
            return self.device
        from pytest_kernelbench.evaluation import resolve_device

        return resolve_device("auto")

    def _policy_of(self, strategy: Strategy) -> Policy:
        """The policy that answers under ``strategy``, and that it trains if it adapts."""
        return self._loaded(strategy.sampling.policy or self._policy_spec)

    def _loaded(self, spec: str) -> Policy:
        if spec not in self._policies:
            self.say(f"loading {spec}")
            with self.spending("loading the policy"):
                policy = self._policies[spec] = load_policy(spec, device=self._policy_device)
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
        if self._shared:
            self._shared.before_sampling(policy)
        if strategy.needs_logprobs:
            require_logprobs(policy, strategy.name)
        if strategy.needs_self_certainty:
            require_self_certainty(policy, strategy.name)
        if strategy.adaptation:
            require_trainable(policy, strategy.name)
        if strategy.version and strategy.version.step > 0:
            return self.trainer_for(strategy)
        if self._trainer:
            self._trainer[1].use_loaded()
        return policy

    def loaded_policy(self, strategy: Strategy) -> Policy | None:
        """The strategy's policy, where it is loaded already."""
        return self._policies.get(strategy.sampling.policy or self._policy_spec)

    def prepare(self, task: Task, strategy: Strategy, sources: Sequence[str]) -> None:
        """Begin to build what will be judged later, where this machine judges."""
        if self.judges is None:
            cast("Evaluator", self._evaluator_of(strategy)).prepare(task, sources)

    def trainer_for(self, strategy: Strategy) -> Trainer:
        """The strategy's policy as a trainer, at the strategy's version; one lineage at a time. Raises PolicyError."""
        self.release()
        from pytest_kernelbench.adaptation.loop import checkpoint_folder

        if self._shared:
            self._shared.before_sampling(self._policy_of(strategy))

        version = strategy.version
        assert version is not None
        if self._trainer and self._trainer[0] != version.lineage:
            self._trainer[1].close()
            self._trainer = None
        if self._trainer is None:
            self._trainer = version.lineage, self._new_trainer(strategy)
        trainer = self._trainer[1]
        if trainer.holds != version.step:
            trainer.load(checkpoint_folder(self.ledger, strategy) if version.step else None, step=version.step)
        if version.step:
            trainer.use_adapted(f"{trainer.loaded_version}+{version.lineage}.{version.step}")
        else:
            trainer.use_loaded()
        return trainer

    def _new_trainer(self, strategy: Strategy) -> Trainer:
        from pytest_kernelbench.adaptation.trainers import said_of, trainer_of
        from pytest_kernelbench.policies.base import random_seed

        assert strategy.version is not None and strategy.adaptation is not None
        policy = self._policy_of(strategy)
        require_trainable(policy, strategy.name)
        trainer = trainer_of(
            policy,
            strategy.adaptation,
            temperature=strategy.sampling.temperature,
            max_tokens=strategy.sampling.max_tokens,
            seed=random_seed(self.seed, "adapter", 0),
        )
        if self.ledger.keep("adapters", strategy.version.lineage, trainer.described):
            self.tell(f"{strategy.name}: {said_of(trainer.described)}")
        return trainer

    def around(self, strategy: Strategy, judge: Callable[[Task, Strategy], list[Judged]]) -> Surroundings:
        """What the loop of ``strategy`` is handed; ``judge`` samples and evaluates a task's candidates."""
        from pytest_kernelbench.adaptation.loop import Surroundings

        return Surroundings(
            trainer=self.trainer_for,
            judge=judge,
            ledger=self.ledger,
            margin=self.margin_of(strategy),
            say=self.say,
            spending=self.spending,
        )

    def _make_room(self) -> None:
        """Have policies leave the judge's device where they leave too little of it."""
        if self.device != "cuda" or not self._policies or self.policy_device is not None or self.judges is not None:
            return
        import torch

        from pytest_kernelbench.policies.device_memory import SharedDevice, memory_of

        self._shared = self._shared or SharedDevice(memory=memory_of, tell=self.tell, spend=self.ledger.spend)
        for policy in self._policies.values():
            self._shared.before_judging(policy, torch.device("cuda", 0))

    def evaluator_for(self, strategy: Strategy) -> Evaluator | RemoteEvaluator:
        """The judges of a strategy: of this machine, or of a server. Raises UsageError and HarnessError."""
        self._make_room()
        return self._evaluator_of(strategy)

    def _evaluator_of(self, strategy: Strategy) -> Evaluator | RemoteEvaluator:
        with self._making:
            if strategy.evaluation_sha256 not in self._evaluators:
                evaluator = self._remote(strategy) if self.judges else self._local(strategy)
                self._evaluators[strategy.evaluation_sha256] = evaluator
                described = evaluator.describe()
                self.ledger.note(device=described.get("hardware", {}).get("name") or self.device)
                self.ledger.describe(described)
            return self._evaluators[strategy.evaluation_sha256]

    def _local(self, strategy: Strategy) -> Evaluator:
        from pytest_kernelbench.evaluation import Evaluator

        settings = strategy.evaluation
        return Evaluator(
            device=self.device,
            protocol=settings.protocol,
            precision=settings.precision,
            torch_operators=settings.torch_operators,
            parameters=settings.parameters,
            seed=self.seed,
            keep_task=True,
        )

    def _remote(self, strategy: Strategy) -> RemoteEvaluator:
        from pytest_kernelbench.serving.client import RemoteEvaluator

        assert self.judges is not None
        settings = strategy.evaluation
        if settings.torch_operators != "allowed":
            raise UsageError(
                f"{strategy.name}: a server does not judge torch_operators = forbidden; leave out --kernelbench-judges"
            )
        return RemoteEvaluator(self.judges, protocol=settings.protocol, precision=settings.precision)

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
        for evaluator in list(self._evaluators.values()):
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
