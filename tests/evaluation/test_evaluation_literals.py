"""Sources that a candidate compiles with literal arguments are found by parsing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.building.literals import literal_sources


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("k = compile_c('int x;')", [("c", "int x;")]),
        ("from pytest_kernelbench import inline\nk = inline.compile_c('int x;')", [("c", "int x;")]),
        ("source = 'int x;'\nk = compile_cuda(source)", [("cuda", "int x;")]),
        ("a = b = 'int x;'\nk = compile_c(b)", [("c", "int x;")]),
        ("class M:\n    def forward(self):\n        return compile_c('int x;')", [("c", "int x;")]),
        ("k = compile_c('int x;')\nl = compile_cuda('int y;')", [("c", "int x;"), ("cuda", "int y;")]),
        ("def f():\n    source = 'local'\n    return compile_c(source)", []),
        ("k = compile_c(f'int {name};')", []),
        ("k = compile_c(3)", []),
        ("k = compile_c()", []),
        ("k = compile_c('a', 'b')", []),
        ("k = other('int x;')", []),
        ("k = table['compile_c']('int x;')", []),
        ("import torch", []),
        ("not Python (", []),
        ("x = '\0'", []),
        ("x = " + "-" * 20_000 + "1", []),
        ("x = " + "(" * 5_000, []),
    ],
)
def test_literal_sources_are_found_by_parsing(module, found):
    assert literal_sources(module) == found


@given(st.text())
def test_any_text_can_be_searched(module):
    literal_sources(module)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_is_found_as_it_would_be_passed(c_source):
    assert literal_sources(f"kernel = compile_c({c_source!r})") == [("c", c_source)]
