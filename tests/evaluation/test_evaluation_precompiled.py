"""A precompiled header for bindings: which builds it is for, that g++ takes it, and that nothing is lost without it."""

import importlib.util
import threading

import pytest
import torch

from pytest_kernelbench.evaluation.building import headers
from pytest_kernelbench.evaluation.worker import compiling, precompiled, slim
from pytest_kernelbench.evaluation.worker.compiling import Parts
from pytest_kernelbench.evaluation.worker.extensions import request_of
from pytest_kernelbench.evaluation.worker.stand_ins import torch_headers

TWICE = "torch::Tensor twice(torch::Tensor x) { return x + x; }"


def request(folder, source=TWICE, **others):
    return request_of("load_inline", {"name": "x", "cpp_sources": source, "functions": ["twice"], **others}, folder)


@pytest.mark.parametrize(
    ("others", "flags"),
    [
        ({}, ()),
        ({"extra_cflags": ["-O3"]}, ("-O3",)),
        ({"extra_cuda_cflags": ["--use_fast_math"], "cuda_sources": "__global__ void f() {}"}, ()),
        ({"extra_cflags": ["-O3", "-ffast-math"]}, None),
        ({"extra_cflags": ["-include", "/etc/passwd"]}, None),
        ({"no_implicit_headers": True}, None),
    ],
)
def test_a_header_is_for_bindings_with_common_flags(tmp_path, others, flags):
    assert precompiled.flags_of(request(tmp_path, **others)) == flags


def test_a_source_in_files_includes_what_it_likes_first(tmp_path):
    (tmp_path / "a.cpp").write_text("#include <vector>")
    asked = request_of("load", {"name": "x", "sources": [str(tmp_path / "a.cpp")]}, tmp_path)
    assert precompiled.flags_of(asked) is None


def test_other_flags_are_another_header():
    names = {precompiled.name_of(flags) for flags in precompiled.FLAGS}
    assert len(names) == len(precompiled.FLAGS)
    assert precompiled.name_of(()) == precompiled.name_of([])


def test_a_source_that_calls_an_operator_as_a_method_does_without(tmp_path):
    assert "cumsum" in slim.left_out(torch_headers())
    header = tmp_path / "header.gch"
    assert precompiled.offered(header, tmp_path, "torch::Tensor f(torch::Tensor x) { return x.cumsum(0); }") is None
    assert precompiled.offered(header, tmp_path, "torch::Tensor cumsum(torch::Tensor x);") is not None


def test_a_torch_of_another_form_leaves_nothing_out(tmp_path):
    assert slim.left_out(tmp_path) == frozenset()


def test_the_second_source_that_could_use_a_header_has_it_made(tmp_path):
    begun, asked = [], request(tmp_path)
    # The first may have to be tried again.
    for _ in range(2):
        assert headers.fitting(asked, "key", tmp_path, begun.append) is None
        assert begun == []
    assert headers.fitting(asked, "another", tmp_path, begun.append) is None
    assert begun == [()]
    header, _ = headers.places_of((), tmp_path)
    header.touch()
    assert headers.fitting(asked, "a third", tmp_path, begun.append) == header
    assert begun == [()]


def test_a_header_that_the_compiler_does_not_make_is_asked_for_once(tmp_path):
    begun, asked = [], request(tmp_path)
    _, complaint = headers.places_of((), tmp_path)
    complaint.touch()
    for key in "abc":
        assert headers.fitting(asked, key, tmp_path, begun.append) is None
    assert begun == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return compiling.build_header([], tmp_path_factory.mktemp("header"))


def built(folder, monkeypatch, header, source=TWICE):
    """What the extension of a source answers, and what its compilers said, among it the headers that they read."""
    said, turn, run = [], threading.Lock(), Parts._run

    def heard(self, command, place):
        returncode, log = run(self, command.replace(" -c ", " -H -c "), place)
        with turn:
            said.append(log)
        return returncode, log

    monkeypatch.setattr(Parts, "_run", heard)
    library = compiling.build(request(folder, source), "x", folder, header=header)
    spec = importlib.util.spec_from_file_location("x", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice(torch.tensor([1.0, -2.0])).tolist(), said


@pytest.mark.slow
def test_a_binding_is_built_with_the_header(tmp_path, monkeypatch, made):
    answer, (compiler, _) = built(tmp_path, monkeypatch, made)
    assert answer == [2.0, -4.0]
    assert compiler.startswith(f"! {tmp_path / 'include' / precompiled.HEADER}.gch\n")
    assert "pybind11.h" not in compiler


@pytest.mark.slow
def test_a_mistake_is_said_as_without_the_header(tmp_path, made):
    wrong = "torch::Tensor twice(torch::Tensor x) { return nowhere_at_all(x); }"
    complaints = []
    for header in (made, None):
        folder = tmp_path / str(header is None)
        folder.mkdir()
        with pytest.raises(compiling.BuildFailed) as raised:
            compiling.build(request(folder, wrong), "x", folder, header=header)
        complaints.append((raised.value.complaint.splitlines()[0], raised.value.final))
    assert complaints[0] == complaints[1]


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [0, 5, 100, 10_000_000])
def test_a_header_that_is_cut_short_is_not_missed(tmp_path, monkeypatch, made, n_bytes):
    cut = tmp_path / "cut.gch"
    with made.open("rb") as whole:
        cut.write_bytes(whole.read(n_bytes))
    answer, said = built(tmp_path, monkeypatch, cut)
    assert answer == [2.0, -4.0]
    assert "pybind11.h" in said[-2]


def test_a_header_that_is_gone_is_not_missed(tmp_path, monkeypatch):
    answer, (compiler, _) = built(tmp_path, monkeypatch, tmp_path / "gone.gch")
    assert answer == [2.0, -4.0]
    assert "pybind11.h" in compiler


def test_a_compiler_that_makes_no_header_says_so(tmp_path):
    with pytest.raises(compiling.BuildFailed, match="no-such-flag"):
        compiling.build_header(["--no-such-flag"], tmp_path)
