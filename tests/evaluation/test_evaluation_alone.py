"""A claim must be seen in turns of one call too: several calls of a turn may have been computed as one."""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.clock import alone as alone_module
from pytest_kernelbench.evaluation.clock import attestation
from pytest_kernelbench.evaluation.clock.alone import LOOKS, SHARE_SEEN, Seen, seen_alone
from pytest_kernelbench.evaluation.clock.turns import LONE_TURNS


@pytest.fixture(autouse=True)
def same_order_of_turns(monkeypatch):
    monkeypatch.setattr(attestation, "_random", random.Random(0))


@pytest.fixture
def clock(monkeypatch):
    """A clock that rows of lone turns move on, by 0.06 s for one of each side: 250 pairs take a claim's seconds."""
    made = SimpleNamespace(now=0.0, monotonic=lambda: made.now)

    def counts(two):
        made.now, lone_turns = 0.0, two.lone_turns

        def rows(side):
            made.now += 0.03
            return lone_turns(side)

        two.lone_turns = rows

    made.counts = counts
    monkeypatch.setattr(alone_module, "time", made)
    return made


CONTROL_S, AROUND_S = 2e-3, 2e-4
TRIES = 100


@dataclass
class Made:
    """Turns of two made-up processes: ``candidate_s`` a call among others, ``alone_s`` a call that is alone.

    A lone call wakes up, which takes both sides ``cold_s``, and the candidate's first of several ``first_s`` more; what
    a call takes is off by ``noise`` of it.
    """

    candidate_s: float
    alone_s: float
    cold_s: float = 3e-4
    noise: float = 0.2
    calls: int = 10
    draws: random.Random = field(default_factory=lambda: random.Random(1))
    n_lone_turns: int = 0
    first_s: float = 0.0

    def turn(self, side):
        own = CONTROL_S if side == "control" else self.candidate_s
        return AROUND_S + self.calls * own * self.draws.lognormvariate(0, self.noise / self.calls**0.5)

    def lone_turns(self, side):
        self.n_lone_turns += LONE_TURNS
        own = CONTROL_S if side == "control" else self.alone_s
        first_s = self.first_s if side == "candidate" else 0.0
        return [
            AROUND_S + (own + self.cold_s) * self.draws.lognormvariate(0, self.noise) + (0.0 if number else first_s)
            for number in range(LONE_TURNS)
        ]

    def empty_turn(self):
        return AROUND_S


def share_that_holds(low, **made):
    two = Made(**made)
    return sum(seen_alone(two, low).holds for _ in range(TRIES)) / TRIES


@pytest.mark.parametrize(("speedup", "low"), [(1.1, 1.06), (1.3, 1.25), (2.0, 1.9), (20.0, 15.0)])
def test_a_kernel_that_is_faster_alone_too_holds(speedup, low):
    assert share_that_holds(low, candidate_s=CONTROL_S / speedup, alone_s=CONTROL_S / speedup) >= 0.99


@pytest.mark.parametrize("low", [1.25, 2.0, 4.0])
def test_a_kernel_that_is_no_faster_alone_does_not(low):
    assert share_that_holds(low, candidate_s=CONTROL_S / low, alone_s=CONTROL_S) <= 0.03


@pytest.mark.parametrize("low", [1.001, 1.02, 1.07])
def test_a_narrow_claim_that_is_not_seen_alone_hardly_holds(low):
    """Also where what is needed is far less than such turns can tell."""
    assert share_that_holds(low, candidate_s=CONTROL_S / 1.1, alone_s=CONTROL_S) <= 0.1


def test_what_is_plain_takes_few_turns():
    two = Made(candidate_s=CONTROL_S / 4, alone_s=CONTROL_S / 4)
    seen = seen_alone(two, 3.5)
    rows = -(-LOOKS[0] // (LONE_TURNS - 1))
    assert seen.holds and two.n_lone_turns == 2 * rows * LONE_TURNS
    assert seen.needed_ms == pytest.approx(SHARE_SEEN * (1 - 1 / 3.5) * CONTROL_S * 1e3, rel=0.2)
    assert seen.saved_ms == pytest.approx(1.5, rel=0.3)


@pytest.mark.parametrize("alone", [0.99, 1.0, 1.05])
def test_a_claim_that_will_hardly_hold_is_given_up_and_as_many_hold(alone, clock, monkeypatch):
    def share_and_seconds():
        held = seconds = 0
        for number in range(TRIES):
            two = Made(candidate_s=CONTROL_S / 1.1, alone_s=CONTROL_S * alone, draws=random.Random(number))
            clock.counts(two)
            held += seen_alone(two, 1.01).holds
            seconds += clock.monotonic()
        return held / TRIES, seconds

    share, seconds = share_and_seconds()
    monkeypatch.setattr(alone_module, "ERRORS_LIKELY", float("inf"))
    share_of_all, seconds_of_all = share_and_seconds()
    assert share == pytest.approx(share_of_all, abs=0.1)
    assert seconds < (0.7 if alone > 1 else 0.95) * seconds_of_all


def test_what_the_first_call_after_a_pause_takes_longer_hides_no_saving():
    # Launched from Python, a kernel has more to fetch into cold caches than one of torch's.
    assert share_that_holds(1.15, candidate_s=CONTROL_S / 1.2, alone_s=CONTROL_S / 1.2, first_s=CONTROL_S) >= 0.99


def test_where_each_call_was_alone_nothing_more_is_measured():
    assert seen_alone(Made(candidate_s=1e-3, alone_s=1e-3, calls=1), 2.0) is None


def test_why_a_claim_does_not_hold_is_told():
    less, uncertain = Seen(0.01, 0.02, holds=False), Seen(0.003, 0.001, holds=False)
    assert less.because == ("a call that is alone in its turn saves 0.01 ms, and among others at least 0.06 ms")
    assert uncertain.because == "a call that is alone in its turn saves 0.003 ms, too little to be told from none"
