"""torch's headers are reduced to the parts that a source names."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.worker.slim import METHODS, TENSOR, slim_headers, slim_methods, slim_tensor
from pytest_kernelbench.evaluation.worker.stand_ins import torch_headers

HEADER = (torch_headers() / TENSOR).read_text()
DEFINED = re.compile(r"^inline [^\n]*? Tensor::(\w+)\(", re.MULTILINE)
DECLARED = re.compile(r"^  [^\n(]*?[ &>](\w+)\([^\n]*\) const(?: &)?;$", re.MULTILINE)
OPERATORS = sorted({*DEFINED.findall(HEADER)} & {*DECLARED.findall(HEADER)})


def test_an_operator_is_kept_where_a_source_names_it():
    slim = slim_tensor(HEADER, {"cumsum"})
    assert len(slim) < len(HEADER) / 3
    for each in (DECLARED, DEFINED):
        assert each.findall(slim).count("cumsum") == each.findall(HEADER).count("cumsum") > 0
        assert "cumprod" not in each.findall(slim)


@settings(max_examples=10)
@given(st.sets(st.sampled_from(OPERATORS), max_size=8))
def test_what_is_declared_is_defined_and_what_it_calls_is_included(named):
    slim = slim_tensor(HEADER, named)
    declared, defined = ({*each.findall(slim)} & {*OPERATORS} for each in (DECLARED, DEFINED))
    assert named <= declared == defined
    included = re.findall(r"ops/(\w+)_ops\.h", slim_methods((torch_headers() / METHODS).read_text(), slim))
    structs = "\n".join((torch_headers() / "ATen" / "ops" / f"{name}_ops.h").read_text() for name in included)
    called = set(re.findall(r"at::_ops::(\w+)::call", slim))
    assert called <= set(re.findall(r"struct TORCH_API (\w+) ", structs))


def test_with_all_operators_named_the_class_is_torch_s_own():
    assert slim_tensor(HEADER, set(OPERATORS)) == HEADER


def test_complex_numbers_are_left_whole_where_a_source_may_use_them():
    for source in ("c10::complex<float> z;", "AT_DISPATCH_FLOATING_AND_COMPLEX_TYPES(", "#include <thrust/sort.h>"):
        assert "thrust/complex.h" not in slim_headers(source, torch_headers())
    assert "thrust/complex.h" in slim_headers("float z;", torch_headers())


def test_a_torch_of_another_form_is_left_as_it_is(tmp_path):
    assert slim_headers("float z;", tmp_path) == {}
