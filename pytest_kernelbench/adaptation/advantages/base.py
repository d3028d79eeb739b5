"""The type of an advantage: a function from the rewards of a step, by group, to one number for each rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pytest_kernelbench.strategy import Adaptation

Array = npt.NDArray[np.float64]

# Rewards of each task's group at a step, shape (rollouts,) each, to advantages of the same shapes. Rewards that are
# all equal carry no information, and every method gives them exactly 0.
Advantage = Callable[[Sequence[Array], Adaptation], list[Array]]

LEAST_SD = 1e-6
