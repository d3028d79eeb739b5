"""Adaptation calls only objects that it is given, and no module that imports it."""

from climbs import traced
from made_up_world import TASKS, World, strategy

from pytest_kernelbench.pipeline import run_item


def test_the_only_calls_that_go_up_are_of_a_ranking_and_of_the_policy_that_reading_is_handed(tmp_path):
    world = World(tmp_path)
    with traced() as trace:
        run_item(TASKS[0], strategy(), world)
    assert trace.climbs == [
        "strategy/strategy.py:needs_logprobs -> selection/base.py:needs_logprobs",
        "strategy/strategy.py:needs_self_certainty -> selection/base.py:needs_self_certainty",
        "policies/reading.py:read_tokens -> policies/causal_lm.py:spell",
    ]
