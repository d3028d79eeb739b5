"""From the rewards of a step to one advantage a rollout, by method.

To add one: write ``advantages/<name>.py``, add its line to ``ADVANTAGES`` and its name to ``strategy.ADVANTAGES``.
"""

from pytest_kernelbench.adaptation.advantages.base import Advantage
from pytest_kernelbench.adaptation.advantages.batch import standardised_over_batch
from pytest_kernelbench.adaptation.advantages.entropic import entropic
from pytest_kernelbench.adaptation.advantages.group import centred_in_group, standardised_in_group
from pytest_kernelbench.adaptation.advantages.maxk import contribution_to_max

ADVANTAGES: dict[str, Advantage] = {
    "batch": standardised_over_batch,
    "grpo": standardised_in_group,
    "dr-grpo": centred_in_group,
    "maxk": contribution_to_max,
    "entropic": entropic,
}

__all__ = ["ADVANTAGES", "Advantage"]
