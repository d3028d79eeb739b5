"""Builders compile ahead of a trial or during it: requests, kept results and failures."""

import threading
import time
from contextlib import suppress

import pytest
from made_up_builders import Builder, libraries_in

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.building import builds
from pytest_kernelbench.evaluation.building.builds import Builders, Built, Target
from pytest_kernelbench.evaluation.worker.extensions import key_of, names_of
from pytest_kernelbench.evaluation.worker.kernels import kernels_archive

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
