"""A mapping that does not grow with the number of requests."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.recent import Recent


@given(keys=st.lists(st.integers(0, 9)), most=st.integers(1, 5))
def test_the_entries_that_were_set_last_are_kept(keys, most):
    recent = Recent(most)
    for number, key in enumerate(keys):
        recent[key] = number
    newest_first = list(dict.fromkeys(reversed(keys)))
    assert list(reversed(recent)) == newest_first[:most]
    assert all(keys[number] == key for key, number in recent.items())
