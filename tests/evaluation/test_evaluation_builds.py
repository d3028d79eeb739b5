"""Compiling ahead what a candidate will ask for."""

import ctypes
import os
import shutil
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
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import messages
from pytest_kernelbench.evaluation.building import builds
from pytest_kernelbench.evaluation.building.builds import Builders, Built, Target, literal_sources
from pytest_kernelbench.evaluation.worker import loop
from pytest_kernelbench.evaluation.worker.extensions import key_of, names_of
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive

RETURNS = "int kernel(void) {{ return {}; }}"


def candidate(*c_sources: str) -> str:
    return "\n".join(f"kernel_{n} = compile_c({source!r})" for n, source in enumerate(c_sources))


def build(cache, *modules):
    target = Target(device="cpu", id="made-up", architecture="", gpu=None)
    with Builders(cache, target, lambda: Compiler(cache), jobs=2) as made:
        return [future.result().complaint for future in [made.ahead("the task", module) for module in modules]]


def libraries_in(cache):
    return [path for path in cache.iterdir() if path.is_file()]


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
    (library,) = libraries_in(tmp_path)
    assert library.name == inline.artifact_name(source, "c")
    assert ctypes.CDLL(str(library)).kernel() == 42


def test_a_finished_build_is_not_made_again(tmp_path):
    source = RETURNS.format(1)
    build(tmp_path, candidate(source))
    (library,) = libraries_in(tmp_path)
    before = library.stat().st_ino
    assert build(tmp_path, candidate(source), candidate(source)) == [None, None]
    assert library.stat().st_ino == before


def test_another_source_is_another_build(tmp_path):
    assert build(tmp_path, candidate(RETURNS.format(1), RETURNS.format(2))) == [None]
    assert len(libraries_in(tmp_path)) == 2


def test_the_compiler_s_words_come_back_and_its_neighbours_build(tmp_path):
    bad, good = build(tmp_path, candidate("int kernel(void) { return nothing; }"), candidate(RETURNS.format(3)))
    assert bad is not None
    assert "failed:" in bad
    assert "nothing" in bad
    assert good is None
    assert sorted(path.suffix for path in libraries_in(tmp_path)) == [".so", ".txt"]


def test_what_does_not_compile_is_not_compiled_again_and_may_be_caught(tmp_path, monkeypatch):
    bad = candidate("int kernel(void) { return nothing; }")
    (said,) = build(tmp_path, bad)
    monkeypatch.setattr(inline, "_run", None)
    assert build(tmp_path, bad) == [said]
    assert said.splitlines()[1].startswith("kernel.c:1:27: error: ")
    caught = f"try:\n    {bad}\nexcept RuntimeError:\n    kernel_0 = None"
    assert build(tmp_path, caught) == [None]
    monkeypatch.setattr(inline, "_cache_folders", [tmp_path])
    with pytest.raises(RuntimeError, match="nothing"):
        inline.compile_c("int kernel(void) { return nothing; }")


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
    (library,) = libraries_in(tmp_path)
    assert ctypes.CDLL(str(library)).kernel() == 7


class Builder:
    """A builder that gives its answers one after the other, each with its files, and ends."""

    def __init__(self, *answers):
        self.connection, self._theirs = socket.socketpair()
        self._answers = answers
        self.questions = []
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with self._theirs, suppress(messages.ConnectionEnded):
            for answer, *contents in self._answers:
                self.questions.append(messages.receive(self._theirs)[0])
                with tempfile.TemporaryFile() as file:
                    for content in contents:
                        file.write(content)
                        file.flush()
                    messages.send(self._theirs, answer, [file.fileno()] * len(contents))

    def kill(self):
        self._thread.join()
        self.connection.close()


class Compiler:
    """A builder that compiles what it is asked for, in this process, in a folder of the cache."""

    def __init__(self, cache):
        self.connection, self._theirs = socket.socketpair()
        self._folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=cache))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with self._theirs, suppress(messages.ConnectionEnded):
            question, _ = messages.receive(self._theirs)
            try:
                answer = loop._Bench("cpu", self._folder, self._theirs).compile(question, [])
            except Exception as error:
                answer = {"raised": str(error), "kind": type(error).__name__}
            files = [os.open(path, os.O_RDONLY) for path in answer.pop("files", ())]
            messages.send(self._theirs, answer, files)
            for file in files:
                os.close(file)

    def kill(self):
        self._thread.join()
        self.connection.close()
        shutil.rmtree(self._folder)


