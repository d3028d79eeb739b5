"""Collection: the items, their names and their order; task modules are not imported."""

import json

import pytest
from project import answer


def collected(result):
    return [line for line in result.outlines if "::" in line]


def list_items(project, *arguments):
    return collected(project.run("--collect-only", "-q", *arguments))


def test_without_paths_the_packaged_subset_is_collected_and_nothing_else(benchmark_project):
    items = list_items(benchmark_project, "--strategy=surprisal-top3")
    assert items == [
        "tasks/level1/4_Matrix_vector_multiplication_.py::kernel[surprisal-top3]",
        "tasks/level1/5_Matrix_scalar_multiplication.py::kernel[surprisal-top3]",
        "tasks/level1/12_Matmul_with_diagonal_matrices_.py::kernel[surprisal-top3]",
        "tasks/level1/14_Matmul_for_upper_triangular_matrices.py::kernel[surprisal-top3]",
        "tasks/level1/15_Matmul_for_lower_triangular_matrices.py::kernel[surprisal-top3]",
    ]


def test_items_come_task_by_task_in_natural_order_with_strategies_as_given(benchmark_project):
    items = list_items(benchmark_project, "--strategy=surprisal,random", "--tasks=problems/level1")
    assert items == [
        f"problems/level1/{task}.py::kernel[{strategy}]"
        for task in ("1_One", "2_Two", "10_Ten")
        for strategy in ("surprisal", "random")
    ]


def test_a_path_restricts_to_the_task_files_below_it(benchmark_project):
    items = list_items(benchmark_project, "--strategy=random", "problems")
    assert [item.split("/")[-1] for item in items] == [
        "1_One.py::kernel[random]",
        "2_Two.py::kernel[random]",
        "10_Ten.py::kernel[random]",
    ]


def test_a_path_and_tasks_name_those_that_are_in_both(benchmark_project):
    items = list_items(benchmark_project, "--strategy=random", "problems", "--tasks=problems/level1/1*")
    assert items == ["problems/level1/1_One.py::kernel[random]", "problems/level1/10_Ten.py::kernel[random]"]


@pytest.mark.parametrize("item", ["problems/level1/2_Two.py", "problems/level1/2_Two.py::kernel[random]"])
def test_one_file_or_one_item_can_be_named(benchmark_project, item):
    items = list_items(benchmark_project, "--strategy=random,oracle", item)
    expected = ["problems/level1/2_Two.py::kernel[random]", "problems/level1/2_Two.py::kernel[oracle]"]
    assert items == (expected[:1] if "::" in item else expected)


def test_an_id_that_pytest_printed_names_its_item_wherever_the_task_lies(benchmark_project):
    relu, square = "tasks/level1/19_ReLU.py::kernel", "tasks/level1/1_Square_matrix_multiplication_.py"
    strategies = "--strategy=random,oracle"
    assert list_items(benchmark_project, strategies, f"{relu}[oracle]") == [f"{relu}[oracle]"]
    assert list_items(benchmark_project, strategies, f"{relu}[random]", square) == [
        f"{square}::kernel[random]",
        f"{square}::kernel[oracle]",
        f"{relu}[random]",
    ]
    elsewhere = benchmark_project.path / "problems"
    benchmark_project.pytester.mkdir("below").joinpath("pytest.ini").write_text("[pytest]\n")
    below = ("--rootdir=below", "-c", "below/pytest.ini", f"--tasks={elsewhere}/level1")
    assert list_items(benchmark_project, strategies, *below, "tasks/level1/2_Two.py::kernel[random]") == [
        "tasks/level1/2_Two.py::kernel[random]"
    ]
    said = benchmark_project.run(strategies, f"{relu}[randm]")
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    said.stderr.fnmatch_lines(
        [r"ERROR: tasks/level1/19_ReLU.py::kernel[[]randm]: no such item; pytest --collect-only -q lists them"]
    )


def test_keywords_and_markers_select(benchmark_project):
    own = ("--strategy=random,oracle", "--tasks=problems/level1", "--strict-markers")
    items = list_items(benchmark_project, *own, "-k", "level1 and Ten and oracle")
    assert items == ["problems/level1/10_Ten.py::kernel[oracle]"]
    items = list_items(benchmark_project, *own, "-m", "kernelbench(level=1, strategy='random')", "-k", "not Ten")
    assert items == ["problems/level1/1_One.py::kernel[random]", "problems/level1/2_Two.py::kernel[random]"]


def test_shards_are_disjoint_and_together_everything(benchmark_project):
    own = ("--strategy=random", "--tasks=problems/level1")
    shards = [list_items(benchmark_project, *own, f"--kernelbench-shard={i}/2") for i in (1, 2)]
    assert [len(shard) for shard in shards] == [2, 1]
    assert sorted([*shards[0], *shards[1]]) == sorted(list_items(benchmark_project, *own))


def test_without_a_strategy_the_project_s_own_tests_run(benchmark_project):
    result = benchmark_project.run()
    result.assert_outcomes(passed=1)


def test_without_a_strategy_a_task_that_is_named_is_not_imported(benchmark_project):
    task = benchmark_project.path / "problems" / "level1" / "2_Two.py"
    task.write_text(task.read_text() + "raise SystemExit('imported')\n")
    result = benchmark_project.run(str(task))
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "SystemExit" not in result.stdout.str()


def test_a_numbered_file_that_does_not_parse_is_an_error_in_one_line(benchmark_project):
    benchmark_project.path.joinpath("problems", "level1", "3_Three.py").write_text(
        "class Model(:\ndef get_inputs(): ...\ndef get_init_inputs(): ...\n"
    )
    result = benchmark_project.run("--strategy=random", "problems")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*3_Three.py:1: does not parse*"])


def test_two_files_with_one_task_id_are_refused(benchmark_project):
    other = benchmark_project.pytester.mkdir("others").joinpath("level1")
    other.mkdir()
    other.joinpath("2_Two.py").write_text("\n" + (benchmark_project.path / "problems/level1/2_Two.py").read_text())
    result = benchmark_project.run("--strategy=random", "problems", "others")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stdout.str() + result.stderr.str()
    assert "are both level1/2_Two; name one of them" in said


BROKEN_ON_TWO = '''
import pytest_kernelbench.evaluation
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


class Evaluator:
    """Fails on one task, and finds every other candidate incorrect."""

    def __init__(self, **settings): ...

    def describe(self):
        return {"hardware": {"name": "a fake"}}

    clocks, findings, was_asked = None, {}, True

    def make_ready(self, task): ...

    def prepare(self, task, sources): ...

    def release(self): ...

    def close(self): ...

    def evaluate(self, task, sources):
        for source in sources:
            if task.id == "level1/2_Two":
                raise HarnessError("the judge on cpu ended; run again to resume")
            yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.INCORRECT)


pytest_kernelbench.evaluation.Evaluator = Evaluator
'''


def test_last_failed_runs_only_what_the_harness_failed_on(benchmark_project):
    answers = [{"task": f"level1/{n}", "text": answer("torch.relu(x)")} for n in (1, 2, 10)]
    benchmark_project.path.joinpath("answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    own = (
        "--strategy=random",
        "--tasks=problems/level1",
        "--policy=replay:answers.jsonl",
        "--kernelbench-run=run",
    )
    benchmark_project.pytester.makeconftest(BROKEN_ON_TWO)
    result = benchmark_project.run(*own, apart=True)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the judge on cpu ended; run again to resume"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result = benchmark_project.run(*own, "--lf", "--collect-only", "-q", apart=True)
    assert collected(result) == ["problems/level1/2_Two.py::kernel[random]"]
