"""Sizes of a task made smaller and odd, and the verdict on a candidate at these sizes."""

import pytest
from made_up_tasks import TASK, candidate, task

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.correctness import resizing
from pytest_kernelbench.evaluation.correctness.other_sizes import HANDS_NOTHING_ON, OWN_SIZES_ONLY
from pytest_kernelbench.evaluation.correctness.resizing import smaller
from pytest_kernelbench.evaluation.modules import ReferenceModule
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.tasks import load_tasks, with_sizes

RUNS = resizing._runs
BODY = """
import torch
import torch.nn as nn

{constants}

class Model(nn.Module):
    def __init__(self{named}):
        super().__init__()
        {init}

    def forward(self, x):
        return {result}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return [{given}]
"""


def source(constants, result, inputs, *, init="pass", given="", named=""):
    return BODY.format(constants=constants, result=result, inputs=inputs, init=init, given=given, named=named)


@pytest.mark.parametrize(
    ("constants", "inputs", "expected"),
    [
        ("batch_size = 4096\ndim = 393216", "torch.rand(batch_size, dim)", {"batch_size": 3, "dim": 257}),
        ("M, N = 1024, 2048", "torch.rand(M, N)", {"M": 67, "N": 257}),
        ("N = 2048 * 2\nk = 3", "torch.rand(N, k)", {"N": 257}),
        ("shape = (2048, 512)", "torch.rand(*shape)", {"shape": (257, 67)}),
        ("n = 8", "torch.rand(n)", None),
        ("n = len('a' * 500)", "torch.rand(n)", None),
        ("scale = 2.5\nname = 'a'", "torch.rand(300)", None),
    ],
)
def test_sizes_are_found_and_made_odd(constants, inputs, expected):
    assert smaller(source(constants, "torch.relu(x)", inputs), seed=0) == expected


def test_sizes_that_must_divide_each_other_stay_so():
    groups = source(
        "batch_size = 64\nchannels = 256\ngroups = 16\nwidth = 512",
        "self.norm(x)",
        "torch.rand(batch_size, channels, width)",
        init="self.norm = nn.GroupNorm(groups, channels)",
        given="groups, channels",
        named=", groups, channels",
    )
    found = smaller(groups, seed=0)
    assert found["channels"] % found["groups"] == 0
    assert found["width"] == 257
    assert found["batch_size"] == 3


@pytest.mark.parametrize("name", ["level1/33", "level1/35", "level1/50", "level1/62", "level1/77", "level1/97"])
def test_packaged_tasks_run_at_small_odd_sizes(name):
    (of_level,) = load_tasks(name)
    found = smaller(of_level.source, seed=0)
    inputs = ReferenceModule(with_sizes(of_level.source, found)).get_inputs()
    assert sum(value.numel() for value in inputs) < 1 << 19


@pytest.mark.parametrize("name", ["level1/33", "level1/61", "level1/70", "level1/72"])
def test_where_running_takes_long_the_same_sizes_are_found_by_shapes_alone(name, monkeypatch):
    (of_level,) = load_tasks(name)
    run = []
    monkeypatch.setattr(resizing, "SECONDS_OF_RUNNING", -1.0)
    monkeypatch.setattr(resizing, "_runs", lambda *asked: run.append(asked) or RUNS(*asked))
    found = smaller(of_level.source, seed=0)
    assert len(run) == 1
    monkeypatch.setattr(resizing, "SECONDS_OF_RUNNING", 1e9)
    assert smaller(of_level.source, seed=0) == found


@pytest.mark.parametrize("made", ["torch.rand(n)", "torch.randint(2, (n,)).float()", "torch.ones(n, device='cpu')"])
def test_inputs_that_are_too_large_are_not_made(made):
    # These would take 40 TB.
    with pytest.raises(resizing.TooLarge):
        resizing._outputs(source("n = 10**13", "x", made), 0, {}, "cpu")


