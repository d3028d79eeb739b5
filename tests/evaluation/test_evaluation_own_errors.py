"""Compiler errors that no header can cure are told apart from errors that torch's own headers may cure."""

import pytest

from pytest_kernelbench.evaluation.worker.own_errors import are_own

TWO = """main.cpp:3:4: error: 'known_name' does not name a type
main.cpp:9:1: error: 'nowhere' has not been declared"""


TWO_BINDINGS = """main.cpp:20:37: error: \u2018known_name\u2019 is not a member of \u2018at::cuda\u2019
main.cpp:77:1: error: redefinition of \u2018PyObject* PyInit_x()\u2019"""


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headers")
    (folder / "ATen").mkdir()
    (folder / "ATen" / "Known.h").write_text("struct known_name {};\nint known_number;\nint threadIdx;\n")
    return [folder]


@pytest.mark.parametrize(
    ("log", "source", "own"),
    [
        ("cuda.cu(12): error: identifier \"nowhere\" is undefined", "", True),
        ("cuda.cu(12): error: identifier \"known_name\" is undefined", "", False),
        ("cuda.cu(12): error: identifier \"known\" is undefined", "", True),  # a part of a name is none
        ("cuda.cu(12): error: namespace \"at\" has no member \"known_name\"", "", False),
        ("cuda.cu(12): error: namespace \"at\" has no member \"nowhere\"", "", True),
        ("/tmp/x/main.cpp:3:4: error: \u2018nowhere\u2019 was not declared in this scope", "", True),
        ("main.cpp:3:4: error: 'known_number' was not declared in this scope", "", False),
        ("main.cpp:3:4: error: 'known_name' is not a member of 'at'", "", False),
        (TWO, "", True),
        (TWO_BINDINGS, "", True),
        ("main.cpp:35:29: error: 'threadIdx' was not declared in this scope", "", True),
        ("cuda.cu(35): error: identifier \"threadIdx\" is undefined", "", False),
        ("cuda.cu(86): error: no suitable conversion function from \"const at::T\" to \"c10::S\" exists", "", True),
        ("main.cpp:3:4: error: expected ';' before 'x'", "int f() { return 1 }", True),
        ("cuda.cu(3): error: expected a \";\"", "int f() { return 1 }", True),
        ("cuda.cu(3): error: expected a \";\"", "LAUNCH_BOUNDS(128) void f();", False),  # a header may define it
        ("cuda.cu(3): error: expected a \";\"", "#define LAUNCH(x) x\nLAUNCH(128) void f()", True),
        ("main.cpp:35:1: error: redefinition of 'PyObject* PyInit_x()'", "LAUNCH(1)", True),
        ("ptxas error   : Entry function uses too much shared data", "", True),
        ("/opt/torch/ATen/Known.h(3): error: identifier \"nowhere\" is undefined", "", False),
        ("main.cpp:3:4: error: no matching function for call to 'f(int)'", "", False),
        ("main.cpp:1:10: fatal error: no.h: No such file or directory", "", False),
        ("c++: fatal error: Killed signal terminated program cc1plus", "", False),
        ("", "", False),
    ],
)  # fmt: skip
def test_an_error_is_the_source_s_own_where_no_header_could_mend_it(headers, log, source, own):
    assert are_own(log, source, headers) is own
