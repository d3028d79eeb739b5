"""Tables of the names that a strategy may use, with the place of each name's object.

To add a ranking, an advantage, a reward, a loss, a reduction, a search, a trainer, a protocol or a precision: write it
in its own package and add one line here. A line is text, so that strategies can be read and their names checked before
numpy or torch is loaded; the module is imported when the object is looked up. Packages above this one have their own
tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_kernelbench.adaptation.advantages.base import Advantage
    from pytest_kernelbench.adaptation.rewards import Reward
    from pytest_kernelbench.adaptation.trainer import Trainer
    from pytest_kernelbench.evaluation.precision import Precision
    from pytest_kernelbench.evaluation.protocols import Protocol
    from pytest_kernelbench.search.base import Search
    from pytest_kernelbench.selection.base import Ranking
    from pytest_kernelbench.strategy import Adaptation

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """A table from names to objects. ``lines`` maps each name to ``module:attribute``, below this package.

    Names are there at once; an object is imported when it is first looked up. A program may add an object of its own:
    ``RANKINGS["mine"] = Ranking(...)``. Looking up an unknown name raises KeyError.
    """

    def __init__(self, lines: Mapping[str, str]) -> None:
        self._lines = dict(lines)
        self._objects: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._objects:
            module, _, attribute = self._lines[name].partition(":")
            self._objects[name] = getattr(import_module(f"pytest_kernelbench.{module}"), attribute)
        return self._objects[name]

    def __setitem__(self, name: str, value: T) -> None:
        self._lines[name] = ""
        self._objects[name] = value

    def __delitem__(self, name: str) -> None:
        del self._lines[name]
        self._objects.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        return name in self._lines


# ``[evaluation] protocol``: how carefully a candidate is checked and timed.
PROTOCOLS: Registry[Protocol] = Registry(
    {
        "fast": "evaluation.protocols:FAST",
        "full": "evaluation.protocols:FULL",
        "paper": "evaluation.protocols:PAPER",
    }
)

# ``[evaluation] precision``: the types that are computed in, and the tolerance of an answer.
PRECISIONS: Registry[Precision] = Registry(
    {
        "float32": "evaluation.precision:FLOAT32",
        "tf32": "evaluation.precision:TF32",
        "bfloat16": "evaluation.precision:BFLOAT16",
        "float16": "evaluation.precision:FLOAT16",
    }
)

# ``[selection] by`` and ``then``: the order in which correct candidates are taken.
RANKINGS: Registry[Ranking] = Registry(
    {
        "fastest": "selection.fastest:FASTEST",
        "random": "selection.uniform:RANDOM",
        "confidence": "selection.confidence:CONFIDENCE",
        "surprisal": "selection.surprisal:SURPRISAL",
        "self-certainty": "selection.self_certainty:SELF_CERTAINTY",
        "cluster": "selection.cluster:CLUSTER",
        "forecast": "selection.forecast:FORECAST",
    }
)

# ``[search] method``: which earlier answers a prompt shows.
SEARCHES: Registry[type[Search]] = Registry(
    {
        "refine": "search.refine:Refine",
        "evolve": "search.evolve:Evolve",
    }
)

# ``[adaptation] method``, beside "sdpo", whose advantages come from a teacher: rewards of a step to advantages.
ADVANTAGES: Registry[Advantage] = Registry(
    {
        "batch": "adaptation.advantages.batch:standardised_over_batch",
        "grpo": "adaptation.advantages.group:standardised_in_group",
        "dr-grpo": "adaptation.advantages.group:centred_in_group",
        "maxk": "adaptation.advantages.maxk:contribution_to_max",
        "entropic": "adaptation.advantages.entropic:entropic",
    }
)

# ``[adaptation] reward``: evaluations of a task's rollouts to their rewards.
REWARDS: Registry[Reward] = Registry(
    {
        "speedup": "adaptation.rewards:speedup",
        "normalised": "adaptation.rewards:normalised",
        "log": "adaptation.rewards:log_speedup",
        "fast": "adaptation.rewards:verified_fast",
        "correct": "adaptation.rewards:correct",
    }
)

# ``[adaptation] loss``: (ratios, advantages, settings) to the objective of each token; tensors of one shape.
LOSSES: Registry[Callable[[Tensor, Tensor, Adaptation], Tensor]] = Registry(
    {
        "importance-sampling": "adaptation.losses:importance_sampling",
        "clipped": "adaptation.losses:clipped",
    }
)

# ``[adaptation] reduction``: (tokens, rollouts, max_tokens) to the divisor of the sum over tokens.
REDUCTIONS: Registry[Callable[[int, int, int], float]] = Registry(
    {
        "sum": "adaptation.reductions:one",
        "token-mean": "adaptation.reductions:number_of_tokens",
        "constant": "adaptation.reductions:most_tokens",
    }
)

# ``trained_by`` of a policy: the trainer that can change its weights.
TRAINERS: Registry[Callable[..., Trainer]] = Registry(
    {
        "fsdp": "adaptation.fsdp_trainer:FsdpTrainer",
        "peft": "adaptation.peft_trainer:PeftTrainer",
        "tinker": "adaptation.tinker_trainer:TinkerTrainer",
    }
)

# By the key of a strategy that names a line of the table.
TABLES: Mapping[str, Registry[Any]] = {
    "evaluation.protocol": PROTOCOLS,
    "evaluation.precision": PRECISIONS,
    "selection.by": RANKINGS,
    "search.method": SEARCHES,
    "adaptation.method": ADVANTAGES,
    "adaptation.reward": REWARDS,
    "adaptation.loss": LOSSES,
    "adaptation.reduction": REDUCTIONS,
    "trained_by": TRAINERS,
}
