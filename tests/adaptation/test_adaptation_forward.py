"""Adaptation goes forward: it calls what it is handed, and nothing that imports it."""

from climbs import traced
from made_up_world import TASKS, World, strategy

from pytest_kernelbench.pipeline import run_item


def test_the_only_call_that_goes_up_is_of_the_policy_that_reading_is_handed(tmp_path):
    world = World(tmp_path)
    with traced() as trace:
        run_item(TASKS[0], strategy(), world)
    assert trace.climbs == ["policies/reading.py:read_tokens -> policies/causal_lm.py:spell"]
