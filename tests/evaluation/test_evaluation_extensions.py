"""``load_inline`` without torch's headers, and with them where that does not do."""

import pytest
import torch

from pytest_kernelbench.evaluation.builds import NAME
from pytest_kernelbench.evaluation.worker import extensions
from pytest_kernelbench.evaluation.worker.extensions import Extensions, extensions_folder, key_of, light_operator

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


@pytest.fixture
def installed(tmp_path, monkeypatch):
    from torch.utils import cpp_extension

    monkeypatch.setattr(cpp_extension, "load_inline", cpp_extension.load_inline)
    made = Extensions(tmp_path / "ready", tmp_path)
    made.install()
    return made


def load(name, source):
    from torch.utils import cpp_extension

    return cpp_extension.load_inline(name=name, cpp_sources=source, functions=["twice"])


def test_a_kernel_is_built_with_the_stand_ins(installed, tmp_path):
    module = load("quick", QUICK)
    assert module.twice(torch.tensor([1.0, -2.0]), 3.0, 4).tolist() == [6.0, -12.0]
    with pytest.raises(RuntimeError, match="n must be positive"):
        module.twice(torch.tensor([1.0]), 3.0, 0)
    ((key, path),) = installed.built.items()
    assert NAME.fullmatch(key)
    assert path.parent.name == "quick"


def test_what_the_stand_ins_lack_is_built_with_torch_s_headers(installed):
    assert load("full", FULL).twice(torch.tensor([1.0, -2.0])).tolist() == [2.0, 0.0]
    (path,) = installed.built.values()
    assert path.parent.name == "full"
    assert installed.complaint is None


def test_a_build_made_ahead_is_loaded_and_not_made_again(installed, tmp_path, monkeypatch):
    load("quick", QUICK)
    ((key, path),) = installed.built.items()
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / key).write_bytes(path.read_bytes())
    monkeypatch.setattr(installed, "_build", None)
    assert load("quick", QUICK).twice(torch.tensor([1.0]), 1.0, 1).tolist() == [2.0]


def test_installed_twice_it_stands_in_for_torch_s_own(installed, tmp_path):
    again = Extensions(None, tmp_path)
    again.install()
    assert again._real is installed._real


def test_another_source_or_flag_is_another_build():
    base = {"name": "a", "cpp_sources": "x", "functions": ["f"]}
    changed = [{"cpp_sources": "y"}, {"functions": ["g"]}, {"extra_cuda_cflags": ["-O1"]}, {"name": "b"}]
    assert len({key_of(base), *(key_of({**base, **change}) for change in changed)}) == 5
    assert key_of(base) == key_of({**base, "verbose": True})


def test_candidates_and_architectures_do_not_share_a_folder():
    folders = {extensions_folder(source, architecture) for source in "ab" for architecture in ("9.0", "")}
    assert len(folders) == 4


def test_an_operator_s_header_is_made_light():
    light = light_operator(extensions.torch_headers() / "ATen" / "ops" / "empty_like.h")
    assert light is not None
    assert "inline at::Tensor empty_like(" in light
    assert [line for line in light.splitlines() if "#include" in line] == ["#include <ATen/ops/empty_like_ops.h>"]


@pytest.mark.parametrize("text", ["", "namespace at {\n}\n", "#include <ATen/ops/f_ops.h>\n"])
def test_a_header_of_another_form_is_left_to_the_full_headers(tmp_path, text):
    (tmp_path / "f.h").write_text(text)
    assert light_operator(tmp_path / "f.h") is None
    assert light_operator(tmp_path / "none.h") is None
