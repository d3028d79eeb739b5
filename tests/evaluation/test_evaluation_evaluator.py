"""The evaluator as its owner sees it: what is asked and answered, its processes, protocols and refusals."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from made_up_tasks import C_RELU, HONEST_RELU, MATMUL, RELU, candidate, task
from one_candidate import one

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation import Evaluator, resolve_device
from pytest_kernelbench.records import Outcome


def children_of(process: int) -> list[int]:
    found = []
    for listing in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(number) for number in listing.read_text().split()]
        except OSError:
            continue
    return [*found, *(grandchild for child in found for grandchild in children_of(child))]


def ended(processes, *, within_s=10.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(_runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_answer_without_source_is_told(evaluator):
    evaluation = one(evaluator, None)
    assert (evaluation.outcome, evaluation.detail) == (Outcome.NO_SOURCE, "the answer holds no ModelNew")
    assert evaluation.source_sha256 is None


def test_evaluations_come_in_order_and_identical_sources_are_tried_once(evaluator):
    bad = candidate("return x")
    sources = [bad, None, HONEST_RELU, bad, None, HONEST_RELU, "x = ("]
    found = list(evaluator.evaluate(RELU, sources))
    assert [evaluation.outcome.value for evaluation in found] == [
        "incorrect",
        "no_source",
        "correct",
        "incorrect",
        "no_source",
        "correct",
        "build_error",
    ]
    assert found[0] is found[3]
    assert found[2] is found[5]


def test_no_sources_are_no_evaluations(evaluator):
    assert list(evaluator.evaluate(RELU, [])) == []


def test_an_iterator_left_half_way_does_not_answer_the_next_question(evaluator):
    for evaluation in evaluator.evaluate(RELU, [candidate("return x"), candidate("time.sleep(60)")]):
        assert evaluation.outcome is Outcome.INCORRECT
        break
    assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT


def test_a_second_iterator_beside_an_unfinished_one_is_refused(evaluator):
    unfinished = evaluator.evaluate(RELU, [candidate("return x"), HONEST_RELU])
    next(unfinished)
    with pytest.raises(UsageError) as caught:
        next(evaluator.evaluate(RELU, [HONEST_RELU]))
    assert str(caught.value) == (
        "Evaluator.evaluate: this thread left an earlier iterator half way; exhaust it or close() it first"
    )
    assert next(unfinished).outcome is Outcome.CORRECT
    # All that was asked is known: the iterator keeps nobody waiting, though it was not exhausted.
    assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT


def test_threads_take_turns(evaluator):
    found = {}

    def ask(name, source):
        found[name] = [evaluation.outcome.value for evaluation in evaluator.evaluate(RELU, [source, "x = ("])]

    asked = {"right": HONEST_RELU, "wrong": candidate("return x"), "raises": candidate("1 / 0")}
    threads = [threading.Thread(target=ask, args=item) for item in asked.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=150)
    assert found == {
        "right": ["correct", "build_error"],
        "wrong": ["incorrect", "build_error"],
        "raises": ["runtime_error", "build_error"],
    }


def test_hardware_and_isolation_are_described(evaluator):
    described = evaluator.describe()
    assert described["device"] == "cpu"
    assert set(described["hardware"]) == {"id", "name", "cores", "torch"}
    assert set(described["isolation"]) == {"network", "files", "hidden", "processes", "signals", "cores", "group"}


def test_closing_ends_all_processes_and_the_next_evaluation_starts_anew(cache):
    evaluator = Evaluator(device="cpu", protocol="fast", cache=cache)
    assert evaluator.service is None
    unfinished = evaluator.evaluate(RELU, [candidate("return x"), candidate("time.sleep(60)")])
    next(unfinished)
    # Of this evaluator alone: another one's worker may go on to start.
    started = {evaluator.service, *children_of(evaluator.service)}
    assert len(started) >= 3
    # While the iterator is still alive: leaving a with block must not wait for it.
    evaluator.close()
    assert ended(started)
    with pytest.raises(HarnessError, match=r"^the judge on cpu ended \(ConnectionEnded.*\); run again to resume$"):
        next(unfinished)
    with evaluator:
        assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT
        # Killed between two questions.
        os.kill(evaluator.service, signal.SIGKILL)
        assert ended([evaluator.service])
        assert one(evaluator, candidate("1 / 0")).outcome is Outcome.RUNTIME_ERROR
        started = {evaluator.service, *children_of(evaluator.service)}
    assert ended(started)
    evaluator.close()


def shared_pieces() -> int:
    """How many pieces of memory the processes below this one map as inputs and outputs of a task."""
    found = 0
    for process in children_of(os.getpid()):
        with suppress(OSError):  # it has ended
            found += Path(f"/proc/{process}/maps").read_text().count("/memfd:kernelbench")
    return found


def test_what_is_known_of_a_task_goes_with_the_last_answer(evaluator):
    assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT
    evaluator.release()
    deadline = time.monotonic() + 10
    while shared_pieces():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_judge_that_keeps_its_task_has_its_memory_until_it_is_told_to_release_it(cache):
    with Evaluator(device="cpu", protocol="fast", cache=cache, keep_task=True) as evaluator:
        evaluator.release()
        for source, outcome in ((HONEST_RELU, Outcome.CORRECT), (candidate("return x"), Outcome.INCORRECT)):
            assert one(evaluator, source).outcome is outcome
            assert shared_pieces() > 0
        evaluator.release()
        assert shared_pieces() == 0
        assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT


def test_all_processes_end_when_the_owner_is_killed(cache):
    owner = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from made_up_tasks import RELU, candidate
from pytest_kernelbench.evaluation import Evaluator

with Evaluator(device="cpu", protocol="fast", cache=Path({str(cache)!r})) as evaluator:
    for _ in evaluator.evaluate(RELU, [candidate("return x"), candidate("time.sleep(60)")]):
        print("one", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "one\n"
            deadline = time.monotonic() + 10
            # Service, judge, and the three processes of a worker.
            while len(started := children_of(process.pid)) < 5 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            process.kill()
    assert len(started) >= 2
    assert ended(started)


def test_torch_s_operators_can_be_forbidden(cache):
    with Evaluator(device="cpu", protocol="fast", cache=cache, torch_operators="forbidden") as evaluator:
        product = one(evaluator, candidate("return torch.mm(a, b)", arguments="a, b"), MATMUL)
        assert (product.outcome, product.flags) == (Outcome.VOID, ("torch_operators",))
        assert product.detail == "calls aten.mm, which this strategy forbids"
        own = one(evaluator, C_RELU)
        assert own.outcome is Outcome.CORRECT, own.detail


@pytest.fixture(scope="module")
def evaluator_of_the_paper(cache):
    with Evaluator(device="cpu", protocol="paper", cache=cache) as evaluator:
        yield evaluator


def test_the_paper_s_protocol_gives_a_speedup_without_an_interval(evaluator_of_the_paper):
    assert evaluator_of_the_paper.margin == 0
    evaluation = one(evaluator_of_the_paper, HONEST_RELU)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert evaluation.speedup > 0
    assert (evaluation.speedup_low, evaluation.speedup_high, evaluation.pairs) == (None, None, 50)
    assert not evaluation.fast()


@pytest.mark.quiet
def test_the_paper_s_protocol_does_not_void_a_call_much_shorter_than_a_question(evaluator_of_the_paper):
    copied = task(
        "12_copied", "def forward(self, x):\n    return torch.relu(x * 1 * 1 * 1)", inputs="torch.randn(n)", n=1000
    )
    evaluation = one(evaluator_of_the_paper, candidate("return torch.relu(x)"), copied)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert evaluation.speedup > 1.5


def test_what_cannot_be_evaluated_is_refused_at_once(cache):
    with pytest.raises(UsageError, match=r'^protocol = "quick": no such protocol; there are fast, full, paper$'):
        Evaluator(device="cpu", protocol="quick", cache=cache)
    known = "float32, tf32, bfloat16, float16"
    with pytest.raises(UsageError, match=rf'^precision = "half": no such precision; there are {known}$'):
        Evaluator(device="cpu", precision="half", cache=cache)
    with pytest.raises(UsageError, match=r"^device=tpu: no such device; there are auto, cpu, cuda$"):
        resolve_device("tpu")


def test_a_machine_without_a_compiler_is_no_verdict(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path / "builds") as evaluator:
        with pytest.raises(HarnessError, match=r"compile_c: no C compiler on PATH \(cc, gcc, clang\); install one"):
            list(evaluator.evaluate(RELU, [C_RELU]))
        assert [e.outcome for e in evaluator.evaluate(RELU, [HONEST_RELU])] == [Outcome.CORRECT]
