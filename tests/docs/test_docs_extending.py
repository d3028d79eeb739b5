"""docs/extending.md: its examples are whole, short, and do what is said of them; what cannot be added is one line."""

import json
import re
from pathlib import Path

import pytest
from project import made_up_evaluator

from pytest_kernelbench.extensions import KINDS, Added, Extensions, entry_points

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
MOST_LINES = 30
EXAMPLES = dict(re.findall(r"### (?:A|An) (\w+)\n.*?````python\n(.*?)````", PAGE, re.DOTALL))
ONE_THREAD = re.search(r"````python\n(# one_thread.py\n.*?)````", PAGE, re.DOTALL)[1]
# Evaluations are made up; loaded as a plugin, beside the example's conftest.py.
MADE_UP = made_up_evaluator("""
def evaluate(self, task, sources):
    for source in sources:
        yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.CORRECT, speedup=1.0)
""")


@pytest.fixture
def run(benchmark_project):
    """Run pytest beside an example; ``names`` are those of examples."""

    def run(*arguments, names):
        pytester = benchmark_project.pytester
        pytester.makeconftest("\n\n".join(EXAMPLES[name] for name in names))
        pytester.makepyfile(made_up=MADE_UP)
        answers = [{"task": "level1/2", "text": f"```python\nclass ModelNew: ...  # {n}\n```"} for n in range(3)]
        benchmark_project.path.joinpath("answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
        fixed = ("-p", "made_up", "--tasks=problems/level1/2*", "--no-kernelbench-null", "--kernelbench-run=run")
        return benchmark_project.run(*fixed, *arguments, apart=True)

    return run


def rows(project, name):
    return [json.loads(line) for line in (project.path / "run" / f"{name}.jsonl").read_text().splitlines()]


def strategy_file(project, text):
    (project.path / "mine.toml").write_text(text)
    return "--strategy=mine.toml"


def test_there_is_an_example_of_each_kind_and_each_is_short():
    assert list(EXAMPLES) == ["policy", "selector", "metric", "reward", "prompt", "analysis", "device"]
    assert len(EXAMPLES) == len(KINDS)
    assert all(len(code.splitlines()) <= MOST_LINES for code in EXAMPLES.values())


def test_a_policy_of_a_conftest_answers(run, benchmark_project):
    result = run("--strategy=random", "--policy=reference", "--kernelbench-set=sampling.k=2", names=["policy"])
    assert result.ret == 0
    assert [row["policy"] for row in rows(benchmark_project, "completions")] == ["reference"] * 2
    assert "class ModelNew(" in rows(benchmark_project, "completions")[0]["text"]


def test_a_selector_a_metric_and_an_analysis_of_a_conftest_are_used(run, benchmark_project):
    named = strategy_file(benchmark_project, '[sampling]\nk = 3\n[selection]\nby = "last"\n[gate]\nuntainted = 1\n')
    result = run(named, "--policy=replay:answers.jsonl", names=["selector", "metric", "analysis"])
    assert result.ret == 0
    assert [row["index"] for row in rows(benchmark_project, "selections")] == [2]
    report = json.loads((benchmark_project.path / "run" / "report.json").read_text())
    assert report["analyses"]["outcomes"] == {"correct": 3}
    assert report["strategies"]["mine"]["metrics"]["untainted"] == 1.0


def test_a_reward_and_a_prompt_of_a_conftest_are_part_of_a_strategy(run, benchmark_project):
    named = strategy_file(benchmark_project, '[adaptation]\nreward = "best"\n[prompt]\nstyle = "terse"\n')
    result = run(named, "--collect-only", "-q", names=["reward", "prompt"])
    assert result.ret == 0
    without = run(named, "--collect-only", "-q", names=["selector"])
    assert without.ret == 4
    without.stderr.fnmatch_lines(["ERROR: mine.toml: *"])


def test_the_reward_of_the_page_is_for_the_fastest():
    from pytest_kernelbench.records import Evaluation, Outcome

    there = {}
    exec(EXAMPLES["reward"], there)
    timed = [
        Evaluation(source_sha256=str(n), outcome=Outcome.CORRECT, speedup=speedup)
        for n, speedup in enumerate([1.5, 2.0, 2.0])
    ]
    wrong = Evaluation(source_sha256="w", outcome=Outcome.INCORRECT)
    assert there["best"]([*timed, wrong], None) == [0.0, 1.0, 1.0, 0.0]


def test_the_device_of_the_page_judges_with_one_thread(benchmark_project):
    pytester = benchmark_project.pytester
    pytester.makeconftest(EXAMPLES["device"])
    pytester.makepyfile(one_thread=ONE_THREAD)
    code = """import torch
assert torch.get_num_threads() == 1
class ModelNew(torch.nn.Module):
    def forward(self, *values):
        return torch.relu(*values)
"""
    benchmark_project.path.joinpath("answers.jsonl").write_text(json.dumps({"task": "level1/2", "text": code}))
    result = benchmark_project.run(
        "--strategy=random",
        "--policy=replay:answers.jsonl",
        "--kernelbench-device=one-thread",
        "--kernelbench-protocol=fast",
        "--kernelbench-set=sampling.k=1",
        "--tasks=problems/level1/2*",
        "--no-kernelbench-null",
        "--kernelbench-run=run",
        apart=True,
    )
    assert result.ret == 0
    (evaluation,) = rows(benchmark_project, "evaluations")
    assert (evaluation["outcome"], evaluation["detail"]) == ("correct", "")
    run = json.loads((benchmark_project.path / "run" / "run.json").read_text())
    assert run["device_kind"] == "one-thread"
    assert run["device"].endswith(", one thread")


def test_a_device_whose_module_is_not_there_is_one_line(benchmark_project):
    benchmark_project.pytester.makeconftest(EXAMPLES["device"])
    fixed = ("--strategy=random", "--policy=replay:answers.jsonl", "--kernelbench-device=one-thread")
    benchmark_project.path.joinpath("answers.jsonl").write_text(json.dumps({"task": "level1/2", "text": "x"}))
    result = benchmark_project.run(*fixed, "--tasks=problems/level1/2*", apart=True)
    assert result.ret == 1
    line = "the judge on one-thread ended (ConnectionEnded: ModuleNotFoundError: No module named 'one_thread'); "
    assert f"{line}run again to resume" in result.outlines


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "def pytest_kernelbench_prompts():\n    return {'paper': '{{source}}'}",
            'conftest.py (pytest_kernelbench_prompts): prompts has "paper" already; choose another name',
        ),
        (
            "def pytest_kernelbench_selectors():\n    return {'mine': 3}",
            'conftest.py (pytest_kernelbench_selectors): selectors "mine" must be a Ranking, not 3',
        ),
        (
            "def pytest_kernelbench_policies():\n    pass",
            'conftest.py (pytest_kernelbench_policies): returns None, not a dictionary; return {"NAME": ...}',
        ),
    ],
)
def test_what_cannot_be_added_is_refused_in_one_line(benchmark_project, code, line):
    benchmark_project.pytester.makeconftest(code)
    result = benchmark_project.run("--strategy=random", "--collect-only", apart=True)
    assert result.ret == 4
    assert f"ERROR: {line}" in result.stderr.lines


def test_rows_are_taken_out_when_the_session_ends():
    from pytest_kernelbench.prompting.question import STYLES

    extensions = Extensions()
    extensions.add([Added("prompts", "short", "{{source}}", "here")])
    assert STYLES["short"] == "{{source}}"
    extensions.remove()
    assert "short" not in STYLES


def test_an_installed_package_adds_by_entry_points(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("TERSE = 'Faster: {{source}}'\n")
    info = tmp_path / "mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pytest_kernelbench.prompts]\nterse = mine:TERSE\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Added("prompts", "terse", "Faster: {{source}}", "mine (pytest_kernelbench.prompts)") in list(entry_points())
