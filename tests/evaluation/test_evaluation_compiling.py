"""Extensions built from requests: with stand-ins for torch's headers, and with torch's own where those do not do."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pytest_kernelbench.evaluation.worker import compiling
from pytest_kernelbench.evaluation.worker.extensions import key_of, request_of
from pytest_kernelbench.evaluation.worker.stand_ins import light_operator, torch_headers

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


def built(folder, *sources):
    """The module of an extension, and whether stand-ins did."""
    request = request_of("load_inline", {"name": "x", "cpp_sources": [*sources], "functions": ["twice"]}, folder)
    library = compiling.build(request, f"extension_{key_of(request, '')}", folder)
    spec = importlib.util.spec_from_file_location(library.stem, library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, library.parent.name


def test_a_kernel_is_built_with_the_stand_ins(tmp_path):
    module, headers = built(tmp_path, QUICK)
    assert headers == "quick"
    assert module.twice(torch.tensor([1.0, -2.0]), 3.0, 4).tolist() == [6.0, -12.0]
    with pytest.raises(RuntimeError, match="n must be positive"):
        module.twice(torch.tensor([1.0]), 3.0, 0)


def test_what_the_stand_ins_lack_is_built_with_torch_s_headers(tmp_path):
    # In a list, into which torch puts headers of its own.
    module, headers = built(tmp_path, FULL)
    assert headers == "full"
    assert module.twice(torch.tensor([1.0, -2.0])).tolist() == [2.0, 0.0]


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
