"""How trials share a device: they check side by side, and are timed alone."""

import fcntl
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import made_up_device
import pytest
from made_up_tasks import HONEST_RELU, RELU, candidate
from waiting_for_locks import until_somebody_waits_to_be_alone

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.sandbox import descendants
from pytest_kernelbench.evaluation.sandbox.groups import own_folder
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.records import Outcome


def started(body):
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)
    return tmp_path


class Trials:
    """Trials in threads, and in which order they came to what."""

    def __init__(self):
        self.seen = []
        self._threads = []

    def start(self, name, hold, *, then_alone):
        """Returns events: set the first to end the check, the second to end the rest."""
        checked, done = threading.Event(), threading.Event()

        def trial():
            with hold("made-up") as held:
                self.seen.append(f"{name} checks")
                assert checked.wait(20)
                if then_alone:
                    held.be_alone()
                    self.seen.append(f"{name} is timed")
                assert done.wait(20)
                self.seen.append(f"{name} ends")

        self._threads.append(started(trial))
        return checked, done

    def until(self, *seen):
        deadline = time.monotonic() + 20
        while len(self.seen) < len(seen):
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.005)
        time.sleep(0.05)  # for what must not come
        assert sorted(self.seen) == sorted(seen)

    def join(self):
        for thread in self._threads:
            thread.join(20)


def test_trials_check_side_by_side_and_are_timed_one_after_the_other(place):
    trials = Trials()
    a_checked, a_done = trials.start("a", holds.beside_others, then_alone=True)
    b_checked, b_done = trials.start("b", holds.beside_others, then_alone=True)
    trials.until("a checks", "b checks")
    a_checked.set()
    trials.until("a checks", "b checks")
    b_checked.set()
    for event in (a_done, b_done):
        event.set()
    trials.join()
    # Either may be the first.
    assert sorted(trials.seen[2:4]) in (["a ends", "a is timed"], ["b ends", "b is timed"])
    assert sorted(trials.seen[4:]) in (["a ends", "a is timed"], ["b ends", "b is timed"])


def test_a_new_trial_checks_only_once_those_that_wait_have_been_timed(place):
    trials = Trials()
    a_checked, a_done = trials.start("a", holds.beside_others, then_alone=True)
    b_checked, b_done = trials.start("b", holds.beside_others, then_alone=True)
    trials.until("a checks", "b checks")
    a_checked.set()
    until_somebody_waits_to_be_alone("made-up", place)
    c_checked, c_done = trials.start("c", holds.beside_others, then_alone=False)
    trials.until("a checks", "b checks")
    b_checked.set()
    for event in (a_done, b_done, c_checked, c_done):
        event.set()
    trials.join()
    timed = [trials.seen.index(f"{name} is timed") for name in "ab"]
    assert max(timed) < trials.seen.index("c checks")


def test_of_large_trials_one_checks_beside_the_others_at_a_time(place):
    large, trials = partial(holds.beside_others, large=True), Trials()
    events = [trials.start("a", large, then_alone=True)]
    trials.until("a checks")
    events += [
        trials.start("b", large, then_alone=True),
        trials.start("c", holds.beside_others, then_alone=False),
    ]
    trials.until("a checks", "c checks")
    for event in (each for pair in events for each in pair):
        event.set()
    trials.join()
    assert trials.seen.index("a ends") < trials.seen.index("b checks")


def test_a_trial_alone_waits_until_no_candidate_is_there_not_even_one_that_is_checked_and_waits(place):
    trials = Trials()
    with lock.exclusive("made-up"):  # somebody is timed
        pass
    a_checked, a_done = trials.start("a", holds.beside_others, then_alone=True)
    trials.until("a checks")
    b_checked, b_done = trials.start("b", holds.alone, then_alone=True)
    trials.until("a checks")
    a_checked.set()
    trials.until("a checks", "a is timed")
    a_done.set()
    trials.until("a checks", "a is timed", "a ends", "b checks")
    # Alone from the beginning.
    with pytest.raises(BlockingIOError):
        _try_to_share()
    b_checked.set()
    b_done.set()
    trials.join()
    assert trials.seen[-2:] == ["b is timed", "b ends"]


def test_company_is_known_until_the_device_is_held_alone_and_in_this_thread_only(place):
    elsewhere = []
    assert not holds.has_company()
    with holds.beside_others("made-up") as hold:
        assert holds.has_company()
        started(lambda: elsewhere.append(holds.has_company())).join(20)
        hold.be_alone()
        assert not holds.has_company()
    with holds.beside_others("made-up"):
        assert holds.has_company()
    with holds.alone("made-up"):
        assert not holds.has_company()
    assert elsewhere == [False]


def test_a_trial_comes_back_to_others_once_those_that_wait_to_be_alone_have_been_timed(place):
    seen, waits = [], threading.Event()

    def another():
        with holds.beside_others("made-up") as hold:
            waits.set()
            hold.be_alone()
            seen.append("another is timed")

    with holds.beside_others("made-up") as hold:
        hold.be_alone()
        hold.be_beside_others()
        assert (hold.is_alone, holds.has_company()) == (False, True)
        _try_to_share()
        timed = started(another)
        assert waits.wait(20)
        until_somebody_waits_to_be_alone("made-up", place)
        hold.be_alone()
        hold.be_beside_others()
        # It waited in both of these: for this trial to end its check, and to be timed.
        assert seen == ["another is timed"]
    timed.join(20)


