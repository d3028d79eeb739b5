"""The evaluator as its owner sees it: real trials of small tasks on the CPU."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from made_up_tasks import C_RELU, HONEST_RELU, LARGE_MATMUL, MATMUL, RELU, ROW_SUM, candidate, task

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate, resolve_device
from pytest_kernelbench.records import Evaluation, Outcome, Task, sha256_of


def one(evaluator, source, on=RELU):
    (evaluation,) = evaluator.evaluate(on, [source])
    return evaluation


def verdict(evaluator, source, on=RELU):
    evaluation = one(evaluator, source, on)
    return evaluation.outcome, evaluation.detail


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


def test_a_right_answer_is_correct_and_timed(evaluator):
    evaluation = one(evaluator, HONEST_RELU)
    assert (evaluation.outcome, evaluation.detail, evaluation.flags) == (Outcome.CORRECT, "", ())
    assert evaluation.source_sha256 == sha256_of(HONEST_RELU)
    assert evaluation.reference_ms > 0
    assert evaluation.candidate_ms > 0
    assert evaluation.speedup_low <= evaluation.speedup <= evaluation.speedup_high
    assert 6 <= evaluation.pairs <= evaluator.protocol.pairs_max
    assert set(evaluation.seconds) - {"attest"} == {"wait", "load", "check", "time", "total"}
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_an_answer_without_source_is_told(evaluator):
    evaluation = one(evaluator, None)
    assert (evaluation.outcome, evaluation.detail) == (Outcome.NO_SOURCE, "the answer holds no ModelNew")
    assert evaluation.source_sha256 is None


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("x = (", "SyntaxError: '(' was never closed (candidate.py, line 1)"),
        ("", "AttributeError: the module defines no ModelNew"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (candidate.py:1)"),
        ("raise ValueError('at import')", "ValueError: at import (candidate.py:1)"),
        ("import os\nos._exit(0)", "the process exited with status 0 while loading"),
        (
            "class ModelNew:\n    def __init__(self, size): pass",
            "missing 1 required positional argument: 'size'",
        ),
        ("x = " + "-" * 20_000 + "1", "MemoryError"),
    ],
)
def test_what_does_not_load_is_a_build_error(evaluator, source, detail):
    outcome, said = verdict(evaluator, source)
    assert outcome is Outcome.BUILD_ERROR
    assert detail in said and "frozen" not in said


def test_what_raises_is_a_runtime_error_with_its_line(evaluator):
    assert verdict(evaluator, candidate("1 / 0")) == (
        Outcome.RUNTIME_ERROR,
        "ZeroDivisionError: division by zero (candidate.py:7)",
    )


def test_what_a_candidate_says_is_one_printable_line(evaluator):
    _, detail = verdict(evaluator, candidate("raise ValueError('two\\nlines \\x1b[31m' + chr(0xD800) + 'x' * 9999)"))
    assert detail.isprintable()
    assert len(detail) < 600


def test_a_wrong_answer_is_incorrect_with_its_numbers(evaluator):
    outcome, detail = verdict(evaluator, candidate("return x"))
    assert outcome is Outcome.INCORRECT
    assert detail.startswith("signed inputs: error ")
    assert ", not 0)" in detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("return x[:10]", "returns float32[10] where float32[300000] is due"),
        ("return x.double()", "returns float64[300000] where float32[300000] is due"),
        (
            "return x, x",
            "returns (float32[300000], float32[300000]) where float32[300000] is due",
        ),
        ("return None", "returns None where float32[300000] is due"),
    ],
)
def test_another_shape_type_or_number_of_outputs_is_incorrect(evaluator, body, detail):
    assert verdict(evaluator, candidate(body)) == (Outcome.INCORRECT, detail)


def test_a_changed_input_is_incorrect_and_no_cheat(evaluator):
    evaluation = one(evaluator, candidate("return x.relu_().clone()"))
    assert evaluation.outcome is Outcome.INCORRECT
    assert evaluation.detail.endswith(" inputs: changes its inputs")
    assert evaluation.flags == ()


# What a call is for, a candidate can see on the stack.
TIMED = """
def is_timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name not in ("run", "warm"):
        frame = frame.f_back
    return frame is None
