"""The errors of compilers, found among commands, notes and warnings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.inline.complaints import MAX_LOG, error_lines, errors_first, first_error

COMMAND = "/usr/local/cuda/bin/nvcc -MD -MF cuda.cuda.o.d -DTORCH_EXTENSION_NAME=a " + "-isystem /usr/include " * 200
GPP = f"""[1/3] c++ -MMD -c /tmp/x/full/main.cpp -o main.o
FAILED: main.o
c++ -MMD -c /tmp/x/full/main.cpp -o main.o {COMMAND}
In file included from /opt/torch/include/torch/extension.h:5,
                 from /tmp/x/full/main.cpp:1:
/tmp/x/full/main.cpp:2:1: warning: unused variable 'error' [-Wunused-variable]
/tmp/x/full/main.cpp: In function 'at::Tensor halve(at::Tensor)':
/tmp/x/full/main.cpp:3:64: error: expected ';' before 'is'
    3 | torch::Tensor halve(torch::Tensor x) {{ this is no C++; }}
      |                                              ^~~
/tmp/x/full/main.cpp:9:1: error: 'nothing' was not declared in this scope
ninja: build stopped: subcommand failed.
"""
NVCC = f"""[1/2] {COMMAND}
FAILED: cuda.cuda.o
/tmp/x/quick/cuda.cu(12): error: identifier "undefined_thing" is undefined
    x[0] = undefined_thing;
           ^
/tmp/x/quick/cuda.cu(14): warning #177-D: variable "error" was declared but never referenced
2 errors detected in the compilation of "/tmp/x/quick/cuda.cu".
"""
UNDEFINED = "main.cpp:(.text+0x5): undefined reference to `g'"
PTXAS = "ptxas error   : Entry function '_Z1kPf' uses too much shared data (0x61a80 bytes, 0xc000 max)\n"


@pytest.mark.parametrize(
    ("log", "first"),
    [
        (GPP, "main.cpp:3:64: error: expected ';' before 'is'"),
        (NVCC, 'cuda.cu(12): error: identifier "undefined_thing" is undefined'),
        (PTXAS, PTXAS.strip()),
        ("nvcc fatal   : Unknown option '--nosuch'", "nvcc fatal   : Unknown option '--nosuch'"),
        ("/tmp/a/b.cpp:2:10: fatal error: no.h: No such file", "b.cpp:2:10: fatal error: no.h: No such file"),
        (f"main.o: in function `f':\n{UNDEFINED}", UNDEFINED),
        ("/usr/bin/ld: cannot find -lnosuch: No such file", "ld: cannot find -lnosuch: No such file"),
        ("kernel.c:1:5: error: too few arguments", "kernel.c:1:5: error: too few arguments"),
        ("ninja: build stopped: subcommand failed.", None),
        ("SyntaxError: '(' was never closed", None),
        ("", None),
    ],
)
def test_the_first_error_is_told_with_its_file_and_line(log, first):
    assert first_error(log) == first


def test_errors_stand_before_anything_else_and_once():
    log = errors_first(GPP + GPP)
    assert log.startswith("main.cpp:3:64: error: expected ';' before 'is'\nmain.cpp:9:1: error: 'nothing' was not")
    assert log.count("expected ';'") == 1
    assert "In function 'at::Tensor halve" in log
    assert len(log) <= MAX_LOG


def test_a_log_with_more_errors_than_there_is_room_keeps_the_first():
    log = errors_first("\n".join(f"a.cpp:{line}:1: error: {'x' * 90}" for line in range(1, 200)))
    assert log.startswith("a.cpp:1:1: error: ")
    assert len(log) <= MAX_LOG


@given(st.text(max_size=300), st.integers(10, 500))
def test_any_log_becomes_one_of_at_most_the_length_asked_for(text, limit):
    assert len(errors_first(text, limit)) <= limit


@given(st.lists(st.sampled_from([*GPP.splitlines(), *NVCC.splitlines(), *PTXAS.splitlines()]), max_size=30))
def test_every_error_of_a_short_log_is_kept_whatever_is_around_it(lines):
    log = "\n".join(lines)
    assert all(line in errors_first(log).splitlines() for line in error_lines(log))
