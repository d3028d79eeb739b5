"""Triton kernels compiled ahead: what a candidate is called with, and how what was compiled reaches its workers."""

import importlib.util
import json
import zipfile

import pytest
import torch

from pytest_kernelbench.evaluation.worker import kernels
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive, on_nothing, pack, unpack, uses_triton


@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.rand(1 << 40, 3),
        lambda: torch.empty(1 << 40, 3, device="cuda"),
        lambda: torch.empty(1 << 40, 3, device=torch.device("cuda:0")),
        lambda: torch.empty(1 << 40, 3).cuda(),
        lambda: torch.empty(1 << 40, 3, device="cpu").to("cuda", torch.float32),
        lambda: torch.empty_like(torch.rand(3, 1 << 40).t()).contiguous(),
    ],
)
def test_what_is_made_on_nothing_has_a_shape_and_says_that_it_is_on_a_gpu(made):
    with on_nothing():
        tensor = made()
        assert tensor.is_cuda
        assert torch.empty(3, device=tensor.device).data_ptr() == 0
        assert tensor.data_ptr() == 0
        assert (tensor.shape, tensor.dtype) == ((1 << 40, 3), torch.float32)
    one = torch.rand(1)
    assert (one.is_meta, one.is_cuda) == (False, False)


def test_a_module_is_called_on_nothing():
    with on_nothing():
        module = torch.nn.Sequential(torch.nn.Linear(1 << 30, 1 << 20), torch.nn.ReLU()).cuda().to("cuda")
        answer = module(torch.rand(7, 1 << 30))
    assert (answer.shape, answer.requires_grad) == ((7, 1 << 20), False)


def test_what_is_packed_is_unpacked_with_the_paths_of_the_place(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "KEY").mkdir(parents=True)
    (one / "KEY" / "kernel.cubin").write_bytes(b"\x7fELF")
    (one / "KEY" / "__grp__kernel.json").write_text(
        json.dumps({"child_paths": {"kernel.cubin": str(one / "KEY" / "kernel.cubin")}})
    )
    pack(one, tmp_path / "kernels.zip")
    unpack(tmp_path / "kernels.zip", other)
    assert (other / "KEY" / "kernel.cubin").read_bytes() == b"\x7fELF"
    found = json.loads((other / "KEY" / "__grp__kernel.json").read_text())
    assert found == {"child_paths": {"kernel.cubin": str(other / "KEY" / "kernel.cubin")}}


def test_nothing_compiled_is_nothing_unpacked(tmp_path):
    pack(tmp_path / "triton", tmp_path / "kernels.zip")
    unpack(tmp_path / "kernels.zip", tmp_path / "triton")
    assert not list(tmp_path.glob("triton/*"))


@pytest.mark.parametrize("group", ["", "[]", "{}", '{"child_paths": 3}', '{"child_paths": {"kernel.cubin": 3}}'])
def test_an_archive_that_its_candidate_made_up_stops_nobody(tmp_path, group):
    with zipfile.ZipFile(tmp_path / "kernels.zip", "w") as packed:
        packed.writestr("KEY/__grp__kernel.json", group)
        packed.writestr("../../escaped", "")
    unpack(tmp_path / "kernels.zip", tmp_path / "a" / "triton")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "kernels.zip"]


def test_an_archive_that_is_none_or_not_there_stops_nobody(tmp_path):
    (tmp_path / "kernels.zip").write_bytes(b"not an archive")
    unpack(tmp_path / "kernels.zip", tmp_path / "triton")
    unpack(tmp_path / "missing.zip", tmp_path / "triton")
    assert not (tmp_path / "triton").exists()


def test_candidates_tasks_and_architectures_do_not_share_an_archive():
    named = {kernels_archive(c, t, a) for c in ("a", "b") for t in ("c", "d") for a in ("9.0", "8.0")}
    assert len(named) == 8


def test_only_where_there_is_triton_a_candidate_uses_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not uses_triton("import triton")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert uses_triton("import triton")
    assert not uses_triton("import torch")


SCALE = """
import torch
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, n, factor, block: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)
    tl.store(y + i, factor * tl.load(x + i, i < n), i < n)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x, device="cuda")
        kernel[(triton.cdiv(x.numel(), 256),)](x.cuda(), y, x.numel(), 2.0, 256)
        return y
"""
TUNED = SCALE.replace(
    "@triton.jit",
    "@triton.autotune([triton.Config({'block': 1 << power}) for power in (7, 8, 21)], key=['n'])\n@triton.jit",
).replace(", 2.0, 256)", ", 2.0)")


@pytest.mark.gpu
@pytest.mark.parametrize(("source", "compiled"), [(SCALE, 1), (TUNED, 2)], ids=["one", "tuned"])
def test_what_a_candidate_would_launch_is_compiled_and_not_launched(source, compiled, tmp_path, monkeypatch):
    from triton.runtime import JITFunction, driver
    from triton.runtime.autotuner import Autotuner

    from pytest_kernelbench.evaluation.modules import CandidateModule

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.setattr(JITFunction, "run", JITFunction.run)
    monkeypatch.setattr(Autotuner, "run", Autotuner.run)
    monkeypatch.setattr(driver, "_active", None)
    (tmp_path / "candidate.py").write_text(source)

    def call():
        with on_nothing():
            CandidateModule(tmp_path / "candidate.py").model_class()(torch.rand(1 << 40))

    kernels.compile_launched("9.0", call)
    # A block of two million is one too many for Triton.
    assert len(list(tmp_path.glob("triton/*/*.cubin"))) == compiled
