"""The peer's evaluator gets a process of its own for each candidate, and its answer is read in our words.

The checkout is made up: it imports what KernelBench's does, and says what it was called with.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import kernelbench_peer

PACKAGE = "from dotenv import load_dotenv\nfrom litellm import completion\nfrom openai import OpenAI\n\nload_dotenv()\n"
EVALUATOR = """
import os
from types import SimpleNamespace


def get_torch_dtype_from_string(precision):
    return precision


def eval_kernel_against_ref(**settings):
    candidate = settings["custom_model_src"]
    if candidate == "raises":
        raise RuntimeError("no such luck")
    said = "{backend} {device} {precision} {num_correct_trials} {num_perf_trials}".format(**settings)
    return SimpleNamespace(
        compiled=True,
        correctness=candidate == "right",
        runtime=2.0,
        ref_runtime=3.0,
        metadata={"correctness_issue": said, "max_difference": os.getpid()},
    )
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    package = tmp_path_factory.mktemp("checkout") / "src" / "kernelbench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package / "eval.py").write_text(EVALUATOR)
    return package.parent.parent


def evaluate(checkout, candidate):
    return kernelbench_peer.evaluate(
        checkout, reference="Model", candidate=candidate, backend="triton", build_dir=Path("builds")
    )


def test_verdicts_are_read_in_our_words(checkout):
    right, wrong, raising = (evaluate(checkout, each) for each in ("right", "wrong", "raises"))
    assert (right.verdict, right.speedup) == ("correct", 1.5)
    assert (wrong.verdict, wrong.speedup) == ("incorrect", None)
    assert (raising.verdict, raising.reason) == ("build_error", "RuntimeError: no such luck")
    assert right.seconds > right.call_s > 0
    assert right.reason.startswith("correctness_issue: triton cuda:0 fp32 5 100; max_difference: ")
    assert right.reason != wrong.reason, "both ran in one process"


def test_a_package_that_is_missing_is_told_by_name(tmp_path):
    package = tmp_path / "src" / "kernelbench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import no_such_package")
    (package / "eval.py").write_text("")
    with pytest.raises(ImportError, match="No module named 'no_such_package'"):
        kernelbench_peer.loading_s(tmp_path)


def test_only_clients_that_are_not_installed_are_replaced():
    installed = {name for name in kernelbench_peer.LLM_CLIENTS if find_spec(name)}
    assert set(kernelbench_peer.absent_clients()) == kernelbench_peer.LLM_CLIENTS.keys() - installed
