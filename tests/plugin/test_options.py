"""Command-line options become ``RunOptions``, and ``auto`` in a resumed run is the run's own value."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from project import PLUGIN, Project

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.plugin.options import NOT_NULL, NULL, OPTIONS
from pytest_kernelbench.plugin.run_options import RunOptions, keep_out_of_git, parse_shard, read_options, resolve

BOTH = ("eager", "compile")


def options_of(pytester, *arguments):
    config = pytester.parseconfig(*PLUGIN, *arguments)
    return read_options(config)


def test_the_defaults_are_those_of_the_documentation(pytester):
    options = options_of(pytester, "--strategy=surprisal-top3")
    assert [strategy.name for strategy in options.strategies] == ["surprisal-top3"]
    assert (options.policy, options.tasks, options.seed) == ("tiny", (), 0)
    assert (options.device, options.sizes, options.null, options.shard) == ("auto", "auto", None, (1, 1))
    assert options.run.parent == pytester.path / ".kernelbench" / "runs"


def test_strategies_are_in_the_order_given_each_once(pytester):
    options = options_of(pytester, "--strategy=random,oracle", "--strategy=confidence,random")
    assert [strategy.name for strategy in options.strategies] == ["random", "oracle", "confidence"]


def test_overrides_and_the_protocol_are_recorded_in_the_strategy(pytester):
    options = options_of(
        pytester, "--strategy=random", "--kernelbench-set=sampling.k=3", "--kernelbench-protocol=paper"
    )
    (strategy,) = options.strategies
    assert (strategy.sampling.k, strategy.evaluation.protocol) == (3, "paper")
    assert strategy.overrides == ("sampling.k=3", "evaluation.protocol=paper")


def test_a_strategy_of_the_user_comes_before_the_packaged_one(pytester):
    pytester.mkdir("strategies").joinpath("random.toml").write_text("[sampling]\nk = 5\n")
    assert options_of(pytester, "--strategy=random").strategies[0].sampling.k == 5


def test_the_primary_comparison_is_the_option_s_or_the_first_strategy_s(pytester):
    options = options_of(pytester, "--strategy=random,surprisal-top3")
    assert (options.primary, options.primary_by) == (
        "surprisal-top3:random-top3:success",
        "strategy surprisal-top3",
    )
    options = options_of(pytester, "--strategy=surprisal-top3", "--kernelbench-primary=confidence::log_speedup")
    assert (options.primary, options.primary_by) == ("confidence:random:log_speedup", "--kernelbench-primary")
    assert options_of(pytester, "--strategy=random").primary is None


def test_two_runs_of_one_second_have_a_folder_each(pytester, monkeypatch):
    clock = SimpleNamespace(strftime=lambda form: "20260101-000000")
    monkeypatch.setattr("pytest_kernelbench.plugin.run_options.time", clock)
    first = options_of(pytester, "--strategy=random").run
    first.mkdir(parents=True)
    assert options_of(pytester, "--strategy=random").run == Path(f"{first}-2")


def test_folders_that_nobody_named_are_kept_out_of_git(pytester):
    run = options_of(pytester, "--strategy=random").run
    run.mkdir(parents=True)
    keep_out_of_git(run)
    ignoring = pytester.path / ".kernelbench" / ".gitignore"
    assert ignoring.read_text() == "# Written by pytest-kernelbench.\n*\n"
    ignoring.write_text("runs\n")
    keep_out_of_git(run)
    assert ignoring.read_text() == "runs\n"


def test_a_run_folder_is_relative_to_where_pytest_was_called(pytester):
    assert options_of(pytester, "--strategy=random", "--kernelbench-run=here").run == pytester.path / "here"


PATHS = ("--kernelbench-run", "--kernelbench-small", "--kernelbench-gate-sizes")


def paths_of(options):
    return options.run, options.small, options.gate_options.sizes


@pytest.mark.parametrize("option", PATHS)
def test_a_home_folder_that_is_not_there_is_an_error_in_one_line(pytester, option):
    result = pytester.runpytest_subprocess(*PLUGIN, "--strategy=random", "--collect-only", f"{option}=~nobody-here/x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    line = f"ERROR: {option}=~nobody-here/x: there is no such home folder; write the path without ~"
    assert [each for each in result.stderr.lines if each] == [line]


def test_a_path_below_home_is_the_same_on_the_command_line_and_in_the_configuration_file(pytester, monkeypatch):
    home, below = pytester.mkdir("home"), pytester.mkdir("below")
    monkeypatch.setenv("HOME", str(home))
    options = options_of(pytester, "--strategy=random", *(f"{option}=~/x" for option in PATHS))
    assert set(paths_of(options)) == {home / "x"}
    twins = [option.removeprefix("--").replace("-", "_") for option in PATHS]
    for text, path in (("~/x", home / "x"), ("x", pytester.path / "x")):
        pytester.makeini("[pytest]\n" + "".join(f"{twin} = {text}\n" for twin in twins))
        for folder in (pytester.path, below):
            monkeypatch.chdir(folder)
            assert set(paths_of(options_of(pytester, "--strategy=random"))) == {path}


@pytest.mark.parametrize(
    ("arguments", "value"), [([], None), (["--kernelbench-null"], True), (["--no-kernelbench-null"], False)]
)
def test_the_null_is_asked_for_left_out_or_left_to_the_protocol(pytester, arguments, value):
    assert options_of(pytester, "--strategy=random", *arguments).null is value


@pytest.mark.parametrize(
    ("arguments", "baselines"),
    [([], ("eager",)), (["--kernelbench-baseline=eager"], ("eager",)), (["--kernelbench-baseline=compile"], BOTH)],
)
def test_candidates_are_timed_against_eager_pytorch_whatever_else_is_asked_for(pytester, arguments, baselines):
    assert options_of(pytester, "--strategy=random", *arguments).baselines == baselines


def test_baselines_may_stand_in_the_configuration_file(pytester):
    pytester.makeini("[pytest]\nkernelbench_baseline = eager, compile\n")
    assert options_of(pytester, "--strategy=random").baselines == BOTH


@pytest.mark.parametrize("text", ["3/2", "0/2", "2", "a/b", "1/2/3", "-1/2", ""])
def test_a_shard_that_is_none_says_how_to_write_one(text):
    with pytest.raises(UsageError) as caught:
        parse_shard(text)
    assert str(caught.value) == f"--kernelbench-shard={text}: write I/N with I from 1 to N, as in 2/8"


def run_options(device="auto", sizes="auto"):
    return RunOptions(strategies=(), policy="tiny", tasks=(), seed=0, device=device, sizes=sizes, run=Path("run"))


def test_sizes_are_small_off_the_gpu():
    assert resolve(run_options(device="cpu"), None) == ("cpu", "small")
    assert resolve(run_options(device="cpu", sizes="full"), None) == ("cpu", "full")


def test_a_resumed_run_asks_for_no_device():
    recorded = {"device_kind": "cuda", "sizes": "full"}
    assert resolve(run_options(), recorded) == ("cuda", "full")


def test_what_is_said_outright_is_left_for_the_ledger_to_compare():
    recorded = {"device_kind": "cuda", "sizes": "full"}
    assert resolve(run_options(device="cpu", sizes="small"), recorded) == ("cpu", "small")


@pytest.mark.parametrize("option", ["--policy=tiny", "--tasks=level1", "--kernelbench-seed=1", "--no-kernelbench-null"])
def test_an_option_that_does_nothing_is_refused(benchmark_project, option):
    said = benchmark_project.run(option)
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    name = option.partition("=")[0]
    said.stderr.fnmatch_lines([f"ERROR: {name}: does nothing without --strategy, as in --strategy=surprisal-top3"])


def test_options_for_the_runs_with_a_strategy_may_stand_in_addopts(benchmark_project):
    benchmark_project.pytester.makeini("[pytest]\naddopts = --tasks=problems/level1 --kernelbench-device=cpu\n")
    benchmark_project.run().assert_outcomes(passed=1)


def test_an_empty_strategy_is_an_error_in_one_line(pytester):
    with pytest.raises(pytest.UsageError) as caught:
        options_of(pytester, "--strategy=,")
    assert str(caught.value) == "--strategy: no strategy named; give one, as in --strategy=surprisal-top3"


def test_every_option_has_a_twin_in_the_configuration_file(pytester):
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        kernelbench_strategy = ["random,oracle"]
        kernelbench_policy = "replay:answers.jsonl"
        kernelbench_tasks = ["level1/19", "level1/20"]
        kernelbench_seed = "7"
        kernelbench_device = "cpu"
        kernelbench_null = "false"
        kernelbench_set = ["sampling.k=3"]
        """
    )
    pytester.path.joinpath("answers.jsonl").write_text('{"task": "level1/19", "text": "none"}\n')
    options = options_of(pytester)
    assert [strategy.name for strategy in options.strategies] == ["random", "oracle"]
    assert (options.tasks, options.seed, options.device, options.null) == (("level1/19", "level1/20"), 7, "cpu", False)
    assert (options.policy, options.strategies[0].sampling.k) == ("replay:answers.jsonl", 3)
    assert options_of(pytester, "--strategy=random", "--kernelbench-seed=1").seed == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('kernelbench_seed = "x"', "kernelbench_seed = x: write a whole number"),
        ('kernelbench_sizes = "huge"', "kernelbench_sizes = huge: no such choice; there are auto, full, small"),
        ('kernelbench_null = "no"', "kernelbench_null = no: no such choice; there are true, false"),
    ],
)
def test_a_configured_value_that_is_none_is_an_error_in_one_line(pytester, line, message):
    pytester.makepyprojecttoml(f"[tool.pytest.ini_options]\n{line}\n")
    result = pytester.runpytest_subprocess(*PLUGIN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_device_that_is_not_in_the_table_is_an_error_in_one_line(pytester):
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nkernelbench_device = "tpu"\n')
    result = pytester.runpytest_subprocess(*PLUGIN, "--strategy=random", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kernelbench-device=tpu: no such device; there are auto, cpu, cuda"])


def test_with_a_configured_strategy_the_repository_s_tests_run_as_well(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    project = Project(pytester.path)
    (project.folder / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\nkernelbench_strategy = ['random']\nkernelbench_policy = 'replay:answers.jsonl'\n"
        "kernelbench_tasks = ['problems/level1']\nkernelbench_sizes = 'full'\ntestpaths = ['tests']\n"
    )
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "test_own.py").write_text("def test_of_its_own():\n    assert True\n")
    relu, own = "problems/level1/1_Relu.py::kernel[[]random[]]", "tests/test_own.py::test_of_its_own"
    listed = pytester.runpytest_subprocess(*PLUGIN, "--collect-only", "-q")
    listed.stdout.fnmatch_lines([relu, "problems/level1/2_Sum.py::kernel[[]random[]]", own])
    alone = pytester.runpytest_subprocess(*PLUGIN, "tests/test_own.py")
    alone.assert_outcomes(passed=1)
    alone.stdout.no_fnmatch_line("kernelbench: no task*")
    named = pytester.runpytest_subprocess(*PLUGIN, "problems/level1/1_Relu.py", "--collect-only", "-q")
    named.stdout.fnmatch_lines([relu])
    named.stdout.no_fnmatch_line("*test_own*")


def test_the_help_of_pytest_says_what_every_option_the_mark_and_every_fixture_is_for(pytester):
    shown = {
        name: pytester.runpytest_inprocess(*PLUGIN, f"--{name}").stdout.str()
        for name in ("help", "markers", "fixtures")
    }
    plain = " ".join(shown["help"].split())
    for each in (*OPTIONS, NULL):
        assert each.name in plain and each.help in plain and f"{each.ini} (" in plain
        assert len(each.help.split()) > 3 and not each.help.startswith("default"), each.name
    assert NOT_NULL in plain
    assert "@pytest.mark.kernelbench(level, task, strategy): a task under a strategy;" in shown["markers"]
    fixtures = " ".join(shown["fixtures"].split())
    for name, begins in {
        "kernel_task": "The task that the test runs with: ",
        "kernel_strategy": "The strategy that the test runs with: ",
        "kernel_pool": "The judged candidates of ``kernel_task`` under ``kernel_strategy``: ",
    }.items():
        assert f"{name} -- " in fixtures and begins in fixtures


@pytest.mark.parametrize(
    "option", ["--collect-only", "--fixtures", "--fixtures-per-test", "--setup-plan", "--setup-only"]
)
def test_a_session_that_only_shows_leaves_no_run(pytester, option):
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\nkernelbench_strategy = 'random'\nkernelbench_tasks = ['level1/19']\n"
    )
    result = pytester.runpytest_subprocess(*PLUGIN, option)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*recorded in*")
    assert not (pytester.path / ".kernelbench").exists()
