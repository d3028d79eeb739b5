"""What the reference takes that is on trial against itself."""

import pytest

from pytest_kernelbench.evaluation.control import Control
from pytest_kernelbench.evaluation.timekeeping import Block


def test_in_favour_of_the_candidate_the_control_is_short_and_much_surrounds_it():
    warm = [Block({"reference_ms": [1.0, 1.1], "candidate_ms": [1.2, 0.9]}, ms) for ms in (0.5, 0.7, 0.6)]
    cold = [Block({"reference_ms": [2.0, 2.0], "candidate_ms": [2.0, 2.0]}, 9.0)]
    assert Control.measured(warm, cold, 1.25, 0.8) == Control(1.05, 2.0, pytest.approx(0.2), 0.6, 0.8)
    assert Control.measured(warm, (), 1.0, None, in_favour=True) == Control(0.9, 1.05, pytest.approx(0.1), 0.7, None)