"""


@pytest.mark.parametrize(
    ("body", "detail", "flag"),
    [
        ("return torch.clamp(x, min=0) if not is_timed() else x.clone()", "error ", "wrong_when_timed"),
        ("y = torch.clamp(x, min=0)\nif is_timed():\n    x += 1\nreturn y", "changes its inputs", "mutated_input"),
    ],
)
def test_what_is_wrong_only_when_it_is_timed_is_void(evaluator, body, detail, flag):
    evaluation = one(evaluator, candidate(f"time.sleep(1e-3)\n{body}", preamble=f"import sys\n{TIMED}"))
    assert (evaluation.outcome, evaluation.flags) == (Outcome.VOID, (flag,))
    assert evaluation.detail.startswith(f"a timed call, but no untimed one: {detail}")
    assert evaluation.speedup is None


LATER = "calls = 0\n\n    def forward"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("kept from an earlier call", "if self.calls < 6:\n    self.kept = torch.relu(x)\nreturn self.kept"),
        ("at an old address", "if self.calls == 1:\n    self.x = x.detach()\nreturn torch.clamp(self.x, min=0)"),
        ("not all written", "y = torch.empty_like(x)\ny[:-5] = torch.relu(x[:-5])\nreturn y"),
        ("imprecise after a while", "y = torch.relu(x)\nreturn y if self.calls < 6 else y.half().float()"),
        ("mutating after a while", "y = torch.clamp(x, min=0)\nif self.calls > 6:\n    x += 1\nreturn y"),
    ],
)
def test_what_is_wrong_untimed_as_well_is_incorrect_whenever_it_is_found(evaluator, name, body):
    source = candidate(f"time.sleep(1e-3)\nself.calls += 1\n{body}").replace("    def forward", f"    {LATER}")
    evaluation = one(evaluator, source)
    assert (evaluation.outcome, evaluation.flags) == (Outcome.INCORRECT, ()), evaluation.detail


@pytest.mark.slow
def test_silence_is_a_timeout(evaluator):
    evaluation = one(evaluator, candidate("time.sleep(60)"))
    assert evaluation.outcome is Outcome.TIMEOUT
    assert evaluation.detail == "no answer within 10 s while running on signed inputs"
    assert 9 < evaluation.seconds["check"] < 15


def test_a_forged_answer_is_void(evaluator):
    forge = """
import stat, struct
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            os.write(number, struct.pack("!I", 3) + b"[1]")
    except OSError:
        pass
return x
"""
    evaluation = one(evaluator, candidate(forge))
    assert (evaluation.outcome, evaluation.flags) == (Outcome.VOID, ("forged_answer",))
    assert evaluation.detail == "an answer that the harness does not give: not a JSON object"


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


def test_a_c_kernel_is_correct(evaluator, cache):
    evaluation = one(evaluator, C_RELU)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert list(cache.glob("*.so"))


def test_a_kernel_that_does_not_compile_is_a_build_error_in_the_compiler_s_words(evaluator):
    evaluation = one(evaluator, C_RELU.replace("y[i] = x[i]", "y[i] = nowhere[i]"))
    assert evaluation.outcome is Outcome.BUILD_ERROR
    assert "nowhere" in evaluation.detail
    assert "\n" not in evaluation.detail
    lines = evaluation.log.splitlines()
    assert len(lines) > 1
    assert any("y[i] = nowhere[i]" in line for line in lines)


def test_only_what_does_not_build_has_a_log(evaluator):
    assert [one(evaluator, source).log for source in (HONEST_RELU, candidate("1 / 0"))] == [None, None]


def test_a_kernel_source_that_no_file_can_hold_is_a_build_error(evaluator):
    source = "from pytest_kernelbench.inline import compile_c\nkernel = compile_c('\\ud800')"
    assert verdict(evaluator, source)[0] is Outcome.BUILD_ERROR


def test_the_reference_itself_is_correct_and_not_fast(evaluator):
    for on in (LARGE_MATMUL, ROW_SUM):
        evaluation = one(evaluator, reference_as_candidate(on), on)
        assert evaluation.outcome is Outcome.CORRECT, evaluation
        assert not evaluation.fast(margin=evaluator.margin), evaluation


SLOWS_THE_REFERENCE = """
import time

def dawdle(module, arguments):
    if type(module).__name__ == "Model":
        time.sleep(0.02)

