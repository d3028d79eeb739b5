"""The worker's answers to requests that need no candidate's module."""

import gc
import weakref
from types import SimpleNamespace

from pytest_kernelbench.evaluation.worker.loop import _Bench


class Object:
    """An object that refers to itself."""

    def __init__(self, seen):
        self.itself = self
        seen.append(weakref.ref(self))


def test_after_the_first_calls_python_looks_for_garbage_so_that_it_need_not_in_timed_ones(tmp_path):
    seen = []
    bench = _Bench("cpu", tmp_path, None)
    bench._stopwatch = SimpleNamespace(stand_ready=lambda: None, settle=lambda: None, peak_bytes=lambda: 7)
    bench._slots = {number: SimpleNamespace(inputs=[seen]) for number in range(2)}
    bench._reference = bench._candidate = Object
    gc.disable()
    try:
        assert bench.warm({"times": 2, "reference_slot": 0, "candidate_slot": 1}, []) == {"warm": True, "peak_bytes": 7}
    finally:
        gc.enable()
    assert [each() for each in seen] == [None] * 4
