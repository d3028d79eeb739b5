"""KernelBench's own evaluator, imported from a checkout named at run time and called as its own script calls it.

As in ``scripts/eval_from_generations.py``: a spawned pool of one process for each batch of one candidate, five
correctness trials, 100 timed ones by CUDA events, the reference timed after each candidate, 180 s in all, and the
script's own defaults for the rest. What differs, all of it in the peer's favour: the script itself is not imported,
so its processes do not load ``pydra`` and ``modal``; and clients of language models that ``kernelbench`` imports on
its way but evaluation never calls (``LLM_CLIENTS``) are replaced by empty modules where they are not installed.
Everything else it needs (torch, numpy, requests, tqdm, pydantic) has to be there.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import multiprocessing
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 180.0
LLM_CLIENTS = {"dotenv": "load_dotenv", "litellm": "completion", "openai": "OpenAI"}
# What its metadata says about a verdict, the most telling first.
REASONS = (
    "compilation_error",
    "runtime_error",
    "correctness_issue",
    "max_difference",
    "cuda_error",
    "other_error",
    "error_during_performance",
    "excessive_speedup",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResult:
    """``seconds`` is the wall time with the process; ``call_s`` that of the evaluator once torch is loaded.

    ``verdict`` is in this project's words, or ``no_result``. ``speedup`` is its mean reference time over its mean
    candidate time.
    """

    verdict: str
    reason: str
    seconds: float
    call_s: float | None = None
    speedup: float | None = None


def absent_clients() -> list[str]:
    """Names of ``LLM_CLIENTS`` that are not installed, and hence replaced."""
    return [name for name in LLM_CLIENTS if importlib.util.find_spec(name) is None]


def loading_s(checkout: Path) -> float:
    """Seconds that a new process takes to load torch and the evaluator. Raises ImportError when it cannot."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(_time_loading, (checkout,)).get(timeout=TIMEOUT_S)


def evaluate(checkout: Path, *, reference: str, candidate: str, backend: str, build_dir: Path) -> PeerResult:
    """One candidate, in a process of its own."""
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            said = pool.apply_async(_evaluate, (checkout, reference, candidate, backend, build_dir)).get(TIMEOUT_S)
        except multiprocessing.TimeoutError:
            said = {"verdict": "timeout", "reason": f"no result in {TIMEOUT_S:.0f} s"}
    return PeerResult(seconds=time.perf_counter() - started, **said)


def _load(checkout: Path) -> Any:
    for name in absent_clients():
        module = types.ModuleType(name)
        setattr(module, LLM_CLIENTS[name], lambda *_, **__: None)
        sys.modules[name] = module
    sys.path.insert(0, str(checkout / "src"))
    return importlib.import_module("kernelbench.eval")


def _time_loading(checkout: Path) -> float:
    started = time.perf_counter()
    _load(checkout)
    return time.perf_counter() - started


def _evaluate(checkout: Path, reference: str, candidate: str, backend: str, build_dir: Path) -> dict[str, Any]:
    evaluator = _load(checkout)
    import torch

    started = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result = evaluator.eval_kernel_against_ref(
                original_model_src=reference,
                custom_model_src=candidate,
                measure_performance=True,
                timing_method="cuda_event",
                verbose=False,
                num_correct_trials=5,
                num_perf_trials=100,
                build_dir=str(build_dir),
                device=torch.device("cuda:0"),
                backend=backend,
                precision=evaluator.get_torch_dtype_from_string("fp32"),
            )
    except Exception as error:
        # The script's last resort, too, takes whatever was raised for a candidate that does not compile.
        said = {"verdict": "build_error", "reason": _line(f"{type(error).__name__}: {error}")}
        return {**said, "call_s": time.perf_counter() - started}
    return {**_read(result), "call_s": time.perf_counter() - started}


def _read(result: Any) -> dict[str, Any]:
    if result is None:
        return {"verdict": "no_result", "reason": "it asks for another try (lock file)"}
    if result.correctness:
        verdict = "correct"
    elif not result.compiled:
        verdict = "build_error"
    else:
        verdict = "runtime_error" if "runtime_error" in result.metadata else "incorrect"
    reasons = [f"{name}: {result.metadata[name]}" for name in REASONS if name in result.metadata]
    timed = result.correctness and result.runtime > 0 and result.ref_runtime > 0
    return {
        "verdict": verdict,
        "reason": _line("; ".join(reasons)),
        "speedup": result.ref_runtime / result.runtime if timed else None,
    }


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
