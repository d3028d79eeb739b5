"""The command ``compare``: its text, its JSON, and runs that it refuses to compare."""

import json

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.__main__ import main


def test_two_runs_are_compared_task_by_task_in_the_width_of_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write_run(tmp_path / "a", "surprisal", k=8)
    write_run(tmp_path / "b", "surprisal", k=12, policy="other")
    assert main(["compare", "a", "b"]) == 0
    assert (
        capsys.readouterr().out
        == """\
A: a
B: b

surprisal: 1 faster, 3 same, 1 neither
           change  A      B      B / A [95 %]        verdict
level1/4   faster  0.54x  1.10x  2.04x [1.99, 2.09]  correct -> fast
level1/5   same    0.97x  0.97x  1.00x [0.97, 1.03]  correct
level1/12  same    16.3x  16.3x  1.00x [0.98, 1.02]  fast
level1/14  same    0.62x  0.62x  1.00x [0.99, 1.01]  correct
fast_1 20 % -> 40 %, a difference of +20 [-36, +100] points; geometric mean of B / A 1.15x (level1/4
of 5 tasks carries this mean: no interval holds)

note: policy: tiny and other
note: surprisal: its settings differ
"""
    )
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["compare", "a", "b"]) == 0
    assert (
        """\
fast_1 20 % -> 40 %, a difference of +20 [-36, +100] points;
geometric mean of B / A 1.15x (level1/4 of 5 tasks carries
this mean: no interval holds)
"""
        in capsys.readouterr().out
    )


def test_the_comparison_can_be_had_as_json(tmp_path):
    a, b = write_run(tmp_path / "a", "oracle", k=4), write_run(tmp_path / "b", "oracle", k=4)
    assert main(["compare", str(a), str(b), "--json", str(tmp_path / "both.json")]) == 0
    comparison = json.loads((tmp_path / "both.json").read_text())
    assert comparison["strategies"]["oracle"]["counts"]["same"] == 4


def test_devices_are_not_compared_unless_told_to(tmp_path, capsys):
    a, b = write_run(tmp_path / "a", "oracle", k=4), write_run(tmp_path / "b", "oracle", k=4, device="cpu")
    assert main(["compare", str(a), str(b)]) == 4
    assert capsys.readouterr().err == (
        f'error: {b}: device is "cpu", but "NVIDIA H200" in {a}; report them one at a time, or together with --mix\n'
    )
    assert main(["compare", str(a), str(b), "--mix"]) == 0
    assert "note: device: NVIDIA H200 and cpu" in capsys.readouterr().out


def test_a_run_is_not_compared_with_itself(tmp_path, capsys):
    folder = str(write_run(tmp_path, "oracle", k=2))
    assert main(["compare", folder, folder]) == 4
    assert capsys.readouterr().err == f"error: {folder}: the same run twice; name two\n"


def test_several_policies_with_their_seeds_are_set_beside_the_first(tmp_path, capsys, monkeypatch):
    folders = [
        *make_synthetic_run(tmp_path / "a", tasks=6, k=16, seeds=(0, 1), strategies=("oracle", "random")),
        *make_synthetic_run(tmp_path / "b", tasks=5, k=4, seeds=(0,), strategies=("oracle", "random"), policy="other"),
    ]
    monkeypatch.setenv("COLUMNS", "100")
    file = tmp_path / "all.json"
    assert main(["compare", *map(str, folders), "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "oracle, tiny",
        "random, tiny",
        "oracle, other",
        "random, other",
    ]
    assert lines[5].startswith("5 tasks, paired; p by exchanging the two policies within tasks")
    found = json.loads(file.read_text())
    assert found["tasks"] == 5 and len(found["left_out"]) == 1
    first, _, other, _ = found["rows"]
    assert first["seeds"] == [0, 1] and first["difference"] is None
    assert other["difference"]["value"] == pytest.approx(other["fast_1"]["value"] - first["fast_1"]["value"])
    assert other["p_success"]["exact"] and 0 < other["p_success"]["p"] <= 1


def test_three_runs_without_a_task_in_common_are_refused(tmp_path, capsys):
    a, b, c = (
        write_run(tmp_path / name, "oracle", k=2, tasks=TASKS[place : place + 1]) for place, name in enumerate("abc")
    )
    assert main(["compare", str(a), str(b), str(c)]) == 4
    assert capsys.readouterr().err.startswith(f"error: {a}: no task in common with all others")
