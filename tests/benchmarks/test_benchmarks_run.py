"""Each benchmark explains itself, runs on a CPU, and goes on where it was stopped."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import PYTHONPATH, RELU

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if "argparse" in path.read_text())


def run(script, *arguments, folder):
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *arguments]
    # For the sessions that a script starts.
    short = "-p without_figures --kernelbench-protocol=fast"
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTEST_ADDOPTS": short}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# One process for all, because most of them import torch.
HELPS = """
import contextlib, io, json, runpy, sys

folder, *scripts = sys.argv[1:]
sys.path.insert(0, folder)
shown = {}
for script in scripts:
    sys.argv = [f"{folder}/{script}.py", "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        runpy.run_path(sys.argv[0], run_name="__main__")
    shown[script] = told.getvalue()
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def helps():
    command = [sys.executable, "-c", HELPS, str(ROOT / "benchmarks"), *SCRIPTS]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": PYTHONPATH}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_shows_a_command(script, helps):
    assert re.search(rf"(python|torchrun .*) benchmarks/{script}\.py", helps[script])


@pytest.mark.slow
def test_throughput_judges_the_peer_s_candidates_and_then_all(tmp_path):
    drawn = ("--torch=1", "--kernels=0", "--wrong=1")
    command = ("--device=cpu", "--tasks=level1/12", "--protocols=fast", *drawn, "--json=rows.jsonl")
    shown = run("throughput", *command, folder=tmp_path)
    assert "1 of 1 tasks reached" in shown
    assert "fast: verdicts differ from the corpus's labels on 0 of 3 candidates" in shown
    found = rows(tmp_path / "rows.jsonl")
    assert [row["among"] for row in found] == ["same", "all", "all", "all"]
    assert [row["verdict"] for row in found[1:]] == ["correct", "correct", "incorrect"]
    assert found[0]["candidate"] in [row["candidate"] for row in found[1:]]
    assert all(row["seconds"] > 0 for row in found)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="OpenMP has one thread")
def test_cpu_threads_tells_the_time_of_a_call_under_each_setting(tmp_path):
    shown = run("cpu_threads", "--processes=1", "--bursts=3", folder=tmp_path)
    assert len(re.findall(r"^  40 small operators: (\d+\.\d{3} to \d+\.\d{3}(, | ms$)){3}", shown, re.M)) == 5


@pytest.mark.slow
def test_references_are_judged_as_their_own_candidates_and_go_on_where_they_were_stopped(tmp_path):
    (tmp_path / "level9").mkdir()
    (tmp_path / "level9" / "1_relu.py").write_text(RELU)
    (tmp_path / "level9" / "2_none.py").write_text(RELU.replace("return torch.relu(x)", "return None"))
    command = ("level9", "--device=cpu", "--sizes=full", "--json=rows.jsonl")
    shown = run("references", *command, folder=tmp_path)
    assert re.search(r"^level9/1 +correct +[01]\.\d{3}x +\d+\.\d s$", shown, re.M)
    assert re.search(
        r"^level9/2 +refused: level9/2_none: forward returns None, which depends on no input; ", shown, re.M
    )
    assert shown.endswith("2 references: 1 correct, 1 refused, 0 fast, 0 not correct\n")
    again = run("references", *command, folder=tmp_path)
    assert again == "2 references: 1 correct, 1 refused, 0 fast, 0 not correct\n"
    assert [row["kind"] for row in rows(tmp_path / "rows.jsonl")].count("refused") == 1


@pytest.mark.slow
def test_paper_protocol_measures_a_candidate_both_ways(tmp_path):
    command = ("--device=cpu", "--tasks=level1/12", "--torch=0", "--kernels=0", "--json=rows.jsonl")
    shown = run("paper_protocol", *command, folder=tmp_path)
    assert "1 of 1 tasks reached" in shown
    (row,) = rows(tmp_path / "rows.jsonl")
    assert row["candidate"] == "reference"
    assert (row["paper"]["outcome"], row["full"]["outcome"]) == ("correct", "correct")
    assert row["paper"]["speedup_low"] is None
    assert row["full"]["speedup_low"] < row["full"]["speedup"] < row["full"]["speedup_high"]


@pytest.mark.quiet
@pytest.mark.slow
def test_the_gate_says_what_it_reached_and_goes_on_from_there(tmp_path):
    command = ("--runs=1", "--limit=0.5", "--json=rows.jsonl")
    shown = run("gate", *command, "--limit-s=0", folder=tmp_path)
    assert "0 comparisons" in shown and "the same work    not reached" in shown
    shown = run("gate", *command, "--slowdown=1", folder=tmp_path)
    assert "2 comparisons" in shown
    same, slowed = rows(tmp_path / "rows.jsonl")
    assert (same["kind"], slowed["kind"]) == ("the same work", "100% more work")
    # Beside other programs the promise is that nothing is said.
    decided = slowed["verdict"] == "slower" and slowed["slowdown"] > 1.5
    assert decided or slowed["detail"].startswith("other processes used "), slowed
    assert "2 comparisons" in run("gate", *command, "--slowdown=1", folder=tmp_path)


