"""The kernels that ``--strategy=pinned`` takes, and its messages about missing ones."""

import pytest


@pytest.fixture
def project(benchmark_project):
    def keep(*names):
        for name in names:
            file = benchmark_project.path / "kernels" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("class ModelNew: ...\n")

    benchmark_project.keep = keep
    return benchmark_project


def items(project, *arguments):
    return [line for line in project.run("--collect-only", "-q", *arguments).outlines if "::" in line]


def test_the_tasks_are_those_of_the_kernels_that_are_kept(project):
    project.keep("level1/19_ReLU", "level1/5_Matrix_scalar_multiplication")
    assert items(project, "--strategy=pinned") == [
        "tasks/level1/5_Matrix_scalar_multiplication.py::kernel[pinned]",
        "tasks/level1/19_ReLU.py::kernel[pinned]",
    ]


def test_tasks_of_one_s_own_are_named_and_those_without_a_kernel_are_left_out(project):
    project.keep("level1/2_Two", "level1/19_ReLU")
    assert items(project, "--strategy=pinned", "--tasks=problems/level1") == [
        "problems/level1/2_Two.py::kernel[pinned]"
    ]
    assert items(project, "--strategy=pinned", "problems") == ["problems/level1/2_Two.py::kernel[pinned]"]


def test_beside_another_strategy_the_default_tasks_are_there_too(project):
    project.keep("level1/19_ReLU")
    both = items(project, "--strategy=random,pinned")
    assert len(both) == 7
    assert [item for item in both if "pinned" in item] == ["tasks/level1/19_ReLU.py::kernel[pinned]"]


def test_another_folder_can_be_named(project):
    project.keep("level1/19_ReLU")
    (project.path / "kernels").rename(project.path / "ours")
    assert items(project, "--strategy=pinned", "--kernelbench-set", "sampling.policy=pinned:ours") == [
        "tasks/level1/19_ReLU.py::kernel[pinned]"
    ]


def test_kernels_are_the_project_s_from_a_subfolder_too(project, monkeypatch):
    project.keep("level1/19_ReLU", "ours/rope")
    (project.path / "pytest.ini").write_text("[pytest]\n")
    here, below = items(project, "--strategy=pinned"), project.path / "tools" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert items(project, "--strategy=pinned") == here


NO_KERNEL = (
    "no kernel is in HERE/kernels; write one, as in kernels/level1/19_ReLU.py with a class ModelNew, "
    "or keep what a run chose: python -m pytest_kernelbench pin RUN"
)


@pytest.mark.parametrize(
    ("kept", "arguments", "line"),
    [
        ([], [], f"--strategy=pinned: {NO_KERNEL}"),
        ([], ["--tasks=level1/20"], f"--tasks=level1/20: {NO_KERNEL}"),
        (
            ["level1/19_ReLU", "level1/2_Two"],
            ["--tasks=level1/20"],
            "--tasks=level1/20: no kernel is kept for these, but for level1/19_ReLU, level1/2_Two; name its task",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(project, kept, arguments, line):
    project.keep(*kept)
    said = project.run("--strategy=pinned", *arguments)
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    assert line.replace("HERE", str(project.path)) in said.stdout.str() + said.stderr.str()


def test_a_kernel_whose_task_is_not_named_is_told(project):
    project.keep("level1/2_Two", "level1/10_Ten", "level1/19_ReLU", "level2/1_Elsewhere")
    said = project.run("--strategy=pinned", "--tasks=problems/level1/2_Two.py", "--collect-only", "-q")
    left_out = "level1/10_Ten, level1/19_ReLU, level2/1_Elsewhere"
    assert f"kernelbench: --tasks leaves out the kernels of {left_out}" in said.outlines
    assert [line for line in said.outlines if "::" in line] == ["problems/level1/2_Two.py::kernel[pinned]"]


GONE = {
    "level1/19": "the packaged one of that number is level1/19_ReLU; rename or remove kernels/level1/19.py",
    "level1/19_Relu": "the packaged one of that number is level1/19_ReLU; rename or remove kernels/level1/19_Relu.py",
    "ours/rope": "name the task's file with --tasks, or rename or remove kernels/ours/rope.py",
}


def gone_line(task):
    return f"{task}[pinned]: its task is renamed or gone: none is called {task}; {GONE[task]}"


def test_a_kernel_without_a_task_is_an_item_beside_the_others(project):
    project.keep("level1/19_ReLU", "level1/2_Two", "ours/rope")
    assert items(project, "--strategy=pinned") == [
        "tasks/level1/19_ReLU.py::kernel[pinned]",
        "tasks/level1/2_Two.py::kernel[pinned]",
        "tasks/ours/rope.py::kernel[pinned]",
    ]


@pytest.mark.parametrize("arguments", [("--tasks=problems/level1",), ("problems",)], ids=["--tasks", "a path"])
def test_a_task_is_gone_where_its_file_is_missing_among_those_of_its_level(project, arguments):
    project.keep("level1/2_Two", "level1/10_Tem", "level2/1_Elsewhere")
    found = items(project, "--strategy=pinned", *arguments)
    assert found == ["problems/level1/2_Two.py::kernel[pinned]", "tasks/level1/10_Tem.py::kernel[pinned]"]


@pytest.mark.parametrize("kept", GONE)
def test_a_kernel_whose_task_is_gone_fails_in_one_line_that_says_what_to_do(project, kept):
    project.keep(kept)
    said = project.run("--strategy=pinned", f"--kernelbench-run={project.path / 'run'}")
    said.assert_outcomes(failed=1)
    assert gone_line(kept) in said.outlines
    assert said.ret == pytest.ExitCode.TESTS_FAILED
    assert not (project.path / "run").exists()


def test_such_an_item_is_found_again_by_the_id_that_was_printed(project):
    project.keep("level1/19_ReLU", "ours/rope")
    named = "tasks/ours/rope.py::kernel[pinned]"
    assert items(project, "--strategy=pinned", named) == [named]
    said = project.run("--strategy=pinned", named)
    said.assert_outcomes(failed=1)
    assert gone_line("ours/rope") in said.outlines


def test_the_first_of_several_shards_has_it(project):
    project.keep("ours/rope")
    first, second = (items(project, "--strategy=pinned", f"--kernelbench-shard={i}/2") for i in (1, 2))
    assert (first, second) == (["tasks/ours/rope.py::kernel[pinned]"], [])
