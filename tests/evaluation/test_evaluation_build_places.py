"""A build waits for a place; a result that is known, or that another process is making, takes no place."""

import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from pytest_kernelbench.evaluation.building.places import Places, Spent
from pytest_kernelbench.evaluation.sharing import lock

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def places(tmp_path):
    return Places(jobs=1, for_later=False, locks=tmp_path, quiet_id=None)


@contextmanager
def building(places, known, spent=None):
    """A thread that makes the build "ab" unless it is known, and what it was told."""
    told = []

    def build():
        with places.one_unless(known, "build", "ab", spent or Spent()) as missing:
            told.append(missing)

    thread = threading.Thread(target=build, daemon=True)
    thread.start()
    yield told
    thread.join(20)
    assert not thread.is_alive()


def a_place_is_free():
    with lock.job(1):
        return True


def wait_for_what_must_not_come():
    time.sleep(0.2)


def test_a_known_result_takes_no_place(places):
    with places.one(Spent()), building(places, lambda: True) as told:
        pass
    assert told == [False]


def test_no_place_is_taken_while_another_process_makes_the_same_build_whose_time_counts(places):
    made, spent = threading.Event(), Spent()
    with ExitStack() as waiting, places.turn("build", "ab"):
        told = waiting.enter_context(building(places, made.is_set, spent))
        wait_for_what_must_not_come()
        assert a_place_is_free()
        assert told == []
        made.set()
    assert told == [False]
    assert spent.seconds >= 0.2


def test_who_waits_for_a_place_holds_up_no_build_that_has_one(places):
    with ExitStack() as waiting, places.one(Spent()):
        told = waiting.enter_context(building(places, lambda: False))
        wait_for_what_must_not_come()
        with places.turn("build", "ab"):
            assert told == []
    assert told == [True]


def test_a_build_is_looked_for_once_more_when_there_is_a_place(places):
    made = threading.Event()
    with ExitStack() as waiting, places.one(Spent()):
        told = waiting.enter_context(building(places, made.is_set))
        wait_for_what_must_not_come()
        made.set()
    assert told == [False]


def test_the_time_in_a_place_is_counted_and_not_the_time_until_there_is_one(places):
    spent = Spent()
    with ExitStack() as waiting, places.one(Spent()):
        waiting.enter_context(building(places, lambda: False, spent))
        wait_for_what_must_not_come()
    assert spent.seconds < 0.2
    with places.one(spent):
        time.sleep(0.2)
    assert spent.seconds >= 0.2


@pytest.mark.parametrize(("quiet_id", "is_held"), [(None, False), ("made-up", True)])
def test_a_device_on_which_a_compiler_would_be_timed_is_not_timed_meanwhile(tmp_path, quiet_id, is_held):
    places = Places(jobs=1, for_later=False, locks=tmp_path, quiet_id=quiet_id)
    with places.one(Spent()):
        assert lock._is_held("made-up", None) is is_held
