"""The pace of the peer is told on the candidates that it drew, and at the share of all that build something."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from real_kernels import Judged, peer_lines


def row(*, builds, peer_seconds=None):
    asked = {"peer": "correct", "peer_seconds": peer_seconds} if peer_seconds is not None else {}
    return {"outcome": "correct", "builds": builds, **asked}


@pytest.mark.parametrize(
    ("peer_seconds", "lines"),
    [
        # Each takes 1 s here. Three of four build: at that share the peer takes 0.75 x 20 s + 0.25 x 4 s each.
        (
            [20, None, None, 4],
            [
                "peer: 5.0 a minute on 2 of them; here 12.0 times as many",
                "  1 of these may build an extension, and 3 of all 4; at that share here 16.0 times as many",
                "verdicts agree on 2 of 2",
            ],
        ),
        (
            [None, None, None, 4],
            ["peer: 15.0 a minute on 1 of them; here 4.0 times as many", "verdicts agree on 1 of 1"],
        ),
        ([None] * 4, []),
    ],
)
def test_the_peer_s_pace_is_also_told_at_the_share_of_candidates_that_build(peer_seconds, lines):
    rows = [row(builds=number < 3, peer_seconds=seconds) for number, seconds in enumerate(peer_seconds)]
    assert peer_lines(Judged(rows=rows, arrivals=[1.0, 2.0, 3.0, 4.0], holds=Counter(), log="")) == lines
