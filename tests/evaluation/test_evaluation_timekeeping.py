"""What the judge asks of a worker to time a candidate."""

import pytest

from pytest_kernelbench.evaluation.clock.timekeeping import propose
from pytest_kernelbench.evaluation.protocols import PROTOCOLS


class Asked:
    """A session whose reference takes 2 ms and whose candidate takes 1 ms, and what it was asked for."""

    def __init__(self):
        self.rack = self
        self.series_asked = []

    def pairs_in_memory(self, wanted):
        return min(wanted, 2)

    def have_slots(self, count):
        return list(range(count))

    def refresh(self, slots):
        pass

    def warm(self, reference, candidate, *, times):
        pass

    def series(self, slots, side):
        self.series_asked.append((side, len(slots)))
        return [{"reference": 2.0, "candidate": 1.0}[side]] * len(slots)


@pytest.mark.parametrize(
    ("seconds_per_call", "counts"), [(0.001, [50]), (0.2, [25, 25]), (0.3, [16, 16, 16, 2]), (9.0, [1] * 50)]
)
def test_a_series_of_slow_calls_is_asked_for_in_parts(seconds_per_call, counts):
    session = Asked()
    timing = propose(session, PROTOCOLS["paper"], 0.0, seconds_per_call)
    assert session.series_asked == [("candidate", count) for count in counts] + [
        ("reference", count) for count in counts
    ]
    assert (timing.speedup, timing.pairs) == (2.0, 50)


class Timed(Asked):
    """A session whose reference takes 2 ms, with slots for so many pairs, and how many it was asked for at once."""

    def __init__(self, candidate_ms, most_pairs=10):
        super().__init__()
        self.candidate_ms = candidate_ms
        self.most_pairs = most_pairs
        self.asked = []

    def pairs_in_memory(self, wanted):
        return min(wanted, self.most_pairs)

    def pairs(self, pairs):
        self.asked.append(len(pairs))
        return {"reference_ms": [2.0] * len(pairs), "candidate_ms": [self.candidate_ms] * len(pairs)}

    def check_timed(self, slots, drawn):
        pass


@pytest.mark.parametrize(("candidate_ms", "asked"), [(4.0, [6]), (2.4, [6, 6]), (1.0, [6, 6])])
def test_what_is_plainly_slower_is_measured_once_and_not_with_its_memory_swapped(candidate_ms, asked):
    session = Timed(candidate_ms)
    timing = propose(session, PROTOCOLS["full"], 0.05, 0.001)
    assert session.asked == asked
    assert (timing.speedup, timing.pairs) == (pytest.approx(2 / candidate_ms), 6)


@pytest.mark.parametrize(("candidate_ms", "pairs"), [(4.0, 7), (2.4, 12), (1.0, 12)])
def test_of_blocks_of_one_pair_the_first_is_measured_twice_and_later_ones_once_if_all_are_plainly_slower(
    candidate_ms, pairs
):
    session = Timed(candidate_ms, most_pairs=1)
    timing = propose(session, PROTOCOLS["full"], 0.05, 0.001)
    assert session.asked == [1] * pairs
    assert (timing.speedup, timing.pairs) == (pytest.approx(2 / candidate_ms), 6)


class Told(Timed):
    """What it was asked for, in order."""

    def warm(self, reference, candidate, *, times):
        self.asked.append("warm")

    def series(self, slots, side):
        self.asked.append("series")
        return super().series(slots, side)


@pytest.mark.parametrize(("protocol", "timed"), [("full", [6, 6]), ("paper", ["series"])])
def test_what_still_ends_is_waited_for_once_both_sides_are_warm_and_before_the_first_timed_call(protocol, timed):
    session = Told(1.0)
    propose(session, PROTOCOLS[protocol], 0.05, 0.001, quiet=lambda: session.asked.append("quiet"))
    assert session.asked[: 2 + len(timed)] == ["warm", "quiet", *timed]


class Checked(Timed):
    """A session that notes which of the candidate's answers are checked each time."""

    def __init__(self, candidate_ms, most_pairs=10):
        super().__init__(candidate_ms, most_pairs)
        self.checked = []

    def pairs(self, pairs):
        self.timed = {candidate for _, candidate, _ in pairs}
        return super().pairs(pairs)

    def check_timed(self, slots, drawn):
        assert self.timed.issuperset(slots)
        self.checked.append(frozenset(slots))


@pytest.mark.parametrize("candidate_ms", [4.0, 1.0])
def test_each_request_for_timed_calls_has_a_third_of_its_answers_checked_and_nobody_foresees_which(candidate_ms):
    checked = []
    for _ in range(200):
        session = Checked(candidate_ms)
        propose(session, PROTOCOLS["full"], 0.05, 0.001)
        assert [len(slots) for slots in session.checked] == [2] * len(session.asked)
        checked += session.checked
    # Pairs of twelve slots: 66 of them.
    assert len(set(checked)) > 40


def test_of_blocks_of_one_pair_a_third_have_their_answer_checked():
    checked = asked = 0
    for _ in range(200):
        session = Checked(1.0, most_pairs=1)
        propose(session, PROTOCOLS["full"], 0.05, 0.001)
        checked, asked = checked + len(session.checked), asked + len(session.asked)
    assert 0.25 < checked / asked < 0.42


class SlowFirst(Timed):
    """The same kernel on both sides, of which the first of two takes three times as long."""

    def pairs(self, pairs):
        self.asked.append(len(pairs))
        ms = [(2.0, 6.0) if candidate_first else (6.0, 2.0) for _, _, candidate_first in pairs]
        return {"reference_ms": [one for one, _ in ms], "candidate_ms": [other for _, other in ms]}


def test_what_is_slow_for_being_first_is_not_plainly_slower():
    for _ in range(200):
        session = SlowFirst(2.0)
        timing = propose(session, PROTOCOLS["fast"], 0.05, 0.001)
        assert timing.speedup == pytest.approx(1.0)
        assert len(session.asked) % 2 == 0
