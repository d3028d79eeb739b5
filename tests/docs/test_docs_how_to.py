"""The code in the how-tos runs as it stands."""

import re
from pathlib import Path

import pytest
from project import PLUGIN, WITHOUT_FIGURES

from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.policies import parse_policy
from pytest_kernelbench.records import Evaluation, Outcome
from pytest_kernelbench.report.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.strategy import load_strategies

DOCS = Path(__file__).parents[2] / "docs"
CLAMP = """import torch


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return torch.clamp(x, min=0)
"""


def blocks(page, language):
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_test_of_one_s_own_holds_for_a_kernel_that_is_kept(benchmark_project):
    pytest.importorskip("pytest_benchmark.plugin", reason="the test uses its fixture")
    (code,) = blocks("kernel_engineer.md", "python")
    benchmark_project.pytester.makepyfile(test_ours=code)
    kernel = benchmark_project.path / "kernels" / "level1" / "19_ReLU.py"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(CLAMP)
    own = ("--strategy=pinned", "test_ours.py", "--kernelbench-device=cpu", "--kernelbench-protocol=fast")
    done = benchmark_project.run_warm(*PLUGIN, *WITHOUT_FIGURES, *own, "-v")
    assert done.ret == 0
    assert re.search(r"test_ours.py::test_\w+\[level1/19_ReLU-pinned\] PASSED", done.stdout.str())


def test_the_metric_that_is_added_measures_what_it_says():
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^### A metric\n.*?^````python\n(.*?)^````$", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    ((_, metric),) = names["pytest_kernelbench_metrics"]().items()

    def results(*outcomes):
        samples = [Sample(index=0, evaluation=Evaluation(source_sha256=None, outcome=each)) for each in outcomes]
        tasks = tuple(TaskResults(task=str(number), samples=(each,)) for number, each in enumerate(samples))
        return StrategyResults(strategy="s", k=1, tasks=tasks, margin=0.01)

    assert metric(results(Outcome.VOID, Outcome.CORRECT)) == 0.5
    assert metric(results()) is None


@pytest.mark.parametrize("number", range(len(blocks("policies.md", "toml"))))
def test_a_policy_file_is_one(number, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(blocks("policies.md", "toml")[number])
    assert parse_policy(str(file)).name == str(file)


STRATEGIES = [text for page in ("adaptation.md", "researcher.md") for text in blocks(page, "toml")]


@pytest.mark.parametrize("text", STRATEGIES)
def test_a_strategy_file_is_one(text, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    (strategy,) = load_strategies(["mine"], folders=[tmp_path, data_folder("strategies")])
    assert strategy.name == "mine"