USES_TRITON, USES_EXTENSIONS = "import triton", "load_inline"
H100 = {"name": "H100"}


@pytest.fixture
def with_triton(monkeypatch):
    monkeypatch.setattr(builds, "uses_triton", lambda source: source == USES_TRITON)


def builders(cache, *started, device="cuda"):
    """Builders that get these processes, one after the other."""
    left = list(started)
    target = Target(device=device, id="made-up", architecture="9.0", gpu=H100)
    return Builders(cache, target, lambda: left.pop(0), jobs=2)


def ahead(cache, source, *started, device="cuda"):
    with builders(cache, *started, device=device) as made:
        return made.ahead("the task", source).result()


def test_a_candidate_that_builds_nothing_costs_nothing(tmp_path, with_triton):
    assert ahead(tmp_path, "import torch") == Built()
    assert libraries_in(tmp_path) == []


def test_kernels_compiled_ahead_are_kept_for_their_candidate_and_task(tmp_path, with_triton):
    builder = Builder(({}, b"kernels"))
    assert ahead(tmp_path, USES_TRITON, builder).complaint is None
    archive = tmp_path / kernels_archive(USES_TRITON, "the task", "9.0")
    assert archive.read_bytes() == b"kernels"
    assert builder.questions == [
        {
            "ask": "explore",
            "candidate_source": USES_TRITON,
            "task_source": "the task",
            "architecture": "9.0",
            "gpu": H100,
            "triton": True,
            "cache": str(tmp_path),
        }
    ]
    # It is not gone through again.
    assert ahead(tmp_path, USES_TRITON).complaint is None


def test_a_builder_that_ends_leaves_its_kernels_to_the_trial(tmp_path, with_triton):
    assert ahead(tmp_path, USES_TRITON, Builder()).complaint is None
    assert not list(tmp_path.glob("kernels-*"))


def test_on_a_cpu_no_kernel_is_compiled_ahead(tmp_path, with_triton):
    assert ahead(tmp_path, USES_TRITON, device="cpu") == Built()


REQUEST = {"function": "load_inline", "arguments": {"name": "", "cpp_sources": ["x"]}, "files": {}}
LIBRARY, COMPLAINT = names_of(key_of(REQUEST, "9.0"))
FAILED = {"complaint": "main.cpp:1:1: error: x", "final": True}


def wanted(cache, request, *started, so_far=None):
    with builders(cache, *started) as made:
        return made.wanted(request, so_far or Built()).result()


def test_what_a_candidate_asks_for_on_the_way_is_built_by_another_process_and_kept(tmp_path):
    explorer, builder = Builder(({"wanted": REQUEST},), ({},)), Builder(({}, b"library"))
    assert ahead(tmp_path, USES_EXTENSIONS, explorer, builder).complaint is None
    assert (tmp_path / LIBRARY).read_bytes() == b"library"
    assert [each["ask"] for each in builder.questions] == ["build"]
    assert builder.questions[0]["request"] == REQUEST
    assert explorer.questions[1:] == [{"built": True}]


def test_a_build_that_fails_and_that_nothing_catches_ends_the_candidate_once_and_for_all(tmp_path):
    explorer = Builder(({"wanted": REQUEST},), ({"complaint": "Error building extension"},))
    assert ahead(tmp_path, USES_EXTENSIONS, explorer, Builder((FAILED,))).complaint == "Error building extension"
    assert (tmp_path / COMPLAINT).read_text() == FAILED["complaint"]
    assert ahead(tmp_path, USES_EXTENSIONS).complaint == "Error building extension"


def test_a_build_that_fails_and_is_caught_does_not_end_the_candidate(tmp_path):
    explorer = Builder(({"wanted": REQUEST},), ({},))
    assert ahead(tmp_path, USES_EXTENSIONS, explorer, Builder((FAILED,))).complaint is None


