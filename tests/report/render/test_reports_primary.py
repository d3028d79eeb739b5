"""The sentence about the primary comparison."""

import re
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.report.render.primary import primary_sentences


def sentence(p, error):
    found = {
        **{"selector": "surprisal", "control": "random", "outcome": "success", "by": None, "values": [0.5, 0.25]},
        **{"effect": {"value": 0.25, "low": None, "high": None, "warning": None}, "tasks": 5, "left_out": 0},
        **{"test": {"p_two_sided": p, "exact": error is None, "p_error": error}, "detectable": None, "power": []},
    }
    return primary_sentences({"preregistration": None, "analyses": {"primary": found}})[0]


@pytest.mark.parametrize(
    ("p", "error", "shown"),
    [
        (0.184, None, "p = 0.18"),
        (1.0, None, "p = 1"),
        (0.184, 0.0041, "p = 0.18 ± 0.0041"),
        (1.0, 0.0071, "p > 0.99"),
        (0.9991, 0.0071, "p > 0.99"),
        (0.996, 0.003, "p > 0.99"),
        (1.0, 0.04, "p > 0.96"),
        (0.0001, 0.00011, "p < 0.00021"),
    ],
)
def test_a_p_value_that_was_drawn_has_its_error_and_no_end_outside_0_to_1(p, error, shown):
    assert f"+25 points; {shown} by randomisation within 5 tasks" in sentence(p, error)


@given(st.floats(1e-5, 1), st.integers(100, 10**6))
def test_no_p_value_and_no_error_that_is_shown_reaches_beyond_0_or_1(p, draws):
    shown = re.search(r"; p ([=<>]) (\S+)(?: ± (\S+))? by", sentence(p, sqrt(p * (2 - p) / draws)))
    value, error = float(shown[2]), float(shown[3] or 0)
    assert value >= 0 and value + error <= 1 + 1e-3
    assert shown[3] is None or (shown[1] == "=" and value + error <= 1 + 5e-5)
