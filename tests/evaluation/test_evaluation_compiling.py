"""Extensions built from requests: with stand-ins for torch's headers, and with torch's own where those do not do."""

import importlib.util
import time
from pathlib import Path

import pytest
import torch

from pytest_kernelbench.evaluation.worker import compiling
from pytest_kernelbench.evaluation.worker.compiling import Parts
from pytest_kernelbench.evaluation.worker.extensions import key_of, request_of
from pytest_kernelbench.evaluation.worker.stand_ins import NAME, light_operator, torch_headers, write_stand_ins

QUICK = """
torch::Tensor twice(torch::Tensor x, double scale, int64_t n) {
  TORCH_CHECK(n > 0, "n must be positive");
  auto options = torch::TensorOptions().dtype(torch::kFloat32).device(x.device());
  auto y = torch::empty_like(x) + torch::zeros({n}, options).sum();
  for (int64_t i = 0; i < x.numel(); i++) y.data_ptr<float>()[i] = 2 * scale * x.data_ptr<float>()[i];
  return y;
}
"""
# torch::nn is in none of the stand-ins.
FULL = """
torch::Tensor twice(torch::Tensor x) { return 2 * torch::nn::functional::relu(x); }
"""


def request(folder, *sources):
    return request_of("load_inline", {"name": "x", "cpp_sources": [*sources], "functions": ["twice"]}, folder)