def test_a_trial_s_build_is_made_once_for_all_that_ask(tmp_path):
    assert wanted(tmp_path, REQUEST, Builder(({}, b"library"))).trials == 1
    again = wanted(tmp_path, REQUEST, so_far=Built(trials=1, seconds=3.0))
    assert (again.complaint, again.trials) == (None, 2)
    assert again.seconds >= 3


def test_what_fails_for_a_reason_of_the_machine_s_is_tried_again_by_the_next(tmp_path):
    killed = Builder(({"complaint": "c++: fatal error: Killed signal terminated program cc1plus", "final": False},))
    assert "Killed signal" in wanted(tmp_path, REQUEST, killed).complaint
    assert wanted(tmp_path, REQUEST, Builder(({}, b"library"))).complaint is None


def test_all_builds_of_a_candidate_have_one_limit(tmp_path):
    class Silent(Builder):
        def _answer(self):
            with self._theirs:
                messages.receive(self._theirs)
                with suppress(messages.ConnectionEnded):
                    messages.receive(self._theirs)

        def kill(self):
            self.connection.close()
            self._thread.join()

    stopped = wanted(tmp_path, REQUEST, Silent(), so_far=Built(seconds=builds.BUILD_LIMIT_S))
    assert stopped.complaint == "its extensions were not built within 180 s"


def test_a_candidate_that_asks_for_another_build_in_every_trial_is_not_tried_for_ever(tmp_path):
    so_far = Built(trials=builds.MAX_TRIALS - 1)
    assert wanted(tmp_path, REQUEST, so_far=so_far).complaint == "asks for another build in each of 8 trials"


def test_a_gpu_without_nvcc_is_no_verdict(tmp_path):
    without = Builder(({"complaint": f"OSError: {builds.NO_NVCC}.", "final": False},))
    with pytest.raises(HarnessError, match="install the CUDA toolkit"):
        wanted(tmp_path, REQUEST, without)


def test_the_second_source_has_a_header_made_and_the_third_is_given_it(tmp_path):
    requests = [{**REQUEST, "arguments": {**REQUEST["arguments"], "cpp_sources": [text]}} for text in "abc"]
    first, third = Builder(({}, b"library")), Builder(({}, b"library"))
    both = [Builder(({}, b"library or header")) for _ in range(2)]
    assert wanted(tmp_path, requests[0], first).complaint is None
    with builders(tmp_path, *both) as made:
        assert made.wanted(requests[1], Built()).result().complaint is None
        deadline = time.monotonic() + 30
        while not (found := list(tmp_path.glob("header-*.gch"))):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert wanted(tmp_path, requests[2], third).complaint is None
    build, precompile = sorted((each.questions[0] for each in both), key=lambda question: question["ask"])
    assert precompile == {"ask": "precompile", "flags": []}
    given = [question["header"] for question in (first.questions[0], build, third.questions[0])]
    assert given == ["", "", str(found[0])]


def test_a_header_that_cannot_be_made_is_not_asked_for_again(tmp_path):
    requests = [{**REQUEST, "arguments": {**REQUEST["arguments"], "cpp_sources": [text]}} for text in "ab"]
    assert wanted(tmp_path, requests[0], Builder(({}, b"library"))).complaint is None
    killed = {"complaint": "c++: fatal error: Killed signal terminated program cc1plus", "final": False}
    with builders(tmp_path, Builder((killed,))) as made:
        made._make_header(())
    with builders(tmp_path) as made:
        made._make_header(())
    assert [path.read_text() for path in tmp_path.glob("header-*.txt")] == [killed["complaint"]]


def test_a_header_does_not_wait_for_the_builds_that_wait(tmp_path):
    with builders(tmp_path, Builder(({}, b"header"))) as made:
        busy = threading.Event()
        waiting = [made._pool.submit(busy.wait, 60) for _ in range(5)]
        try:
            made._begin_header(())
            made._headers.shutdown()
            assert [path.read_bytes() for path in tmp_path.glob("header-*.gch")] == [b"header"]
            assert not any(each.done() for each in waiting)
        finally:
            busy.set()