def test_a_trial_that_checks_knows_who_waits_to_be_alone_and_lets_them_pass(place):
    seen, both_check = [], threading.Barrier(2)

    def another():
        with holds.beside_others("made-up") as hold:
            both_check.wait(20)
            hold.be_alone()
            seen.append("another is timed")

    with holds.beside_others("made-up") as hold:
        assert not hold.is_awaited
        others = [started(another) for _ in range(2)]
        until_somebody_waits_to_be_alone("made-up", place)
        assert hold.is_awaited
        while len(seen) < len(others):
            hold.let_pass()
            assert (hold.is_alone, holds.has_company()) == (False, True)
        for each in others:
            each.join(20)
        assert not hold.is_awaited
        hold.be_alone()
        assert not hold.is_awaited


def test_a_trial_that_must_be_alone_lets_nobody_in(place):
    with holds.alone("made-up") as hold:
        hold.be_beside_others()
        assert hold.is_alone and not hold.may_share
        with pytest.raises(BlockingIOError):
            _try_to_share()


def _try_to_share():
    with Path(lock.folder_for_all(), "kernelbench-made-up.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


@pytest.fixture
def device():
    return "made_up_device"


@pytest.fixture
def evaluator(device, tmp_path, monkeypatch):
    """One on a CPU on which trials check side by side, with locks that no other test waits for."""
    monkeypatch.setenv("PYTHONPATH", str(Path(made_up_device.__file__).parent))
    company = replace(DEVICES["cpu"], module=device, trials_beside_others=True)
    monkeypatch.setitem(DEVICES, "cpu", company)
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path / "builds") as made:
        yield made


def a_worker_is_stopped(process):
    """Whether a process below this one is stopped, by a signal or with its control group."""
    for below in descendants(process):
        with suppress(OSError):
            if Path(f"/proc/{below}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
            folder = own_folder(Path(f"/proc/{below}/cgroup"))
            if folder is not None and "frozen 1" in (folder / "cgroup.events").read_text():
                return True
    return False


def test_a_wrong_candidate_is_judged_while_others_check_and_a_right_one_waits_for_them_stopped(evaluator):
    right = []
    with lock.shared(made_up_device.ID):
        (wrong,) = evaluator.evaluate(RELU, [candidate("return x.clone()")])
        assert wrong.outcome is Outcome.INCORRECT
        judging = started(lambda: right.extend(evaluator.evaluate(RELU, [HONEST_RELU])))
        until_somebody_waits_to_be_alone(made_up_device.ID, lock.folder_for_all())
        # Its candidate was stopped before; a worker that had not started may be, too.
        assert a_worker_is_stopped(os.getpid())
        time.sleep(0.3)
        assert right == []
    judging.join(60)
    assert right[0].outcome is Outcome.CORRECT
    assert right[0].seconds["wait"] > 0.3


@pytest.mark.parametrize("device", ["made_up_small_device"])
def test_a_candidate_of_a_large_task_waits_for_the_one_that_checks_and_is_then_checked_and_timed(evaluator):
    found = []
    with lock.alone(f"{made_up_device.ID}-large"):
        judging = started(lambda: found.extend(evaluator.evaluate(RELU, [candidate("return x.clone()"), HONEST_RELU])))
        time.sleep(4.0)
        assert found == []
    judging.join(60)
    assert [each.outcome for each in found] == [Outcome.INCORRECT, Outcome.CORRECT]
    assert found[1].speedup is not None


# Each call takes one second of its own thread, and more while the process is stopped.
WRONG_AT_THE_SECOND_CALL = candidate(
    "CALLS.append(1)\nwhile time.thread_time() < len(CALLS): pass\nreturn x + 1 if len(CALLS) == 2 else torch.relu(x)",
    preamble="import time\nCALLS = []",
)


def test_a_candidate_is_stopped_in_the_middle_of_a_call_while_others_are_timed(evaluator):
    found, waits_s = [], []
    judging = started(lambda: found.extend(evaluator.evaluate(RELU, [WRONG_AT_THE_SECOND_CALL])))
    # It is wrong, so it never waits to be timed itself.
    while judging.is_alive():
        begun = time.monotonic()
        with lock.exclusive(made_up_device.ID):
            waits_s.append(time.monotonic() - begun)
            time.sleep(0.2)
        time.sleep(0.05)
    assert found[0].outcome is Outcome.INCORRECT, found[0].detail
    # Neither of its calls was waited for, and the time for which it was stopped is no time of its checks.
    assert max(waits_s) < 0.9
    assert found[0].seconds["wait"] > 1.0 and 1.5 < found[0].seconds["check"] < 3.5


def test_while_somebody_is_timed_nothing_is_judged(evaluator):
    found = []
    with lock.exclusive(made_up_device.ID):
        judging = started(lambda: found.extend(evaluator.evaluate(RELU, [candidate("return x.clone()")])))
        time.sleep(1.0)
        assert found == []
    judging.join(60)
    assert found[0].outcome is Outcome.INCORRECT
