"""The steps of a build are told apart by their commands, and sources are read without running anything."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import build_phases

CANDIDATE = """
from torch.utils.cpp_extension import load_inline

declared = "torch::Tensor twice(torch::Tensor x);"
raise SystemExit("a candidate that is run ends here")


class ModelNew:
    def __init__(self):
        source = '''torch::Tensor twice(torch::Tensor x) { return x + x; }'''
        self.module = load_inline(
            name="a", cpp_sources=declared, cuda_sources=[source], functions=["twice"], extra_cuda_cflags=["-O3"]
        )
"""


def test_sources_and_flags_are_read_where_they_are_literals():
    (request,) = build_phases.requests_of(CANDIDATE)
    arguments = request["arguments"]
    assert arguments["cpp_sources"] == ["torch::Tensor twice(torch::Tensor x);"]
    assert arguments["cuda_sources"] == ["torch::Tensor twice(torch::Tensor x) { return x + x; }"]
    assert (arguments["functions"], arguments["extra_cuda_cflags"]) == (["twice"], ["-O3"])


@pytest.mark.parametrize("source", ["x = '''", "load_inline(name='a', cpp_sources=made(), functions=['f'])", "x = 1"])
def test_a_source_that_is_made_at_run_time_is_left_out(source):
    assert list(build_phases.requests_of(source)) == []


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ('gcc -std=c++17 -D__CUDA_ARCH__=900 -E -x c++ "cuda.cu" -o "cuda.cpp1.ii"', "nvcc: preprocessor, device"),
        ('gcc -std=c++17 -E -x c++ "cuda.cu" -o "cuda.cpp4.ii"', "nvcc: preprocessor, host"),
        ('cudafe++ --c++17 "cuda.cpp4.ii"', "nvcc: cudafe++ (host parser)"),
        ('"$CICC_PATH/cicc" --c++17 -arch compute_90 "cuda.cpp1.ii"', "nvcc: cicc (device parser and code)"),
        ('ptxas -arch=sm_90 "cuda.ptx"', "nvcc: ptxas"),
        ('fatbinary --create="cuda.fatbin"', "nvcc: fatbinary"),
        ('gcc -std=c++17 -D__CUDA_ARCH__=900 -c -x c++ "cuda.cudafe1.cpp" -o "x.o"', "nvcc: g++ (host code)"),
    ],
)
def test_a_step_of_nvcc_is_told_by_its_command(step, phase):
    assert phase in build_phases.PHASES
    assert build_phases.phase_of(step) == phase


def test_the_phases_of_g_plus_plus_add_up_to_its_command(tmp_path):
    (tmp_path / "main.cpp").write_text("#include <vector>\nint f() { return std::vector<int>(3).size(); }\n")
    phases = build_phases.host_phases("c++ -c main.cpp -o main.o", tmp_path)
    assert list(phases) == ["g++: preprocessor", "g++: parser", "g++: code"]
    assert sum(phases.values()) > 0
    assert (tmp_path / "main.o").exists()


def test_what_does_not_compile_has_no_phases(tmp_path):
    (tmp_path / "main.cpp").write_text("int f() { return nowhere; }\n")
    assert build_phases.host_phases("c++ -c main.cpp -o main.o", tmp_path) == {}


def test_the_table_has_the_median_and_the_number_of_sources_of_each_phase(capsys):
    rows = [
        {"headers": "stand-ins", "phases": {"g++: parser": 1.0, "link": 1.0}},
        {"headers": "stand-ins", "phases": {"g++: parser": 3.0}},
        {"headers": "torch's own", "phases": {"link": 2.0}},
    ]
    build_phases.print_table(rows)
    lines = capsys.readouterr().out.splitlines()
    assert "| CPU s, median (sources) | stand-ins | torch's own |" in lines
    assert "| g++: parser | 2.00 (2) |  |" in lines
    assert "| all, where a library is made | 2.0 (1) | 2.0 (1) |" in lines
