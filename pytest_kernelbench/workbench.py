"""What the pipeline works with: the ledger at hand, policy and evaluators once something is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_kernelbench.policies import Policy, load_policy, require_logprobs
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation import Evaluator
    from pytest_kernelbench.ledger import Ledger


class Workbench:
    """One a process; a policy and an evaluator for each way to judge are made when first needed.

    ``null`` None leaves the identity control to the strategy's protocol; ``say`` shows one line of progress.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        policy: str,
        device: str,
        seed: int,
        null: bool | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.ledger = ledger
        self.device = device
        self.seed = seed
        self.null = null
        self.say = say
        self._policy_spec = policy
        self._evaluators: dict[str, Evaluator] = {}

    @cached_property
    def _policy(self) -> Policy:
        self.say(f"loading {self._policy_spec}")
        with self.spending("loading the policy"):
            policy = load_policy(self._policy_spec, device=self.device)
        self.ledger.note(policy_version=policy.version, policy_label=policy.label)
        return policy

    def policy_for(self, strategy: Strategy) -> Policy:
        """Raises PolicyError where the policy cannot give what ``strategy`` needs."""
        if strategy.needs_logprobs:
            require_logprobs(self._policy, strategy.name)
        return self._policy

    def evaluator_for(self, strategy: Strategy) -> Evaluator:
        if strategy.evaluation_sha256 not in self._evaluators:
            from pytest_kernelbench.evaluation import Evaluator

            settings = strategy.evaluation
            evaluator = Evaluator(
                device=self.device,
                protocol=settings.protocol,
                precision=settings.precision,
                torch_operators=settings.torch_operators,
                seed=self.seed,
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

    def close(self) -> None:
        """End every process that was started."""
        while self._evaluators:
            self._evaluators.popitem()[1].close()


def margin_of(strategy: Strategy, device: str) -> float:
    """What the lower end of a confirmed interval must clear on top of 1."""
    from pytest_kernelbench.evaluation.protocols import protocol_named

    return protocol_named(strategy.evaluation.protocol).margin(device)