@pytest.mark.slow
def test_the_null_goes_on_from_the_repeats_it_has(tmp_path):
    (tmp_path / "level1").mkdir()
    (tmp_path / "level1" / "1_Relu.py").write_text(RELU)
    command = ("--device=cpu", "--tasks=./level1", "--sizes=full", "--protocol=fast", "--json=rows.jsonl")
    assert "null: " in run("null", *command, "--repeats=1", folder=tmp_path)
    assert "\n2 evaluations" in run("null", *command, "--repeats=2", folder=tmp_path)
    assert [row["outcome"] for row in rows(tmp_path / "rows.jsonl")] == ["correct", "correct"]


@pytest.mark.slow
def test_sharding_replays_the_same_candidates_with_one_worker_and_with_two(tmp_path):
    shown = run("sharding", "--device=cpu", "--tasks=level1/5,level1/12", "--candidates=2", folder=tmp_path)
    assert "verdicts that differ: 0 of 4" in shown
    assert "with -n 2: " in shown


@pytest.mark.slow
def test_adaptation_times_sampling_a_step_and_trl_s_and_goes_on_from_the_stages_it_has(tmp_path):
    command = ("--small", "--k=4", "--tokens=8", "--rollouts=5", "--json=rows.jsonl")
    assert run("adaptation", *command, "--limit-s=0", folder=tmp_path).count("not reached") == 11
    run("adaptation", *command, folder=tmp_path)
    by_stage = {row["stage"]: row for row in rows(tmp_path / "rows.jsonl")}
    assert by_stage["sampling 4 x 8, shared prefill"]["n_tokens"] == 4 * 8
    assert by_stage["one step on 5 rollouts"]["n_tokens"] == 5 * (24 + 8)
    assert by_stage["TRL: one step on 4 rollouts"]["n_tokens"] == 4 * (24 + 8)
    assert all(row["seconds"] > 0 for row in by_stage.values())
    assert run("adaptation", *command, folder=tmp_path).count("stored") == 11


@pytest.mark.slow
def test_claims_are_made_by_honest_kernels_and_by_cheats(tmp_path):
    header, *lines = run("claims", "--device=cpu", "--protocol=fast", "--runs=1", folder=tmp_path).splitlines()
    assert header.endswith("protocol fast, margin 0.05")
    assert [line.split("  ")[0] for line in lines] == [
        "1.33 times faster",
        "4 times faster",
        "slow_reference_by_a_third",
        "forged_durations_by_three_tenths",
    ]
    assert all(" of 1 fast [" in line for line in lines)


PLAIN = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, *inputs):
        return {returns}
"""


@pytest.mark.slow
def test_real_kernels_are_read_from_checkouts_and_held_against_what_was_published(tmp_path):
    published = tmp_path / "published" / "optimized_cuda_code" / "h100.json"
    published.parent.mkdir(parents=True)
    right, wrong = (PLAIN.format(returns=text) for text in ("torch.clamp(inputs[0], min=0)", "inputs[0]"))
    published.write_text(
        "".join(
            json.dumps(
                {"level_id": 1, "task_id": number, "ref_code": RELU, "custom_code": source, "score_default": "2.0"}
            )
            + "\n"
            for number, source in enumerate((right, wrong), start=1)
        )
    )
    samples = tmp_path / "samples" / "results"
    samples.mkdir(parents=True)
    (samples / "level_1_problem_5_sample_0_kernel.py").write_text(PLAIN.format(returns="inputs[0] * inputs[1]"))
    (samples / "level_1_problem_5_sample_3_kernel.py").write_text(PLAIN.format(returns="inputs[0]"))
    shown = run("real_kernels", "published", "--device=cpu", "--json=rows.jsonl", folder=tmp_path)
    assert "published as faster: 2; correct here 1" in shown
    assert "published, of the correct: of fewer than two" in shown
    command = ("samples", "--device=cpu", "--sizes=small", "--tasks=level1/5", "--json=rows.jsonl")
    assert "judged 2 in " in run("real_kernels", *command, folder=tmp_path)
    found = [(row["outcome"], row["published"]) for row in rows(tmp_path / "rows.jsonl")]
    assert sorted(found[:2]) == [("correct", 2.0), ("incorrect", 2.0)]
    assert sorted(found[2:], key=str) == [("correct", None), ("incorrect", None)]


def test_real_kernels_says_what_it_can_read(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "real_kernels.py"), "."]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert (
        "ValueError: .: neither optimized_cuda_code/h100.json nor results/ is there; "
        "give a checkout of one of the two corpora"
    ) in done.stderr