def test_sizes_whose_answer_is_not_finite_are_not_taken_for_their_shapes(monkeypatch):
    monkeypatch.setattr(resizing, "SECONDS_OF_RUNNING", -1.0)
    infinite = "x.sum() / (0.0 if n == 257 else 1.0)"
    assert smaller(source("n = 1024", infinite, "torch.rand(n)"), seed=0) == {"n": 67}


def test_a_reference_that_needs_values_is_run(monkeypatch):
    monkeypatch.setattr(resizing, "SECONDS_OF_RUNNING", -1.0)
    assert smaller(source("n = 1024", "x * x.max().item()", "torch.rand(n)"), seed=0) == {"n": 257}


def test_what_a_candidate_is_at_other_sizes(tmp_path):
    relu = task("60_relu", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(300, n)", n=500)
    assert "n = 500" in TASK.format(model="", inputs="", init="", n=500)
    honest, fixed, ends, no_nan, absolute, tiny = (
        candidate(each)
        for each in (
            "return torch.relu(x + 0)",
            "return torch.relu(x.view(300, 500) + 0)",
            "if x.shape[1] != 500:\n    os._exit(3)\nreturn torch.relu(x + 0)",
            "return torch.nan_to_num(torch.relu(x), nan=0.0)",
            "return torch.relu(x) if x.shape[1] == 500 else x.abs()",
            "return torch.relu(x) if x.shape[1] == 500 else x.clamp(0, 50)",
        )
    )
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        said = list(evaluator.evaluate(relu, [honest, fixed, ends, no_nan, absolute, tiny]))
    assert [each.outcome for each in said[:4]] == [Outcome.CORRECT] * 4
    assert said[0].detail == ""
    assert said[1].detail.startswith(f"{OWN_SIZES_ONLY} (at n=257: runtime_error, ")
    assert said[2].detail.startswith(f"{OWN_SIZES_ONLY} (at n=257: runtime_error, the process exited with status 3")
    assert said[3].detail == HANDS_NOTHING_ON
    assert [(each.outcome, each.draw) for each in said[4:]] == [
        (Outcome.INCORRECT, "signed"),
        (Outcome.INCORRECT, "wide"),
    ]
    assert said[5].detail.startswith("at n=257: wide inputs: error ")


def test_a_candidate_that_claims_nothing_is_checked_at_other_sizes_by_the_worker_that_timed_it(tmp_path):
    relu = task("61_relu", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(300, n)", n=500)
    called_before, first_size_only = (
        candidate(each, preamble=before)
        for each, before in (
            ("CALLS.append(x.shape[1])\nassert CALLS[0] == 500\nreturn torch.relu(x + 0)", "CALLS = []"),
            (
                "BUFFERS.append(torch.empty_like(x))\nreturn BUFFERS[0].copy_(torch.relu(x)) + 0",
                "BUFFERS = []",
            ),
        )
    )
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        said = list(evaluator.evaluate(relu, [called_before, first_size_only]))
    assert [(each.outcome, each.detail) for each in said] == [
        # In a worker of its own its first call would have had 257 columns.
        (Outcome.CORRECT, ""),
        # Wrong in the worker that timed it, and right in a new one.
        (Outcome.CORRECT, ""),
    ]


def test_a_claim_of_a_candidate_that_is_wrong_at_other_sizes_does_not_count(tmp_path):
    slow = "def forward(self, x):\n    for _ in range(30):\n        x = torch.relu(x)\n    return x"
    relu = task("62_relu", slow, inputs="torch.rand(300, n)", n=500)
    wrong = candidate("return torch.relu(x) if x.shape[1] == 500 else x.abs()")
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path) as evaluator:
        (said,) = evaluator.evaluate(relu, [wrong])
    assert (said.outcome, said.draw) == (Outcome.INCORRECT, "signed")
    assert said.detail.startswith("at n=257: signed inputs: ")
    assert said.reference_ms > 2 * said.candidate_ms and said.speedup is None
    assert (said.counted, said.attested) == (None, None)
