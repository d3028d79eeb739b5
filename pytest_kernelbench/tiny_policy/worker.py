"""The process that shares its memory with templates: one JSON request a line in, one JSON answer a line out.

``python -m pytest_kernelbench.tiny_policy.worker DEVICE BUILDS`` is started, killed and restarted by ``execute``;
its first line says that it is ready. A request holds ``task_source``, ``module`` (path) and ``time`` (bool); an
answer ``ok``, ``detail``, ``speedup``, ``reference_ms`` and ``candidate_ms``. Workers of one ``BUILDS`` folder take
turns on the device: one compiles Triton while another checks and times.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pytest_kernelbench.host import vector_math
from pytest_kernelbench.inline import use_cache

TOLERANCE = 1e-4  # KernelBench's, both relative and absolute
CHUNK = 1 << 26  # elements compared at a time: full-size outputs have 2e9
PAIRS = 7
PAIRS_SECONDS = 0.7


class Bench:
    """Holds one task's reference, inputs and expected outputs, which its templates share."""

    def __init__(self, device: str, lock: Path) -> None:
        self.device = device
        self._lock = lock
        self._task_source: str | None = None
        self._cases: list[tuple[list[Any], torch.Tensor]] = []

    def load(self, task_source: str) -> None:
        if task_source == self._task_source:
            return
        self._cases, self._task_source = [], task_source
        namespace: dict[str, Any] = {"__name__": "task"}
        exec(compile(task_source, "task.py", "exec"), namespace)
        torch.manual_seed(0)
        # Drawn on the device: on the host, 1.6e9 numbers take longer than the whole check.
        with torch.device(self.device):
            self.init_inputs = namespace["get_init_inputs"]()
            inputs = namespace["get_inputs"]()
        self.reference = self.instantiate(namespace["Model"])
        self._cases = [(inputs, self.reference(*inputs).clone())]
        signed = [_with_signs(value) for value in inputs]
        expected = self.reference(*signed)
        if bool(torch.isfinite(expected.sum())):
            self._cases.append((signed, expected.clone()))

    def instantiate(self, model: type[torch.nn.Module]) -> torch.nn.Module:
        """The model with its parameters drawn after the same seed as the reference's."""
        torch.manual_seed(1)
        return model(*self.init_inputs).to(self.device)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other worker is in here at the same time."""
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def compile(self, candidate: torch.nn.Module) -> None:
        """Compile the candidate's Triton kernels without launching them."""
        from triton.runtime.jit import JITFunction

        run = JITFunction.run

        def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
            return run(self, *arguments, grid=grid, warmup=True, **options)

        JITFunction.run = compile_only
        try:
            candidate(*self._cases[0][0])
        finally:
            JITFunction.run = run

    def check(self, candidate: torch.nn.Module) -> str:
        """The error in the candidate's outputs; empty if they are right."""
        for name, (inputs, expected) in zip(("drawn", "signed"), self._cases, strict=False):
            self._poison(expected)
            output = candidate(*inputs)
            self.synchronize()
            # Signed sums cancel, so two right orders of summation differ by more than their result there.
            scale = 1.0 if name == "drawn" else max(1.0, float(expected.abs().max()))
            problem = _difference(output, expected, TOLERANCE * scale)
            if problem:
                return f"{name} inputs: {problem}"
        return ""

    def speedup(self, candidate: torch.nn.Module) -> tuple[float, float]:
        """Median milliseconds of reference and candidate, called in turn on the drawn inputs."""
        inputs = self._cases[0][0]
        pairs: list[tuple[float, float]] = []
        started = time.perf_counter()
        while len(pairs) < PAIRS and (len(pairs) < 1 or time.perf_counter() - started < PAIRS_SECONDS):
            pairs.append((self._ms(self.reference, inputs), self._ms(candidate, inputs)))
        reference_ms, candidate_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
        return reference_ms, candidate_ms

    def _ms(self, model: Callable[..., torch.Tensor], inputs: list[Any]) -> float:
        self.synchronize()
        started = time.perf_counter()
        model(*inputs)
        self.synchronize()
        return (time.perf_counter() - started) * 1e3

    def _poison(self, like: torch.Tensor) -> None:
        # An output that is never written must not find the expected values in recycled memory.
        if self.device == "cuda":
            torch.full_like(like, float("nan"))

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def _with_signs(value: Any) -> Any:
    if not (isinstance(value, torch.Tensor) and value.is_floating_point()):
        return value
    return value * (torch.randint_like(value, 0, 2) * 2 - 1)


def _difference(output: Any, expected: torch.Tensor, absolute: float) -> str:
    if not isinstance(output, torch.Tensor):
        return f"returned {type(output).__name__}, not a tensor"
    if output.shape != expected.shape:
        return f"shape {tuple(output.shape)} for {tuple(expected.shape)}"
    if output.dtype != expected.dtype:
        return f"{output.dtype} for {expected.dtype}"
    for ours, theirs in _chunks(output, expected):
        close = torch.isclose(ours, theirs, rtol=TOLERANCE, atol=absolute, equal_nan=True)
        if not bool(close.all()):
            most = float((ours - theirs).abs().max())
            return f"{int((~close).sum())} of {len(close)} differ in one chunk, by up to {most:.3g}"
    return ""


def _chunks(output: torch.Tensor, expected: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    yield from zip(output.reshape(-1).split(CHUNK), expected.reshape(-1).split(CHUNK), strict=True)


def _import(path: Path) -> ModuleType:
    # A file, not exec: triton.jit reads its function's source.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _answer(bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "ok": False,
        "detail": "",
        "speedup": None,
        "reference_ms": None,
        "candidate_ms": None,
    }
    with torch.no_grad():
        with bench.alone():
            bench.load(request["task_source"])
        # A template may do anything; its exception is its result.
        try:
            module = _import(Path(request["module"]))
            candidate = bench.instantiate(module.ModelNew)
            if hasattr(module, "triton"):
                bench.compile(candidate)
            torch.use_deterministic_algorithms(bench.device == "cpu", warn_only=True)
            with bench.alone():
                answer["detail"] = bench.check(candidate)
        except Exception as error:
            answer["detail"] = _one_line(error)
        finally:
            torch.use_deterministic_algorithms(False)
        answer["ok"] = answer["detail"] == ""
        if answer["ok"] and request["time"]:
            with bench.alone():
                reference_ms, candidate_ms = bench.speedup(candidate)
            answer.update(speedup=reference_ms / candidate_ms, reference_ms=reference_ms, candidate_ms=candidate_ms)
    return answer


def _one_line(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[-500:]}".replace(
        "\n", " | "
    )


def main(device: str, builds: str) -> None:
    # The output of a template must not be read as an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    vector_math.make_ready()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    use_cache(Path(builds))
    bench = Bench(device, Path(builds) / "device.lock")
    if device == "cuda":
        torch.zeros(1, device=device)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        answer = _answer(bench, json.loads(line))
        if device == "cuda":
            # The next worker needs the memory.
            torch.cuda.empty_cache()
        print(json.dumps(answer), file=answers, flush=True)
        # A device fault stays in the process: CUDA answers every later call with the same error.
        if device == "cuda" and any(word in answer["detail"] for word in ("CUDA error", "AcceleratorError")):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
