"""Seconds by stage of an evaluation."""

import time

import pytest

from pytest_kernelbench.evaluation.stages import rounded, stage


def test_a_stage_counts_without_the_stages_within_it_and_again_where_it_raises():
    seconds = {}
    started = time.perf_counter()
    with stage(seconds, "check"):
        with stage(seconds, "wait"):
            time.sleep(0.05)
        with pytest.raises(ValueError), stage(seconds, "wait"):
            time.sleep(0.05)
            raise ValueError
    with stage(seconds, "check"):
        pass
    took = time.perf_counter() - started
    assert seconds["wait"] >= 0.1
    assert seconds["check"] > 0
    assert seconds["wait"] + seconds["check"] <= took


def test_seconds_are_rounded_to_a_tenth_of_a_millisecond():
    assert rounded({"check": 0.123456}) == {"check": 0.1235}
