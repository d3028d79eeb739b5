"""The outcome of each kind of candidate, right, wrong or slow, in real trials on the CPU."""

import pytest
from made_up_tasks import C_RELU, HONEST_RELU, LARGE_MATMUL, ROW_SUM, candidate, task
from one_candidate import one, verdict

from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


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
    wasteful = task("5_wasteful", model, inputs="torch.rand(n)", n=1_500_000)
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
