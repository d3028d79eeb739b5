"""Triton kernels compiled ahead: the arguments of the candidate's call, and the compiled kernels reach its workers."""

import importlib.util
import json
import zipfile

import pytest
import torch

from pytest_kernelbench.evaluation.worker import kernels
from pytest_kernelbench.evaluation.worker.exploring import on_nothing
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive, pack, unpack, use_compiled, uses_triton
from pytest_kernelbench.evaluation.worker.stand_ins import torch_headers


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


def test_where_compiled_code_is_unpacked_no_header_is_precompiled(tmp_path, monkeypatch):
    from torch._inductor import codecache

    # Put back afterwards: it is replaced for the whole process.
    monkeypatch.setattr(codecache, "_precompile_header", codecache._precompile_header)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "main.so").write_bytes(b"\x7fELF")
    pack(tmp_path / "one", tmp_path / "compiled.zip")
    use_compiled(tmp_path / "compiled.zip", tmp_path / "other")
    assert (tmp_path / "other" / "main.so").read_bytes() == b"\x7fELF"
    header = "torch/csrc/inductor/cpp_prefix.h"
    # Code that the archive lacks includes the header itself, which is where torch has the compiler look.
    assert codecache._precompile_header(header, "c++ -c", device_type="cpu") == header
    assert (torch_headers() / header).is_file()


def test_candidates_tasks_and_architectures_do_not_share_an_archive():
    named = {kernels_archive(c, t, a) for c in ("a", "b") for t in ("c", "d") for a in ("9.0", "8.0")}
    assert len(named) == 8


def test_only_where_there_is_triton_a_candidate_uses_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not uses_triton("import triton")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert uses_triton("import triton")
    assert not uses_triton("import torch")


H100 = {"major": 9, "minor": 0, "name": "NVIDIA H100 80GB HBM3", "multi_processor_count": 132}
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
        with on_nothing(H100):
            CandidateModule(tmp_path / "candidate.py").model_class()(torch.rand(1 << 40))

    kernels.compile_launched("9.0", call)
    # A block of two million is one too many for Triton.
    assert len(list(tmp_path.glob("triton/*/*.cubin"))) == compiled
