"""``load_inline`` and ``load`` in a candidate's process: a request for an unknown extension, and its result."""

import subprocess
import sysconfig
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.worker.extensions import (
    ANY_NAME,
    Extensions,
    key_of,
    module_name,
    names_of,
    request_of,
)

# What torch's binding comes to, without 7 s of its headers.
MODULE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "NAME", 0, -1, methods};
PyMODINIT_FUNC PyInit_NAME(void) { return PyModule_Create(&definition); }
"""


@pytest.fixture
def built_for(tmp_path, monkeypatch):
    """Stand-ins for torch's functions, whose requests are met with a library or a complaint; with the requests."""
    from torch.utils import cpp_extension

    for name in ("load", "load_inline"):
        monkeypatch.setattr(cpp_extension, name, getattr(cpp_extension, name))
    known, folder = tmp_path / "known", tmp_path / "folder"
    known.mkdir()
    folder.mkdir()
    monkeypatch.chdir(folder)
    requests = []

    def have_built(request):
        requests.append(request)
        library, complaint = names_of(key_of(request, ""))
        if "bad" in str(request):
            (known / complaint).write_text("main.cpp:1:1: error: bad")
            return
        source = tmp_path / "module.c"
        source.write_text(MODULE.replace("NAME", module_name(request, key_of(request, ""))))
        include = sysconfig.get_path("include")
        subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", source, "-o", known / library], check=True)

    made = Extensions(known, folder, "", have_built)
    made.install()
    return made, requests, folder


def test_what_is_not_known_is_asked_for_once(built_for):
    from torch.utils.cpp_extension import load_inline

    _, requests, _ = built_for
    for name in ("one", "other"):
        module = load_inline(name=name, cpp_sources="good", functions=["answer"], verbose=True)
        assert (module.answer(), module.__name__) == (42, name)
    (request,) = requests
    assert request == {
        "function": "load_inline",
        "arguments": {"name": ANY_NAME, "cpp_sources": ["good"], "functions": ["answer"]},
        "files": {},
    }


def test_a_build_that_fails_raises_as_torch_s_does_each_time_and_is_asked_for_once(built_for):
    from torch.utils.cpp_extension import load_inline

    made, requests, _ = built_for
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^Error building extension 'x':\nmain\.cpp:1:1: error: bad$") as raised:
            load_inline("x", ["bad"])
        assert made.raised is raised.value
    assert len(requests) == 1


def test_arguments_that_torch_does_not_know_raise_what_torch_raises(built_for):
    from torch.utils.cpp_extension import load_inline

    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such'"):
        load_inline(name="x", cpp_sources="good", no_such=1)


def test_installed_twice_it_stands_in_for_torch_s_own(built_for):
    made, _, folder = built_for
    again = Extensions(folder, folder, "", lambda request: None)
    again.install()
    assert again._real == made._real


def test_sources_in_files_are_read_with_the_headers_beside_them_whatever_the_files_are_called(built_for):
    from torch.utils.cpp_extension import load

    _, requests, folder = built_for
    for name in ("first", "second"):
        place = folder / name
        (place / "include").mkdir(parents=True)
        (place / f"{name}.cpp").write_text("good")
        (place / "beside.h").write_text("beside")
        (place / "include" / "other.cuh").write_text("other")
        (place / "notes.txt").write_text("not a source")
        module = load(name, str(place / f"{name}.cpp"), extra_include_paths=[place / "include", "/usr/include"])
        assert module.answer() == 42
    (request,) = requests
    assert request["arguments"] == {
        "name": ANY_NAME,
        "sources": ["{folder}/sources/0.cpp"],
        "extra_include_paths": ["{folder}/include-0", "/usr/include"],
    }
    assert request["files"] == {
        "sources/0.cpp": "good",
        "sources/beside.h": "beside",
        "include-0/other.cuh": "other",
    }


def test_threads_that_ask_for_one_build_all_get_it(built_for):
    from torch.utils.cpp_extension import load_inline

    answers = []
    threads = [threading.Thread(target=lambda: answers.append(load_inline("x", "good").answer())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [42] * 3


def request(folder, **changed):
    arguments = {"name": "a", "cpp_sources": ["x"], "functions": ["f"], **changed}
    return request_of("load_inline", arguments, folder)


@given(st.lists(st.text()), st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_nothing_that_a_caller_gives_is_kept_or_changed(tmp_path_factory, sources, flags, functions):
    given_ = {"name": "a", "cpp_sources": [*sources], "extra_cflags": [*flags], "functions": {**functions}}
    made = request_of("load_inline", given_, tmp_path_factory.getbasetemp())
    made["arguments"]["cpp_sources"].append("more")
    made["arguments"]["functions"]["more"] = "more"
    assert given_ == {"name": "a", "cpp_sources": sources, "extra_cflags": flags, "functions": functions}


@pytest.mark.parametrize(
    "changed",
    [
        {"cpp_sources": ["y"]},
        {"cuda_sources": "y"},
        {"functions": ["g"]},
        {"extra_cuda_cflags": ["-O1"]},
        {"extra_ldflags": ["-lm"]},
        {"with_cuda": True},
        {"is_python_module": False},
        {"no_implicit_headers": True},
    ],
)
def test_another_source_or_flag_is_another_build(tmp_path, changed):
    assert key_of(request(tmp_path), "") != key_of(request(tmp_path, **changed), "")


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "b"},
        {"verbose": True},
        {"build_directory": "/somewhere"},
        {"with_cuda": None},
        {"cpp_sources": "x"},
        {"extra_cflags": []},
    ],
)
def test_what_changes_no_machine_code_is_the_same_build(tmp_path, changed):
    assert key_of(request(tmp_path), "") == key_of(request(tmp_path, **changed), "")


@pytest.mark.parametrize(
    "changed", [{"cpp_sources": "TORCH_LIBRARY(a, m)"}, {"cpp_sources": "int a;"}, {"is_python_module": False}]
)
def test_a_name_that_something_may_depend_on_is_kept(tmp_path, changed):
    assert request(tmp_path, **changed)["arguments"]["name"] == "a"


def test_another_gpu_is_another_build(tmp_path):
    assert key_of(request(tmp_path), "9.0") != key_of(request(tmp_path), "8.0")


@pytest.mark.parametrize("changed", [{"is_standalone": True}, {"with_sycl": True}, {"sycl_sources": "x"}])
def test_what_only_torch_can_do_is_left_to_it(tmp_path, changed):
    assert request(tmp_path, **changed) is None
