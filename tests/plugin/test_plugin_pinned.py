"""Which kernels ``--strategy=pinned`` takes, and what it says where there is none."""

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
            ["level1/2_Two"],
            [],
            "level1/2_Two: has a kernel, and no packaged task is called so; name the task's file with --tasks",
        ),
        (
            ["level1/19"],
            [],
            "level1/19: has a kernel, and the task is called level1/19_ReLU; rename the kernel's file",
        ),
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
    project.keep("level1/2_Two", "level1/10_Tem")
    said = project.run("--strategy=pinned", "--tasks=problems/level1", "--collect-only", "-q")
    assert "kernelbench: --tasks leaves out the kernels of level1/10_Tem" in said.outlines
    assert "problems/level1/2_Two.py::kernel[pinned]" in said.outlines
