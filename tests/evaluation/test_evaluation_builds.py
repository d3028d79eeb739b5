"""Compiling ahead what a candidate will ask for."""

import ctypes
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench import inline
from pytest_kernelbench.evaluation import builds, devices, messages
from pytest_kernelbench.evaluation.builds import BuildAhead, literal_sources
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive

RETURNS = "int kernel(void) {{ return {}; }}"


def candidate(*c_sources: str) -> str:
    return "\n".join(f"kernel_{n} = compile_c({source!r})" for n, source in enumerate(c_sources))


def build(cache, *modules):
    with BuildAhead(cache, 2) as ahead:
        return [future.result() for future in ahead.start(modules)]


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
    assert literal_sources(candidate(c_source)) == [("c", c_source)]


def test_a_build_is_left_where_a_candidate_will_look(tmp_path):
    source = RETURNS.format(42)
    assert build(tmp_path, candidate(source)) == [None]
    (library,) = tmp_path.iterdir()
    assert library.name == inline.artifact_name(source, "c")
    assert ctypes.CDLL(str(library)).kernel() == 42


def test_a_finished_build_is_not_made_again(tmp_path):
    source = RETURNS.format(1)
    build(tmp_path, candidate(source))
    (library,) = tmp_path.iterdir()
    before = library.stat().st_mtime_ns
    assert build(tmp_path, candidate(source), candidate(source)) == [None, None]
    assert library.stat().st_mtime_ns == before


def test_another_source_is_another_build(tmp_path):
    assert build(tmp_path, candidate(RETURNS.format(1), RETURNS.format(2))) == [None]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_compiler_s_words_come_back_and_its_neighbours_build(tmp_path):
    bad, good = build(tmp_path, candidate("int kernel(void) { return nothing; }"), candidate(RETURNS.format(3)))
    assert bad is not None
    assert "failed:" in bad
    assert "nothing" in bad
    assert good is None
    assert len(list(tmp_path.iterdir())) == 1


def test_a_source_that_cannot_be_written_is_the_candidate_s_fault(tmp_path):
    assert "surrogates not allowed" in build(tmp_path, "k = compile_c('\\ud800')")[0]


def commands_that_name(folder):
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            command = file.read_bytes()
            if str(folder).encode() in command:
                found.append(command)
    return found


def test_a_compiler_that_does_not_end_is_stopped_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(inline, "BUILD_TIMEOUT_S", 0.2)
    # Each line doubles the one before: 2^40 tokens.
    endless = "#define X0 1+1\n" + "".join(f"#define X{n} X{n - 1}+X{n - 1}\n" for n in range(1, 41))
    started = time.monotonic()
    complaint = build(tmp_path, candidate(f"{endless}long kernel(void) {{ return X40; }}"))[0]
    assert time.monotonic() - started < 10
    assert complaint is not None
    assert "timed out after 0.2" in complaint
    # A busy machine takes a while to end what was killed.
    while left := commands_that_name(tmp_path):
        assert time.monotonic() - started < 20, left
        time.sleep(0.05)


def test_the_same_source_built_twice_at_once_leaves_one_good_file(tmp_path):
    source = RETURNS.format(7)
    assert build(tmp_path, *[candidate(source)] * 4) == [None] * 4
    (library,) = tmp_path.iterdir()
    assert ctypes.CDLL(str(library)).kernel() == 7


class Builder:
    """A builder that answers one question with one file, or with its end where that is None."""

    def __init__(self, packed):
        self.connection, self._theirs = socket.socketpair()
        self._packed = packed
        self.question = None
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        self.question, _ = messages.receive(self._theirs)
        if self._packed is not None:
            with tempfile.TemporaryFile() as file:
                file.write(self._packed)
                file.flush()
                messages.send(self._theirs, {}, [file.fileno()])
        self._theirs.close()

    def kill(self):
        self._thread.join()
        self.connection.close()


USES_TRITON = "import triton"


@pytest.fixture
def with_triton(monkeypatch):
    monkeypatch.setattr(builds, "uses_triton", lambda source: source == USES_TRITON)
    monkeypatch.setattr(devices, "architecture", lambda device: "9.0")


def compile_ahead(cache, builder, device="cuda"):
    asked = []

    def fork():
        asked.append(builder)
        return builder

    with BuildAhead(cache, 1, device=device, task_source="the task", fork_builder=fork) as ahead:
        assert [future.result() for future in ahead.start([USES_TRITON, "import torch"])] == [None, None]
    return asked


def test_kernels_compiled_ahead_are_kept_for_their_candidate_and_task(tmp_path, with_triton):
    builder = Builder(b"kernels")
    assert compile_ahead(tmp_path, builder) == [builder]
    (archive,) = tmp_path.iterdir()
    assert archive.name == kernels_archive(USES_TRITON, "the task", "9.0")
    assert archive.read_bytes() == b"kernels"
    assert builder.question == {
        "ask": "compile_kernels",
        "candidate_source": USES_TRITON,
        "task_source": "the task",
        "architecture": "9.0",
    }
    assert compile_ahead(tmp_path, None) == []


def test_a_builder_that_ends_leaves_its_kernels_to_the_trial(tmp_path, with_triton):
    compile_ahead(tmp_path, Builder(None))
    assert not list(tmp_path.iterdir())


def test_on_a_cpu_no_kernel_is_compiled_ahead(tmp_path, with_triton):
    assert compile_ahead(tmp_path, None, device="cpu") == []
