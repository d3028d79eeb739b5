"""What convicts a timing, and what is looked at twice before it does."""

from dataclasses import dataclass

import pytest

from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.evaluation.timekeeping import Measured, Timekeeper
from pytest_kernelbench.evaluation.timing import paired_timing
from pytest_kernelbench.evaluation.verification import Verifier


@dataclass
class Floor:
    """A task whose floor is ``floor_ms``, and ``measured_again_ms`` when it is measured again."""

    floor_ms: float
    measured_again_ms: float
    device: str = "cpu"

    def lower_floor(self):
        self.floor_ms = min(self.floor_ms, self.measured_again_ms)


@pytest.mark.parametrize(("again_ms", "flag"), [(1.0, None), (2.2, "beyond_physics")])
def test_a_floor_that_a_busy_machine_gave_convicts_nobody(again_ms, flag):
    bench = Floor(floor_ms=2.2, measured_again_ms=again_ms)
    measured = Measured(paired_timing([1.0] * 12, [1.0] * 12), 0.0)
    suspicion = Verifier(bench, Timekeeper(PROTOCOLS["paper"], margin=0.0), None).suspicion(None, measured)
    assert (suspicion and suspicion.flag) == flag
