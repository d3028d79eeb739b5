"""Probes: correlations worked by hand, and the same text scored under every checkpoint of a real run."""

import json

import pytest

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.adaptation.probes import Probe, summarise


def probe(step, task, index, nll, speedup):
    return Probe(lineage="a", step=step, task=task, index=index, nll=nll, n_tokens=4, speedup=speedup)


def test_rho_is_over_correct_rollouts_within_tasks_and_in_the_tail_of_step_0():
    start = [probe(0, "one", i, float(i), 1.0 + i) for i in range(8)]
    start += [probe(0, "two", i, 10.0 + i, 1.0 - i / 10) for i in range(8)]
    start.append(probe(0, "two", 9, 100.0, None))
    later = [probe(1, each.task, each.index, -each.nll, each.speedup) for each in start]
    first, second = summarise(start + later)
    assert (first.step, first.n, second.step) == (0, 16, 1)
    assert first.mean_nll == pytest.approx(sum(each.nll for each in start) / 17)
    assert first.rho_within_tasks == pytest.approx(0.0)
    assert first.rho_tail == pytest.approx(-1.0)  # the four least likely at step 0, all of task two
    assert second.rho_tail == pytest.approx(1.0)
    assert second.rho == pytest.approx(-first.rho)


def test_where_nothing_varies_there_is_no_rho():
    (row,) = summarise([probe(0, "one", i, float(i), 1.0) for i in range(8)])
    assert (row.rho, row.p, row.rho_within_tasks) == (None, None, None)


def test_a_run_without_adaptation_is_told_what_to_run(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({"strategies": []}))
    assert main(["probe", str(tmp_path)]) == 2
    assert "holds no adaptation; run a strategy such as batch-ttt first" in capsys.readouterr().err