def built(folder, *sources):
    """The module of an extension."""
    asked = request(folder, *sources)
    library = compiling.build(asked, f"extension_{key_of(asked, '')}", folder)
    spec = importlib.util.spec_from_file_location(library.stem, library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def attempts(monkeypatch):
    """For each compiler that ran, whether it was given the stand-ins."""
    made, run = [], Parts._run

    def counted(self, command, folder):
        if " -c " in command:
            made.append(f"-I{self._stand_ins} " in command)
        return run(self, command, folder)

    monkeypatch.setattr(Parts, "_run", counted)
    return made


def test_a_kernel_is_built_with_the_stand_ins(tmp_path, attempts):
    module = built(tmp_path, QUICK)
    assert attempts == [True]
    assert module.twice(torch.tensor([1.0, -2.0]), 3.0, 4).tolist() == [6.0, -12.0]
    with pytest.raises(RuntimeError, match="n must be positive"):
        module.twice(torch.tensor([1.0]), 3.0, 0)


@pytest.mark.slow
def test_what_the_stand_ins_lack_is_built_with_torch_s_headers(tmp_path, attempts):
    # In a list, into which torch puts headers of its own.
    module = built(tmp_path, FULL)
    assert attempts == [True, False]
    assert module.twice(torch.tensor([1.0, -2.0])).tolist() == [2.0, 0.0]


def test_what_no_header_could_mend_is_compiled_once(tmp_path, attempts):
    with pytest.raises(compiling.BuildFailed, match=r"^main\.cpp:2:\d+: error: .*nowhere_at_all") as raised:
        built(tmp_path, "torch::Tensor twice(torch::Tensor x) { return nowhere_at_all(x); }")
    assert raised.value.final
    assert attempts == [True]


def test_a_function_that_is_bound_and_not_declared_is_compiled_once(tmp_path, attempts):
    # std::forward is in every header, and is another.
    asked = {"name": "x", "cpp_sources": "int other();", "functions": ["forward"]}
    with pytest.raises(compiling.BuildFailed, match=r"^main\.cpp:4:\d+: error: .*forward"):
        compiling.build(request_of("load_inline", asked, tmp_path), "x", tmp_path)
    assert attempts == [True]


def test_what_torch_refuses_is_refused_again(tmp_path):
    asked = {"name": "x", "cpp_sources": ["int f();"], "functions": 3}
    with pytest.raises(compiling.BuildFailed, match="Expected 'functions' to be a list or dict") as raised:
        compiling.build({"function": "load_inline", "arguments": asked, "files": {}}, "x", tmp_path)
    assert raised.value.final


NINJA = """
rule compile
  command = $line
rule cuda_compile
  command = $line
rule link
  command = true
build main.o: compile main.cpp
  line = {host}
build cuda.cuda.o: cuda_compile cuda.cu
  line = {device}
build x.so: link main.o cuda.cuda.o
"""


def parts_of(folder, host, device):
    """The parts that were compiled again, with two commands in the place of compilers."""
    (folder / "main.cpp").touch()
    (folder / "cuda.cu").touch()
    (folder / "build.ninja").write_text(NINJA.format(host=host, device=device))
    parts = Parts(folder / "include", "")
    parts.compile(str(folder), False, "Error building extension 'x'")
    return parts.with_torch_s_headers


def test_host_and_device_part_are_compiled_side_by_side(tmp_path):
    # Each compiler ends once the other one is there.
    command = "touch {own}; for i in $$(seq 600); do [ -e {other} ] && exit 0; sleep 0.05; done; false"
    host, device = command.format(own="host", other="device"), command.format(own="device", other="host")
    assert parts_of(tmp_path, host, device) == set()
    assert (tmp_path / "host").exists() and (tmp_path / "device").exists()


def test_only_the_part_that_the_stand_ins_do_not_fit_is_compiled_again(tmp_path):
    device = "echo x >> device; [ $$(wc -l < device) = 2 ]"
    assert parts_of(tmp_path, "echo x >> host", device) == {"cuda.cuda.o"}
    assert [(tmp_path / name).read_text() for name in ("host", "device")] == ["x\n", "x\nx\n"]


def test_where_one_part_fails_the_other_is_not_waited_for(tmp_path):
    started = time.monotonic()
    said = "echo 'ptxas error   : too much'; false"
    with pytest.raises(RuntimeError, match=r"^Error building extension 'x': ptxas error   : too much"):
        parts_of(tmp_path, "sleep 60", said)
    assert time.monotonic() - started < 20


def test_an_operator_s_header_is_made_light():
    light = light_operator(torch_headers() / "ATen" / "ops" / "empty_like.h")
    assert light is not None
    assert "inline at::Tensor empty_like(" in light
    assert [line for line in light.splitlines() if "#include" in line] == ["#include <ATen/ops/empty_like_ops.h>"]


@pytest.mark.parametrize("text", ["", "namespace at {\n}\n", "#include <ATen/ops/f_ops.h>\n"])
def test_a_header_of_another_form_is_left_to_the_full_headers(tmp_path, text):
    (tmp_path / "f.h").write_text(text)
    assert light_operator(tmp_path / "f.h") is None
    assert light_operator(tmp_path / "none.h") is None


def test_files_of_a_request_lie_where_its_arguments_say(tmp_path):
    folder = Path("/nowhere")
    request = {
        "function": "load",
        "arguments": {"sources": ["{folder}/sources/0.cpp"], "extra_include_paths": ["{folder}/include-0"]},
        "files": {},
    }
    assert folder not in tmp_path.parents
    assert compiling._placed(request["arguments"], tmp_path) == {
        "sources": [f"{tmp_path}/sources/0.cpp"],
        "extra_include_paths": [f"{tmp_path}/include-0"],
    }


@pytest.mark.parametrize(
    ("source", "included"),
    [
        ("cudaStream_t s = at::cuda::getCurrentCUDAStream();", True),
        ("C10_CUDA_KERNEL_LAUNCH_CHECK();", True),
        ("#include <ATen/cuda/CUDAContext.h>", True),
        ("cudaDeviceSynchronize();", False),
    ],
)
def test_headers_of_streams_are_for_sources_that_name_them(tmp_path, source, included):
    mark = tmp_path / "headers" / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h"
    mark.parent.mkdir(parents=True)
    mark.touch()
    write_stand_ins(source, tmp_path / "include", tmp_path / "headers")
    assert ("c10/cuda/CUDAStream.h" in (tmp_path / "include" / NAME).read_text()) is included
