"""Bad input gets one clear line that names place, problem and remedy."""

import json

import pytest
from project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    strategies = project.folder / "strategies"
    strategies.mkdir()
    (strategies / "mine.toml").write_text('[sampling]\ntemprature = 1.0\n[selection]\nby = "random"\n')
    (strategies / "gated.toml").write_text("[gate]\nfast1 = 0.5\n")
    (strategies / "elsewhere.toml").write_text('[sampling]\npolicy = "tinny"\n')
    (project.folder / "wrong.toml").write_text('policy = "tinny"\n')
    (project.folder / "broken.py").write_text("def get_inputs(:\n")
    (project.folder / "no_model.py").write_text("def get_inputs(): ...\ndef get_init_inputs(): ...\n")
    (project.folder / "torn.jsonl").write_text('{"task": "level1/1", "text": "x"}\nnot json\n')
    (project.folder / "elsewhere.jsonl").write_text('{"task": "level9/7", "text": "x"}\n')
    (project.folder / "bare.jsonl").write_text('{"task": "level1/1", "text": "x"}\n')
    return project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy=surprisl"], '--strategy=surprisl: no such strategy; did you mean "surprisal"'),
        (["--strategy=mine"], 'mine.toml: [sampling] unknown key "temprature"; did you mean "temperature"?'),
        (["--strategy=gated"], 'strategy gated: [gate] no such metric "fast1"; did you mean "fast_1"?'),
        (["--kernelbench-set=sampling.kk=3"], 'unknown key "kk"; did you mean "k"?'),
        (["--policy=tinny"], '--policy=tinny: no such policy; did you mean "tiny"'),
        (
            ["--strategy=elsewhere"],
            'strategy elsewhere: [sampling] policy = tinny: no such policy; did you mean "tiny"? there are tiny, ',
        ),
        (["--policy=wrong.toml"], 'wrong.toml: policy = tinny: no such policy; did you mean "tiny"? there are tiny, '),
        (["--policy=replay:none.jsonl"], "none.jsonl"),
        (["--policy=replay:torn.jsonl"], "torn.jsonl:2: not JSON"),
        (["--policy=replay:bare.jsonl"], 'bare.jsonl:1: has no logprobs, which strategy "surprisal" needs'),
        (
            ["--policy=replay:elsewhere.jsonl"],
            "--policy=replay:elsewhere.jsonl: no row is for a task of this run; its rows are for level9/7",
        ),
        (["--tasks=level1/101"], "--tasks=level1/101: no such task"),
        (["--tasks=level1:subset3"], "--tasks=level1:subset3: no such split"),
        (
            ["--kernelbench-sizes=small", "--kernelbench-small=none.toml"],
            "/none.toml: no such file; give a TOML file with a table for each task",
        ),
        (["--tasks=broken.py"], "broken.py:1: does not parse"),
        (["--tasks=no_model.py"], "no_model.py: no class Model"),
        (["--kernelbench-device=cuda"], "--kernelbench-device=cuda: no CUDA device that torch can use here"),
        (["--kernelbench-fail-under=fast_9:1"], "fast_9"),
        (["--kernelbench-run=bare.jsonl"], "bare.jsonl: cannot hold a run (Not a directory); name another folder with"),
        (
            ["--kernelbench-baseline=eager,jit"],
            "--kernelbench-baseline=eager,jit: no baseline 'jit'; there are eager, compile",
        ),
        (
            ["--kernelbench-baseline=compile", "--kernelbench-judges=http://there:8000"],
            "--kernelbench-baseline=compile: a server judges against eager alone; "
            "leave out --kernelbench-judges=http://there:8000",
        ),
        (["--kernelbench-judges=there"], "--kernelbench-judges=there: not an address; write http://HOST:PORT"),
        (
            ["--kernelbench-judges=http://127.0.0.1:9"],
            "--kernelbench-judges=http://127.0.0.1:9: no answer (<urlopen error [Errno 111] Connection refused>); "
            "check that the server runs: GET http://127.0.0.1:9/health",
        ),
        (["--kernelbench-shard=3/2"], "--kernelbench-shard=3/2: write I/N with I from 1 to N, as in 2/8"),
    ],
)
def test_the_line_names_place_problem_and_remedy(project, arguments, message):
    # The last of an option counts; --tasks and --strategy add up, so the project's own are left out.
    replaced = {"--kernelbench-run", *(each.partition("=")[0] for each in arguments)}
    own = [each for each in project.command() if each.partition("=")[0] not in replaced]
    done = project.run_command([*own, *arguments])
    assert [line for line in done.stdout.splitlines() if message in line], done.stdout
    assert done.returncode != 0
    assert "Traceback" not in done.stdout


def test_a_run_folder_that_cannot_be_reported_at_the_end_is_one_line(benchmark_project):
    answers = benchmark_project.path / "answers.jsonl"
    answers.write_text(json.dumps({"task": "level1/2", "text": "no module"}) + "\n")
    run = benchmark_project.path / "run"
    run.mkdir()
    (run / "probes.jsonl").write_text("{}\n")
    fixed = ("--strategy=random", "--policy=replay:answers.jsonl", "--kernelbench-set=sampling.k=1")
    where = ("--no-kernelbench-null", "--kernelbench-run=run", "--tasks=problems/level1/2*")
    result = benchmark_project.run(*fixed, *where, apart=True)
    problem = f"{run}/probes.jsonl:1: not a row of probes.jsonl (no lineage); remove the line to read the rest"
    assert f"kernelbench: no report: {problem}" in result.outlines
    assert result.ret == 4 and "Traceback" not in "\n".join([*result.outlines, *result.errlines])
