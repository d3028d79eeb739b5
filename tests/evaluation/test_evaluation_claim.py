"""What is done for a claim beside others, and what while the device is held alone."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.claim import Claim, verify
from pytest_kernelbench.evaluation.clock.plausibility import Suspicion
from pytest_kernelbench.evaluation.clock.timing import paired_timing
from pytest_kernelbench.evaluation.clock.verification import Attested
from pytest_kernelbench.evaluation.company import QuietOfTrial
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.sharing import holds

TIMING = paired_timing([2.0] * 12, [1.0] * 12)


pytestmark = pytest.mark.usefixtures("own_locks")


class Made:
    """A setting, its verifier and the workers of a candidate; ``did`` has what was done, and ``+`` where others may be
    on the device meanwhile."""

    keeps_block = True

    def __init__(self, *, suspicion=None, only_beside_others=False, series=2):
        self.did = []
        self._suspicion = suspicion
        self._only_beside_others = only_beside_others
        self._series = series
        self.bench = SimpleNamespace(device="cpu", task_id="made_up/9")
        self.hardware_id = "made-up"
        self.sessions = SimpleNamespace(wait_for_ends=lambda: None)
        self.verifier = self

    def note(self, what):
        self.did.append(f"{what}{' +' if holds.has_company() else ''}")

    def prepare(self):
        self.note("controls start")

    def unrecorded(self, session):
        self.note("profiled")
        return None if self._only_beside_others and not holds.has_company() else self._suspicion

    def attest(self, first, another, seconds_per_call, candidate_ms, quiet, *, between):
        self.used = []
        for number in range(self._series):
            if number:
                quiet.is_over()
                between()
            self.used.append(another() if number else first)
            quiet.begin()
            self.note("measured")
        return Attested(None, True)

    def another(self):
        self.note("another starts")
        return Worker(self, "another")

    def check_elsewhere(self):
        if not any(each.startswith("checked elsewhere") for each in self.did):
            self.note("checked elsewhere")

    def verify(self, hold):
        notes, first = Notes({}), Worker(self, "first")
        quiet = QuietOfTrial(self, hold, notes.seconds)
        quiet.is_over_for(first)
        verify(self, hold, quiet, Claim(first, self.another, 0.001, TIMING, self.check_elsewhere), notes)
        return notes.found


class Worker:
    is_closed = False

    def __init__(self, made, name):
        self._made = made
        self.name = name

    def thaw(self):
        pass

    @contextmanager
    def stopped(self):
        self._made.note(f"{self.name} stops")
        yield
        self._made.note(f"{self.name} goes on")


def test_what_needs_no_quiet_is_done_beside_others():
    made = Made()
    with holds.beside_others("made-up") as hold:
        hold.be_alone()
        assert made.verify(hold)["counted"] is True
        assert not hold.is_alone
    assert made.did == [
        *("first stops", "first goes on +", "controls start +"),
        *("measured", "profiled +", "checked elsewhere +", "another starts +", "measured"),
    ]
    assert [each.name for each in made.used] == ["first", "another"]


def test_another_worker_is_started_only_where_one_series_does_not_decide():
    made = Made(series=1)
    with holds.beside_others("made-up") as hold:
        hold.be_alone()
        made.verify(hold)
    assert made.did[-3:] == ["measured", "profiled +", "checked elsewhere +"]


def test_where_no_other_may_be_there_workers_start_when_they_are_asked_for():
    made = Made()
    with holds.alone("made-up") as hold:
        made.verify(hold)
    assert made.did == ["measured", "profiled", "checked elsewhere", "another starts", "measured"]


def test_slots_that_are_too_large_to_be_kept_are_not_taken_along_to_others():
    made = Made()
    made.keeps_block = False
    with holds.beside_others("made-up") as hold:
        hold.be_alone()
        made.verify(hold)
    assert made.did == ["measured", "profiled", "checked elsewhere", "another starts", "measured"]


def test_a_claim_whose_kernels_leave_no_record_beside_others_is_profiled_again_alone():
    made = Made(suspicion=Suspicion("unrecorded_kernels", "its kernels leave no record"))
    with holds.beside_others("made-up") as hold, pytest.raises(CandidateFailed) as failure:
        hold.be_alone()
        made.verify(hold)
    assert failure.value.flags == ("unrecorded_kernels",)
    assert made.did[-6:-2] == ["profiled +", "first stops +", "first goes on", "profiled"]


def test_a_claim_whose_kernels_leave_a_record_alone_is_measured():
    made = Made(suspicion=Suspicion("unrecorded_kernels", "its kernels leave no record"), only_beside_others=True)
    with holds.beside_others("made-up") as hold:
        hold.be_alone()
        assert made.verify(hold)["counted"] is True
    assert made.did[-7:] == [
        *("first goes on", "profiled", "first stops", "first goes on +"),
        *("checked elsewhere +", "another starts +", "measured"),
    ]
