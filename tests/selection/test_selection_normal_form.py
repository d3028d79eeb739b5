"""Programs that differ in nothing that counts have one normal form, and others have others."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.selection.normal_form import normal_form, normal_form_of_c

ONE = '''
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    """Fast."""
    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the sum, in one go
        total = torch.sum(x, dim=self.dim, keepdim=True)
        return x / (total + 1e-6)
'''
SPELT_OTHERWISE = """
import torch
import torch.nn as nn
class ModelNew(nn.Module):
    def __init__(self, axis=2):
        super().__init__()
        self.axis = axis
    def forward(self, values):
        s = torch.sum(values, dim=self.axis,
                      keepdim=True)
        return values / (s + 1e-8)
"""

KERNEL = """
from pytest_kernelbench.inline import compile_c
f = compile_c('''{}''')
"""
LOOP = "void kernel(const float *x, float *y, long n) { for (long i = 0; i < n; i++) y[i] = expf(x[i]); }"
RENAMED = (
    "void kernel(const float *in, float *out, long m)\n{ // all\n for (long k = 0; k < m; k++) out[k] = expf(in[k]); }"
)


def test_names_comments_annotations_and_constants_do_not_count():
    assert normal_form(ONE) == normal_form(SPELT_OTHERWISE)


@pytest.mark.parametrize(
    "other", [ONE.replace("torch.sum", "torch.amax"), ONE.replace("x / ", "x * "), ONE.replace("dim=self.dim, ", "")]
)
def test_what_a_program_calls_and_computes_counts(other):
    assert normal_form(ONE) != normal_form(other)


def test_a_kernel_in_another_language_is_part_of_the_program():
    assert normal_form(KERNEL.format(LOOP)) == normal_form(KERNEL.format(RENAMED))
    assert normal_form(KERNEL.format(LOOP)) != normal_form(KERNEL.format(LOOP.replace("expf", "tanhf")))
    assert normal_form(KERNEL.format(LOOP)) != normal_form(KERNEL.format("#pragma omp parallel for\n" + LOOP))


def test_a_function_of_the_kernel_s_own_may_have_any_name():
    code = "static float act(float v) {{ return v > 0.5f ? v : 0; }} void kernel(float *y) {{ y[0] = {}(y[0]); }}"
    one, other = code.format("act"), code.replace("act", "relu").format("relu")
    assert normal_form_of_c(one) == normal_form_of_c(other)
    assert "0.5" not in normal_form_of_c(one)


def test_what_is_no_python_is_its_own_form():
    assert normal_form("def (") == "def ("


@given(names=st.lists(st.from_regex(r"local_[a-z]{1,6}", fullmatch=True), min_size=3, max_size=3, unique=True))
def test_any_names_give_the_same_form(names):
    a, b, c = names
    source = f"def {a}({b}):\n    {c} = {b} + 1\n    return sum({c} for {c} in range({b}))\n"
    other = "def f(x):\n    y = x + 2\n    return sum(y for y in range(x))\n"
    assert normal_form(source) == normal_form(other)
    assert ast.parse(source)
