"""The name of a primary comparison, ``SELECTOR:CONTROL:OUTCOME``, is read with its defaults or refused in one line."""

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.strategy.primary import Primary, parse_primary


def test_a_comparison_names_a_selector_and_what_is_left_out_is_the_random_control_and_success():
    found = parse_primary("surprisal-code-sum-top3", "here")
    assert found == Primary(selector="surprisal-code-sum-top3", control="random-top3", outcome="success")
    assert parse_primary(str(found), "here") == found and found.top == 3
    opposite = parse_primary("surprisal:confidence:log_speedup", "here")
    assert opposite.said == "surprisal against confidence in the mean log speed-up" and opposite.top == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("oracle", "write SELECTOR:CONTROL:OUTCOME, as in surprisal-top3:random-top3:success"),
        ("surprisal:random:success:more", "write SELECTOR:CONTROL:OUTCOME, as in surprisal-top3:random-top3:success"),
        ("surprisal-top3:random", 'the control of surprisal-top3 is random-top3 or confidence-top3, not "random"'),
        ("confidence:random:speed", 'the outcome is success or log_speedup, not "speed"'),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_line(text, problem):
    with pytest.raises(UsageError) as caught:
        parse_primary(text, "--kernelbench-primary=x")
    assert str(caught.value) == f"--kernelbench-primary=x: {problem}"
