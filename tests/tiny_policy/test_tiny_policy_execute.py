"""Templates run in worker processes, and their labels are compared with the results."""

import json

import pytest

from pytest_kernelbench.tiny_policy import execute
from pytest_kernelbench.tiny_policy.corpus import base


def template(strategy, sources, *, correct=True, pace="plain"):
    return base.Template(
        task=19, target="cpu", language="torch", strategy=strategy, pace=pace, correct=correct, sources=(sources,)
    )


RELU = base.torch_module("return torch.relu(x)")
C_RELU = base.c_module(
    "void kernel(const float *x, float *y, long n) {\n    for (long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;\n}",
    "y = torch.empty_like(x)\nkernel(x, y, x.numel())\nreturn y",
)


def test_a_crash_and_an_exception_cost_only_their_own_template(monkeypatch):
    monkeypatch.setattr(execute, "task_sources", lambda sizes, numbers: {19: TASK})
    templates = [
        template("right", RELU),
        template("segfault", base.torch_module("import ctypes\nctypes.string_at(0)\nreturn x")),
        template("raises", base.torch_module("raise RuntimeError('on purpose')")),
        template("prints", base.torch_module('print("not an answer")\nreturn torch.relu(x)')),
        template("c", C_RELU),
        template("unwritten", base.torch_module("return torch.empty_like(x)"), correct=False),
        template("identity", base.torch_module("return x.clone()"), correct=False),
    ]
    rows = {
        row.template.rpartition("/")[2]: row
        for row in execute.run(templates, execute.Plan(device="cpu", sizes="small"))
    }
    assert [name for name, row in rows.items() if row.ok] == ["right", "prints", "c"]
    assert rows["right"].speedup > 0
    assert rows["segfault"].detail == "worker died, exit -11"
    assert rows["raises"].detail.endswith("on purpose")
    assert rows["unwritten"].detail.startswith("drawn inputs: 16 of 16 differ")
    assert rows["identity"].detail.startswith("signed inputs: ")
    surprises = [name for name, row in rows.items() if row.surprise == "correct, but fails"]
    assert surprises == ["segfault", "raises"]


def test_a_hang_costs_only_its_own_template(tmp_path, monkeypatch):
    hangs, right = tmp_path / "hangs.py", tmp_path / "right.py"
    hangs.write_text(base.torch_module("import time\ntime.sleep(60)"))
    right.write_text(RELU)
    worker = execute.Worker("cpu", tmp_path, timeout_s=1)
    try:
        answer = worker.ask({"task_source": TASK, "module": str(hangs), "time": False})
        assert (answer["ok"], answer["detail"]) == (False, "no answer in 1 s")
        # On a busy machine the next one may need more than a second.
        monkeypatch.setattr(worker, "_timeout_s", 60)
        assert worker.ask({"task_source": TASK, "module": str(right), "time": False})["ok"]
    finally:
        worker.close()


TASK = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.rand(16)]

def get_init_inputs():
    return []
"""


@pytest.mark.parametrize(
    ("pace", "correct", "ok", "speedup", "surprise"),
    [
        ("plain", True, True, 1.0, ""),
        ("plain", True, False, None, "correct, but fails"),
        ("plain", False, True, None, "wrong, but passes"),
        ("plain", False, False, None, ""),
        ("fast", True, True, 1.04, "fast, but under 1.05x"),
        ("fast", True, True, 1.06, ""),
        ("slow", True, True, 1.31, "slow, but over 1.3x"),
    ],
)
def test_surprises(pace, correct, ok, speedup, surprise):
    assert row(pace=pace, correct=correct, ok=ok, speedup=speedup).surprise == surprise


def test_relabelling_keeps_only_what_differs_from_the_written_label(tmp_path, monkeypatch):
    measured = tmp_path / "measured.json"
    measured.write_text('{"19/cpu/torch/a": "slow", "19/cpu/torch/gone": "fast"}')
    monkeypatch.setattr(execute, "MEASURED", measured)
    monkeypatch.setattr(
        execute, "written_templates", lambda: [template(name, RELU, pace="fast") for name in ("a", "b", "c")]
    )
    rows = [
        row(template="19/cpu/torch/a", pace="slow", speedup=2.0),
        row(template="19/cpu/torch/b", pace="fast", speedup=0.9),
        row(template="19/cpu/torch/c", pace="fast", speedup=1.5),
    ]
    assert execute.relabel(rows) == 2
    assert json.loads(measured.read_text()) == {"19/cpu/torch/b": "plain"}


def test_kernels_are_found_in_modules():
    assert execute.kernel_source(RELU) is None
    language, source = execute.kernel_source(C_RELU)
    assert language == "c"
    assert source.strip().startswith("void kernel(")


def row(**changes):
    fields = {
        "template": "19/cpu/torch/relu",
        "variant": 0,
        "language": "torch",
        "pace": "plain",
        "correct": True,
        "ok": True,
        "detail": "",
        "speedup": None,
        "reference_ms": None,
        "candidate_ms": None,
        "seconds": 0.0,
    }
    return execute.Row(**{**fields, **changes})
