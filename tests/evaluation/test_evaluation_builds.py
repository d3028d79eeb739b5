"""Sources that a candidate compiles with literal arguments are found and compiled ahead."""

import ctypes
import time
from contextlib import suppress
from pathlib import Path

import pytest
from made_up_builders import Compiler, libraries_in

from pytest_kernelbench import inline
from pytest_kernelbench.evaluation.building.builds import Builders, Target

RETURNS = "int kernel(void) {{ return {}; }}"


def candidate(*c_sources: str) -> str:
    return "\n".join(f"kernel_{n} = compile_c({source!r})" for n, source in enumerate(c_sources))


def build(cache, *modules):
    target = Target(device="cpu", id="made-up", architecture="", gpu=None)
    with Builders(cache, target, lambda: Compiler(cache), jobs=2) as made:
        return [future.result().complaint for future in [made.ahead("the task", module) for module in modules]]


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
