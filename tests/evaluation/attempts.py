"""Candidates that attempt what they may not, each followed by an honest one."""

import time

import pytest
from made_up_tasks import HONEST_RELU, RELU, candidate

from pytest_kernelbench.records import Outcome


def needs(walls, name):
    if not walls[name]:
        pytest.skip(f"this machine grants no {name} namespace")


def attempt_all(evaluator, bodies, *, preamble="", seconds=30.0):
    """The evaluation of a candidate for each of ``bodies``, and proof that the one after them is unaffected."""
    started = time.monotonic()
    *tried, honest = evaluator.evaluate(RELU, [*(candidate(body, preamble=preamble) for body in bodies), HONEST_RELU])
    # Another run on this machine may hold the device's lock meanwhile: its time is in no stage.
    assert time.monotonic() - started < seconds + 120
    for evaluation in tried:
        assert sum(spent for stage, spent in evaluation.seconds.items() if stage != "total") < seconds
    assert honest.outcome is Outcome.CORRECT, honest.detail
    return tried


def attempt(evaluator, body, **options):
    (tried,) = attempt_all(evaluator, [body], **options)
    return tried


def told(evaluator, expression, **options):
    """What ``expression`` is inside a candidate."""
    evaluation = attempt(evaluator, f"raise RuntimeError('<' + str({expression}) + '>')", **options)
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    return evaluation.detail.partition("<")[2].rpartition(">")[0]
