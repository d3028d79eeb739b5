"""Refinement and evolution in the story: a policy that reads verdicts, and one that does not."""

import json

import pytest
from made_up_bench import TASK, Killed, rows
from made_up_readers import Deaf, Reader, searching

from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.report.analyses import Study
from pytest_kernelbench.report.analyses.budget import budget
from pytest_kernelbench.report.records import RunRecords


def test_refinement_solves_what_best_of_n_cannot(tmp_path):
    assert run_item(TASK, searching("best-of"), Reader(tmp_path / "a")).selection.index is None
    bench = Reader(tmp_path / "b")
    chosen = run_item(TASK, searching("refine"), bench).selection
    assert (chosen.index, chosen.speedup) == (4, 2.0)
    assert [bool(bench.read[index]) for index in range(6)] == [False, False, True, True, True, True]


def test_who_ignores_verdicts_gains_nothing_by_them(tmp_path):
    for method in ("best-of", "refine"):
        assert run_item(TASK, searching(method), Deaf(tmp_path / method)).selection.index is None


class Lottery(Reader):
    """Succeeds with its third and its sixth answer, whatever it has read."""

    def sample(self, task, sampling, *, seed, indices, advice=""):
        for index in indices:
            self.answer = {0: "wrong", 1: "wrong", 2: "good", 5: "best"}.get(index % 6, f"wrong {index}")
            yield from super().sample(task, sampling, seed=seed, indices=[index], advice=advice)

    def answer_to(self, advice):
        return self.answer


@pytest.mark.parametrize("method", ["refine", "evolve"])
def test_at_every_budget_a_policy_that_ignores_verdicts_has_found_what_it_finds_without_them(tmp_path, method):
    bench, strategies = Lottery(tmp_path), [searching("best-of"), searching(method)]
    chosen = [run_item(TASK, each, bench).selection for each in strategies]
    assert [(each.index, each.speedup) for each in chosen] == [(5, 2.0), (5, 2.0)]
    run = json.loads((tmp_path / "run.json").read_text())
    run |= {"strategies": [each.to_json() for each in strategies], "margin": 0.05}
    (tmp_path / "run.json").write_text(json.dumps(run))
    found = budget(Study.of(RunRecords.load(tmp_path)))["rollouts"]["strategies"]
    for number in ("verified", "geomean_speedup"):
        assert found[method][number]["value"] == found["best-of"][number]["value"]
    assert max(found[method]["verified"]["value"]) == 1.0


def test_evolution_goes_on_from_what_is_fast(tmp_path):
    class Lucky(Reader):
        def answer_to(self, advice):
            return "good" if not advice else super().answer_to(advice)

    bench = Lucky(tmp_path)
    assert run_item(TASK, searching("evolve", k=8), bench).selection.speedup == 2.0
    assert any("speed-up: 1.2x" in each for each in bench.read.values())


def test_candidates_of_a_search_are_not_those_of_sampling_alone(tmp_path):
    bench = Reader(tmp_path)
    run_item(TASK, searching("best-of"), bench)
    run_item(TASK, searching("refine"), bench)
    assert len({row["sampling_sha256"] for row in rows(bench, "completions")}) == 2


@pytest.mark.parametrize("method", ["refine", "evolve"])
@pytest.mark.parametrize("die_after", range(0, 8, 2))
def test_killed_at_any_moment_a_search_goes_on_at_its_turn(tmp_path, method, die_after):
    whole = Reader(tmp_path / "whole")
    expected = run_item(TASK, searching(method), whole).selection
    killed = Reader(tmp_path / "killed", die_after=die_after)
    with pytest.raises(Killed):
        run_item(TASK, searching(method), killed)
    again = Reader(tmp_path / "killed")
    assert run_item(TASK, searching(method), again).selection.index == expected.index
    assert sorted([*killed.sampled, *again.sampled]) == list(range(6))
    texts = [{row["index"]: sha256_of(row["text"]) for row in rows(bench, "completions")} for bench in (whole, again)]
    assert texts[0] == texts[1]
