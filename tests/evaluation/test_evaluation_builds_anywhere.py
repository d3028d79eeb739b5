"""Builds wherever a candidate makes them: at import, in its constructor, in its first call. Two builds in all."""

import time

import pytest
from made_up_tasks import C_RELU, HONEST_RELU, RELU, candidate

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Outcome

GOOD = '"torch::Tensor relu(torch::Tensor x) { return at::clamp_min(x + 0, 0); }"'
BAD = '"torch::Tensor relu(torch::Tensor x) { this is no C++; return x; }"'
BUILD = 'load_inline(name="{name}", cpp_sources={source}, functions=["relu"]{more})'
PREAMBLE = "from torch.utils.cpp_extension import load, load_inline\n"
PLAIN = "torch.relu(x + 0)"
# With these a second source has no header precompiled, which would take 7 s of a core.
UNCOMMON = ', extra_cflags=["-DUNCOMMON"]'


def at_import(source, name, more=""):
    built = BUILD.format(name=name, source=source, more=more)
    return candidate(f"{PLAIN}\nreturn extension.relu(x)", preamble=f"{PREAMBLE}extension = {built}")


def in_constructor(source, name):
    return (
        at_import(source, name)
        .replace(
            "    def forward",
            "    def __init__(self):\n        super().__init__()\n        global extension\n"
            f"        extension = {BUILD.format(name=name, source=source, more='')}\n    def forward",
        )
        .replace(f"\nextension = {BUILD.format(name=name, source=source, more='')}", "", 1)
    )


def in_first_call(source, name, more=", extra_cflags=[]"):
    built = BUILD.format(name=name, source=source, more=more)
    return candidate(
        f"global extension\n{PLAIN}\nextension = extension or {built}\nreturn extension.relu(x)",
        preamble=f"{PREAMBLE}extension = None",
    )


def where_nothing_goes_ahead(source, name):
    """Only with values at hand is it found that something is to be built."""
    return in_first_call(source, name).replace("        torch.relu(x + 0)", "        x.sum().item()", 1)


def caught(source, name):
    return f"""
import torch
from torch.utils.cpp_extension import load_inline
try:
    extension = {BUILD.format(name=name, source=source, more=f", verbose=True{UNCOMMON}")}
except RuntimeError:
    extension = None

class ModelNew(torch.nn.Module):
    def forward(self, x):
        return torch.clamp(x + 0, min=0) if extension is None else extension.relu(x)
"""


def from_files(source, name):
    return f"""
import os, tempfile, torch
from torch.utils.cpp_extension import load
folder = tempfile.mkdtemp()
with open(os.path.join(folder, "{name}.cpp"), "w") as file:
    file.write('#include <torch/extension.h>\\n' + {source} + '''
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("relu", &relu); }}
''')
extension = load("{name}", [os.path.join(folder, "{name}.cpp")], build_directory=folder)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        torch.relu(x + 0)
        return extension.relu(x)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def evaluator(cache):
    with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
        yield evaluator


def test_what_is_prepared_is_built_before_it_is_evaluated_and_nothing_is_said_of_what_fails(evaluator, cache):
    bad = C_RELU.replace("y[i] = x[i]", "y[i] = nowhere[i]")
    evaluator.prepare(RELU, [C_RELU, None, bad, C_RELU, HONEST_RELU])
    deadline = time.monotonic() + 60
    while {path.suffix for path in cache.glob("[0-9a-f]*")} != {".so", ".txt"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    right, wrong = evaluator.evaluate(RELU, [C_RELU, bad])
    assert (right.outcome, wrong.outcome) == (Outcome.CORRECT, Outcome.BUILD_ERROR)
    assert "build" not in right.seconds | wrong.seconds


def test_what_a_judge_is_asked_for_first_is_built_while_it_warms_up(cache, monkeypatch):
    with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
        named = []
        monkeypatch.setattr(evaluator._judge, "wish", lambda message: named.append(message["source"]))
        for source in (C_RELU, HONEST_RELU):
            assert [each.outcome for each in evaluator.evaluate(RELU, [source])] == [Outcome.CORRECT]
        assert named == [C_RELU]


def test_only_sources_can_be_prepared(evaluator):
    with pytest.raises(UsageError, match=r"sources\[0\] is of type int; give a text or None"):
        evaluator.prepare(RELU, [3])


def test_extensions_are_built_wherever_they_are_asked_for_and_once(evaluator, cache):
    sources = {
        "import": at_import(GOOD, "one"),
        "list": at_import(f"[{GOOD}]", "two", ", verbose=True"),
        "constructor": in_constructor(GOOD, "three"),
        "first call": in_first_call(GOOD, "four"),
        "first call with values": where_nothing_goes_ahead(GOOD, "five"),
    }
    evaluations = dict(zip(sources, evaluator.evaluate(RELU, [*sources.values()]), strict=True))
    found = {where: (each.outcome.value, each.detail) for where, each in evaluations.items()}
    assert {outcome for outcome, _ in found.values()} == {"correct"}, found
    assert all(each.seconds["build"] > 0 for each in evaluations.values())
    assert len(list(cache.glob("extension-*.so"))) == 1


def test_a_build_that_fails_raises_in_the_candidate(evaluator, cache):
    sources = [at_import(BAD, "one", UNCOMMON), in_first_call(BAD, "two", UNCOMMON), caught(BAD, "three")]
    imported, called, fallen_back = evaluator.evaluate(RELU, sources)
    assert (imported.outcome, called.outcome) == (Outcome.BUILD_ERROR, Outcome.BUILD_ERROR)
    assert imported.detail == called.detail
    assert imported.detail.startswith("main.cpp:2:39: error: invalid use of")
    assert imported.log.startswith(imported.detail)
    assert fallen_back.outcome is Outcome.CORRECT, fallen_back.detail
    assert len(list(cache.glob("extension-*.txt"))) == 1


def test_sources_in_files_are_built_as_well(evaluator):
    (evaluation,) = evaluator.evaluate(RELU, [from_files(GOOD, "one")])
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail


@pytest.mark.slow
def test_what_torch_s_compiler_builds_in_the_first_call_is_not_timed(evaluator):
    source = candidate("return relu(x)", preamble="@torch.compile\ndef relu(x):\n    return torch.clamp(x, min=0)")
    (evaluation,) = evaluator.evaluate(RELU, [source])
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    # It takes 13 to 20 s of two cores, and is built anew for other sizes while these are checked.
    assert evaluation.seconds["build"] > evaluation.seconds["time"]
