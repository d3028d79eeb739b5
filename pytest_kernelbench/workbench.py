"""The resources of an item: the run folder, and policies and evaluators, which are created on first use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from pytest_kernelbench.errors import KernelBenchError, UsageError
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import torch_name
from pytest_kernelbench.ledger import Ledger, read_run
from pytest_kernelbench.policies import Policy, load_policy, require_logprobs, require_self_certainty, require_trainable
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.trainer import Trainer
    from pytest_kernelbench.evaluation import Evaluator
    from pytest_kernelbench.policies.device_memory import SharedDevice
    from pytest_kernelbench.serving.client import RemoteEvaluator

# How many tasks of a replay file that were not collected are named.
MOST_UNUSED = 5
# How often the user is told that the judge is not ready yet.
SAY_EVERY_S = 1.0


class Training(NamedTuple):
    """The current trainer, and the lineage whose weights it makes."""

    lineage: str
    trainer: Trainer


class Workbench:
    """One for each process. Policies, and an evaluator for each set of evaluation settings, are created on first use.

    ``tasks`` are all that the session collected. ``null`` None leaves the identity control to the strategy's
    protocol; ``baselines`` are the stronger ones that chosen candidates are timed against; ``judges`` is the address of
    a server that judges, None if this machine does; ``say`` shows one line of progress, ``tell`` one that stays;
    ``waiting`` is called about once a second while a judge has no answer yet.
    ``policy_device``: the device of the weights; None: the judge's device, which both then share.
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
        baselines: Sequence[str] = (),
        judges: str | None = None,
        say: Callable[[str], None] = lambda line: None,
        tell: Callable[[str], None] = lambda line: None,
        waiting: Callable[[], None] | None = None,
        policy_device: str | None = None,
    ) -> None:
        self.ledger = ledger
        self.device = device
        self.seed = seed
        self.tasks = tasks
        self.null = null
        self.baselines = baselines
        self.judges = judges
        self.say = say
        self.tell = tell
        self.waiting = waiting
        self.policy_device = policy_device
        self._policy_spec = policy
        self._shared: SharedDevice | None = None
        self._policies: dict[str, Policy] = {}
        self._evaluators: dict[str, Evaluator | RemoteEvaluator] = {}
        # The trainer of the adaptation stage, which lives as long as the policy that it trains.
        self.training: Training | None = None
        # The name of the hardware that judges, once an evaluator was asked for it.
        self._device_name: str | None = None
        # Evaluators are also made in the threads of ``judge_gets_ready`` and of what draws and builds the next items.
        self._making = threading.Lock()
        self._readying: threading.Thread | None = None

    @property
    def _policy_device(self) -> str:
        """The device on which a policy samples: of this machine, even if judges are elsewhere."""
        if self.policy_device is not None:
            return self.policy_device
        if self.judges is None:
            return torch_name(self.device)
        from pytest_kernelbench.evaluation import resolve_device

        return resolve_device("auto")

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

    def policy_of(self, strategy: Strategy) -> Policy:
        """The policy of ``strategy``, loaded, with the device's memory to itself. Raises PolicyError."""
        if is_gpu(self.device):
            self.release()
        policy = self._loaded(strategy.sampling.policy or self._policy_spec)
        if self._shared:
            self._shared.before_sampling(policy)
        return policy

    def policy_for(self, strategy: Strategy) -> Policy:
        """``policy_of``, with its weights as loaded. Raises PolicyError if the policy lacks what the strategy needs."""
        policy = self.policy_of(strategy)
        if strategy.needs_logprobs:
            require_logprobs(policy, strategy.name)
        if strategy.needs_self_certainty:
            require_self_certainty(policy, strategy.name)
        if strategy.adaptation:
            require_trainable(policy, strategy.name)
        if self.training:
            self.training.trainer.use_loaded()
        return policy

    def loaded_policy(self, strategy: Strategy) -> Policy | None:
        """The strategy's policy, where it is loaded already."""
        return self._policies.get(strategy.sampling.policy or self._policy_spec)

    def prepare(self, task: Task, strategy: Strategy, sources: Sequence[str]) -> bool:
        """Begin to build sources that will be judged later, if this machine judges.

        False before the judge was asked anything: what is judged first is built first.
        """
        if self.judges is None:
            evaluator = cast("Evaluator", self._evaluator_of(strategy))
            if not evaluator.was_asked:
                return False
            evaluator.prepare(task, sources)
        return True

    @contextmanager
    def judge_gets_ready(self, task: Task, strategy: Strategy) -> Iterator[None]:
        """Within it, while answers are sampled, a thread starts the judge of ``strategy`` and has it prepare ``task``.

        So it is where this machine judges on its CPU: a GPU's memory is the policy's meanwhile. A replay's answers come
        at once, and it may be that all of them are judged already: it has no judge made ready. Left when the judge is
        ready; its error is ignored here, since whoever asks it next meets it again.
        """
        replays = (strategy.sampling.policy or self._policy_spec).startswith("replay:")
        if self.judges is None and not is_gpu(self.device) and not replays:
            self._readying = threading.Thread(
                target=self._make_ready, args=(task, strategy), name="making the judge ready", daemon=True
            )
            self._readying.start()
        yield
        # Where sampling failed, ``release`` gives it up.
        while self._readying is not None and self._readying.is_alive():
            self._readying.join(timeout=SAY_EVERY_S)
            if self.waiting and self._readying.is_alive():
                self.waiting()

    def _make_ready(self, task: Task, strategy: Strategy) -> None:
        with suppress(KernelBenchError):
            cast("Evaluator", self._evaluator_of(strategy)).make_ready(task)

    def _make_room(self) -> None:
        """Have policies leave the judge's device where they leave too little of it."""
        if not is_gpu(self.device) or not self._policies or self.policy_device is not None or self.judges is not None:
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
                self._device_name = described.get("hardware", {}).get("name") or self.device
                self.ledger.note(device=self._device_name)
                self.ledger.describe(described)
            return self._evaluators[strategy.evaluation_sha256]

    def _local(self, strategy: Strategy) -> Evaluator:
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
        evaluator.waiting = self.waiting
        return evaluator

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

    @property
    def device_name(self) -> str | None:
        """Name of the hardware that judged; if no judge was needed, the recorded name."""
        if self._device_name is None:
            self._device_name = (read_run(self.ledger.folder) or {}).get("device")
        return self._device_name

    def margin_of(self, strategy: Strategy) -> float:
        """The margin of the strategy's protocol on the judges' device."""
        return margin_of(strategy, self.device)

    def release(self) -> None:
        """Have the judges give back the device's memory: a policy needs it, or another process."""
        self._give_up_making_ready()
        for evaluator in list(self._evaluators.values()):
            evaluator.release()

    def _give_up_making_ready(self) -> None:
        """End a judge that is still making ready: the item that needs it has failed, or the user ends the session."""
        while self._readying is not None and self._readying.is_alive():
            for evaluator in list(self._evaluators.values()):
                evaluator.close()
            self._readying.join(timeout=0.1)
        self._readying = None

    def close(self) -> None:
        """End every process that was started."""
        self._give_up_making_ready()
        while self._evaluators:
            _, evaluator = self._evaluators.popitem()
            if evaluator.clocks is not None:
                self.ledger.describe(evaluator.describe())
            evaluator.close()


def margin_of(strategy: Strategy, device: str) -> float:
    """The margin by which the lower end of the deciding interval must exceed 1."""
    from pytest_kernelbench.evaluation.protocols import protocol_named

    return protocol_named(strategy.evaluation.protocol).margin(device)