torch.nn.modules.module.register_module_forward_pre_hook(dawdle)
"""


def test_a_reference_that_is_slowed_beside_a_candidate_makes_a_claim_that_does_not_count(evaluator):
    evaluation = one(evaluator, HONEST_RELU.replace("class ", f"{SLOWS_THE_REFERENCE}\nclass ", 1))
    assert (evaluation.outcome, evaluation.flags) == (Outcome.CORRECT, ())
    assert evaluation.speedup > 5 and evaluation.reference_ms > 20
    assert evaluation.counted is False and evaluation.uncounted_because
    assert evaluation.counted_speedup <= 1 and not evaluation.fast(margin=evaluator.margin)


# One returns new memory, and one always the same.
FRESH = candidate("x.exp()\nreturn x.exp()")
SAME_BUFFER = candidate(
    "y = buffer.setdefault('y', torch.empty_like(x))\nx.exp()\nreturn torch.exp(x, out=y)", preamble="buffer = {}"
)


@pytest.mark.quiet
@pytest.mark.parametrize(
    # What returns the same memory is copied after each call of a turn, and the copy is in its time: 1.9 to 2.1.
    ("source", "least"),
    [(FRESH, 2), (SAME_BUFFER, 1.5)],
    ids=["new memory", "the same memory"],
)
def test_a_kernel_twice_as_fast_is_fast(evaluator, source, least):
    model = "def forward(self, x):\n    for _ in range(8):\n        y = x.exp()\n    return y"
    wasteful = task("5_wasteful", model, inputs="torch.rand(n)", n=3_000_000)
    evaluation = one(evaluator, source, wasteful)
    assert evaluation.outcome is Outcome.CORRECT, evaluation
    assert evaluation.attested_low <= evaluation.attested <= evaluation.attested_high
    if not evaluation.uncounted_because.startswith("other processes used "):
        assert least < evaluation.attested < 8
        assert evaluation.counted and evaluation.fast(margin=evaluator.margin), evaluation
        assert evaluation.counted_speedup == evaluation.attested


def test_an_output_that_is_a_view_of_an_input_is_right_when_the_judge_times_it(evaluator):
    model = "def forward(self, x):\n    for _ in range(8):\n        y = x.exp()\n    return x[n // 2 :]"
    half = task("5_half", model, inputs="torch.rand(n)", n=300_000)
    evaluation = one(evaluator, candidate("x.exp()\nreturn x[150_000:]"), half)
    assert evaluation.outcome is Outcome.CORRECT, evaluation
    assert evaluation.counted is not None


def test_several_outputs_are_all_checked(evaluator):
    extremes = task(
        "6_extremes",
        "def forward(self, x):\n    found = x.max(dim=1)\n    return found.values, found.indices",
        inputs="torch.rand(300, n)",
        n=1000,
    )
    slower = "x.max(dim=1)\nbest, where = x.max(dim=1)\n"
    right, swapped, half = evaluator.evaluate(
        extremes,
        [candidate(f"{slower}return {answer}") for answer in ("[best, where]", "best, where * 0", "best")],
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert swapped.outcome is Outcome.INCORRECT
    assert "integers differ" in swapped.detail
    assert half.outcome is Outcome.INCORRECT


LINEAR = task(
    "7_linear",
    "def __init__(self, size):\n    super().__init__()\n    self.linear = nn.Linear(size, size)\n\n"
    "def forward(self, x):\n    return self.linear(x)",
    inputs="torch.rand(n, n)",
    init="n",
    n=256,
)


def test_modules_with_weights_share_them(evaluator):
    # Made in another order, and after other draws, so that the seed alone would not give the same values.
    own = candidate("self.linear(x)\nreturn self.linear(x)").replace(
        "    def forward",
        "    def __init__(self, size):\n        super().__init__()\n        torch.rand(3)\n"
        "        self.linear = torch.nn.Linear(size, size)\n\n    def forward",
    )
    shared, foreign = evaluator.evaluate(LINEAR, [own, own.replace("self.linear =", "self.other = self.linear =")])
    assert shared.outcome is Outcome.CORRECT, shared.detail
    assert foreign.outcome is Outcome.INCORRECT


def test_running_statistics_start_afresh_for_each_answer(evaluator):
    normalised = task(
        "8_batch_norm",
        "def __init__(self, size):\n    super().__init__()\n    self.norm = nn.BatchNorm1d(size)\n\n"
        "def forward(self, x):\n    return self.norm(x)",
        inputs="torch.rand(300, n)",
        init="n",
        n=1000,
    )
    source = candidate("self.norm(x)\nreturn self.norm(x)").replace(
        "    def forward",
        "    def __init__(self, size):\n        super().__init__()\n        self.norm = torch.nn.BatchNorm1d(size)\n\n"
        "    def forward",
    )
    evaluation = one(evaluator, source, normalised)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail


def test_masks_labels_and_plain_values_are_handed_over_as_they_are(evaluator):
    mixed = task(
        "9_mixed",
        "def forward(self, x, mask, index, scale, times, flag, nothing):\n"
        "    assert type(times) is int and flag is True and nothing is None\n"
        "    return torch.where(mask, x * scale, x + times).gather(1, index)",
        inputs="torch.rand(300, n), torch.rand(300, n) > 0.5, torch.randint(0, n, (300, n)), 0.25, 3, True, None",
        n=1000,
    )
    body = "y = torch.where(mask, x * scale, x + times)\ny = y + 0\nreturn y.gather(1, index)"
    names = "x, mask, index, scale, times, flag, nothing"
    right, wrong, writes = evaluator.evaluate(
        mixed,
        [
            candidate(text, arguments=names)
            for text in (body, body.replace("* scale", "* times"), f"mask.logical_not_()\n{body}")
        ],
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert wrong.outcome is Outcome.INCORRECT
    assert (writes.outcome, writes.flags) == (Outcome.INCORRECT, ())


def test_a_reference_that_is_not_defined_for_signed_inputs_is_checked_on_its_own_draw(evaluator):
    logarithm = task("10_log", "def forward(self, x):\n    return torch.log(x)", inputs="torch.rand(n) + 0.1")
    right, wrong = evaluator.evaluate(
        logarithm, [candidate("torch.log(x)\nreturn torch.log(x)"), candidate("return x")]
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert wrong.outcome is Outcome.INCORRECT
    assert wrong.detail.startswith("task inputs: ")


def test_sizes_of_a_task_replace_its_constants(evaluator):
    small = Task(id=RELU.id, source=RELU.source, sizes={"n": 1234})
    assert verdict(evaluator, candidate("return x[:1]"), small) == (
        Outcome.INCORRECT,
        "returns float32[1] where float32[1234] is due",
    )


def test_a_candidate_cannot_shrink_the_problem_by_a_module_constant(evaluator):
    outcome, detail = verdict(evaluator, candidate("return x[:n]", preamble="n = 8"))
    assert outcome is Outcome.INCORRECT
    assert "where float32[300000] is due" in detail


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("def forward(self, x):\n    return x + nothing", "NameError: name 'nothing' is not defined"),
        (
            "def forward(self):\n    return 1",
            "TypeError: Model.forward() takes 1 positional argument but 2 were given",
        ),
    ],
)
def test_a_task_whose_reference_does_not_run_is_no_verdict(evaluator, model, cause):
    broken = task("11_broken", model, inputs="torch.rand(n)")
    with pytest.raises(HarnessError) as caught:
        list(evaluator.evaluate(broken, [HONEST_RELU, None]))
    assert str(caught.value) == (
        f"made_up/11_broken: the reference does not run on cpu ({cause}); check the task file and its sizes"
    )
    assert one(evaluator, None, broken).outcome is Outcome.NO_SOURCE
    assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT


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
    assert set(described["isolation"]) == {"network", "files", "hidden", "processes", "signals", "group"}


def test_closing_ends_all_processes_and_the_next_evaluation_starts_anew(cache):
    before = set(children_of(os.getpid()))
    evaluator = Evaluator(device="cpu", protocol="fast", cache=cache)
    assert set(children_of(os.getpid())) == before
    unfinished = evaluator.evaluate(RELU, [candidate("return x"), candidate("time.sleep(60)")])
    next(unfinished)
    started = set(children_of(os.getpid())) - before
    assert len(started) >= 2
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
    assert ended(set(children_of(os.getpid())) - before)
    evaluator.close()


def shared_pieces() -> int:
    """How many pieces of memory the processes below this one map as inputs and outputs of a task."""
    maps = (Path(f"/proc/{process}/maps") for process in children_of(os.getpid()))
    return sum(path.read_text().count("/memfd:kernelbench") for path in maps if path.exists())


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


def test_the_paper_s_protocol_does_not_void_a_call_much_shorter_than_a_question(evaluator_of_the_paper):
    copied = task(
        "12_copied", "def forward(self, x):\n    return torch.relu(x * 1 * 1 * 1)", inputs="torch.randn(n)", n=1000
    )
    evaluation = one(evaluator_of_the_paper, candidate("return torch.relu(x)"), copied)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert evaluation.speedup > 1.5


def test_what_cannot_be_evaluated_is_refused_at_once(cache):
    with pytest.raises(
        UsageError, match=r"^--kernelbench-protocol=quick: no such protocol; there are fast, full, paper$"
    ):
        Evaluator(device="cpu", protocol="quick", cache=cache)
    known = "float32, tf32, bfloat16, float16"
    with pytest.raises(UsageError, match=rf'^precision = "half": no such precision; there are {known}$'):
        Evaluator(device="cpu", precision="half", cache=cache)
    with pytest.raises(UsageError, match=r"^--kernelbench-device=tpu: no such device; there are auto, cpu, cuda$"):
        resolve_device("tpu")


def test_a_machine_without_a_compiler_is_no_verdict(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path / "builds") as evaluator:
        with pytest.raises(HarnessError, match=r"compile_c: no C compiler on PATH \(cc, gcc, clang\); install one"):
            list(evaluator.evaluate(RELU, [C_RELU]))
        assert [e.outcome for e in evaluator.evaluate(RELU, [HONEST_RELU])] == [Outcome.CORRECT]
