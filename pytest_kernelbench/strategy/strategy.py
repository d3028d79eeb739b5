"""A strategy: everything that changes a number, as one frozen value with its hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pytest_kernelbench.prompting.question import Prompt
from pytest_kernelbench.registries import RANKINGS
from pytest_kernelbench.strategy import hashing
from pytest_kernelbench.strategy.adaptation import Adaptation
from pytest_kernelbench.strategy.sections import EvaluationSettings, Sampling, SearchSettings, SelectionSettings
from pytest_kernelbench.strategy.stopping import Stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Adapted weights: step ``step`` of a lineage; step 0 is the policy as loaded."""

    lineage: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to spend test-time compute: the settings of a strategy file.

    ``gate``: the least value of each metric with which a run passes. ``version``: the adapted weights to sample with;
    None for the policy as loaded. ``at`` returns the strategy for another version. ``primary``: the comparison that
    this strategy is made for, as ``--kernelbench-primary`` takes it; may be empty.
    """

    name: str
    description: str = ""
    source: str = ""
    primary: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    prompt: Prompt = field(default_factory=Prompt)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    search: SearchSettings | None = None
    stopping: Stopping | None = None
    adaptation: Adaptation | None = None
    gate: Mapping[str, float] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    version: Version | None = None

    def at(self, lineage: str, step: int) -> Strategy:
        """The same strategy, which samples with the weights of a step. Its ``indices`` are the step's candidates."""
        return replace(self, version=Version(lineage=lineage, step=step))

    @property
    def indices(self) -> range:
        """The indices of a task's candidates. The indices of a step follow the indices of the step before."""
        n = self.sampling.k + (self.adaptation.holdout if self.adaptation else 0)
        first = self.version.step * n if self.version else 0
        return range(first, first + n)

    @property
    def sha256(self) -> str:
        """Hash of every setting that changes results. Name, description and gate are not part of it."""
        return hashing.of_strategy(self)

    @property
    def sampling_sha256(self) -> str:
        """Hash of every setting that candidate ``i`` depends on. ``k`` is not part of it: a smaller ``k`` uses the
        first candidates of a larger one.
        """
        return hashing.of_sampling(self)

    @property
    def adaptation_sha256(self) -> str | None:
        """Hash of every setting that the weights of a step depend on; None without ``[adaptation]``.

        The number of steps, and which step is chosen, are not part of it.
        """
        return hashing.of_adaptation(self)

    @property
    def evaluation_sha256(self) -> str:
        """Hash of how a candidate is judged."""
        return hashing.of_evaluation(self)

    @property
    def needs_logprobs(self) -> bool:
        """Whether candidates are ranked by their log-probability."""
        return RANKINGS[self.selection.by].needs_logprobs

    @property
    def needs_self_certainty(self) -> bool:
        """Whether candidates are ranked by the self-certainty of the policy."""
        return RANKINGS[self.selection.by].needs_self_certainty

    @property
    def asks_for_a_forecast(self) -> bool:
        """Whether the policy is asked which correct candidate is the fastest."""
        return self.selection.by == "forecast"

    def to_json(self) -> dict[str, Any]:
        """The strategy for ``run.json``: every value of the file, and the hashes."""
        values = asdict(self)
        del values["version"]
        return {
            **values,
            "adaptation": self.adaptation.to_json() if self.adaptation else None,
            "overrides": list(self.overrides),
            "sha256": self.sha256,
            "sampling_sha256": self.sampling_sha256,
            "evaluation_sha256": self.evaluation_sha256,
            "adaptation_sha256": self.adaptation_sha256,
        }
