"""Every estimator of a report against counting by hand, on random record sets, degenerate ones among them."""

import random
from itertools import combinations, permutations
from math import exp, isnan, log
from statistics import mean

import pytest
from made_up_study import MARGIN, Drawn, records_of
from random_records import records

from pytest_kernelbench.records import Candidate, Judged
from pytest_kernelbench.report.analyses import ANALYSES, Study
from pytest_kernelbench.report.analyses.adaptive_k import answers_until, posterior_stop, reservation
from pytest_kernelbench.report.analyses.replay import replays, settings_by_name
from pytest_kernelbench.report.render import render, report_json
from pytest_kernelbench.report.render.tables import tables_of
from pytest_kernelbench.selection import select


@pytest.mark.parametrize("seed", range(48))
def test_no_record_set_is_too_poor_for_a_report(seed):
    report = report_json(records(seed))
    tables_of(report)
    assert render(report, width=100)


@pytest.mark.parametrize("seed", range(48))
def test_every_selector_takes_what_selecting_among_the_candidates_takes(seed):
    (group,) = Study.of(records(seed)).groups
    for name, replay in replays(group).items():
        if replay.settings.by == "random" or name == "oracle-verified" or replay.of != "answer":
            continue
        for place, unit in enumerate(group.units):
            judged = [
                Judged(candidate=Candidate(completion=each.completion, source=None), evaluation=each.evaluation)
                for each in unit.results.samples
            ]
            if isnan(replay.speedup_U[place]):
                assert (
                    not judged
                    or not unit.is_timed
                    or not unit.is_ranked("answer", replay.settings.logprob)
                    or (not replay.settings.distinct)
                )
                continue
            index = select(judged, replay.settings, seed=0).index
            evaluation = next((each.evaluation for each in judged if each.candidate.index == index), None)
            assert replay.speedup_U[place] == (1.0 if evaluation is None else evaluation.speedup)
            assert replay.fast_U["raw"][place] == (0.0 if evaluation is None else evaluation.fast_raw())
            assert replay.fast_U["verified"][place] == (0.0 if evaluation is None else evaluation.fast(margin=MARGIN))


@pytest.mark.parametrize("seed", range(24))
def test_random_controls_are_means_over_all_draws_of_programs_or_of_candidates(seed):
    (group,) = Study.of(records(seed)).groups
    found = replays(group)
    for name in ("random", "random-top3", "random-draws", "random-draws-top3"):
        for place, unit in enumerate(group.units):
            correct = {
                each.evaluation.source_sha256 if "draws" not in name else each.index: each.evaluation.speedup
                for each in unit.results.samples
                if each.evaluation.correct
            }
            if not unit.is_timed or not correct:
                continue
            top = min(3 if "top3" in name else 1, len(correct))
            taken = [max(each) for each in combinations(correct.values(), top)]
            assert found[name].log_speedup_U[place] == pytest.approx(mean(map(log, taken)))
            assert found[name].fast_U["raw"][place] == pytest.approx(mean(float(each > 1) for each in taken))


def test_every_way_to_select_has_a_name_of_its_own():
    names = settings_by_name(of=["answer", "code"])
    assert len(set(names.values())) == len(names) - 1  # the two oracles select by the same settings


@pytest.mark.parametrize("seed", range(16))
def test_the_posterior_rule_stops_where_it_says_over_every_order(seed):
    rng = random.Random(seed)
    fast = [rng.random() < 0.4 for _ in range(rng.randint(1, 6))]
    most = rng.randint(1, 6)
    orders = list(permutations(fast))
    stops = [next((k for k, each in enumerate(order[:most], 1) if each), min(most, len(order))) for order in orders]
    assert answers_until(len(fast), sum(fast), most) == pytest.approx(mean(stops))
    k = posterior_stop(0.02)
    assert 0.5 / (1 + k) <= 0.02 < 0.5 / k


def test_the_reservation_value_is_where_one_more_answer_gives_what_it_costs():
    import numpy

    values = numpy.array([0.0, 0.0, 0.5, 1.0])
    z = reservation(values, 0.1)
    assert numpy.maximum(values - z, 0).mean() == pytest.approx(0.1)
    assert reservation(values, 10.0) == 0.0


def test_calibration_puts_each_program_in_one_decile_of_its_task_and_counts_it_once():
    group = [Drawn(2.0 if place < 5 else 0.5, -20.0 + place, source=f"p{place}") for place in range(10)]
    (found,) = ANALYSES["calibration"](Study.of(records_of({"level1/1_x": group * 3, "level1/2_y": group[:1]})))
    rows = found["sum"]
    assert [each["programs"] for each in rows] == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert [each["fast_1"]["value"] for each in rows] == [1, 1, 1, 1, 1, 0.5, 0, 0, 0, 0]
    assert rows[0]["geomean_speedup"]["value"] == pytest.approx(exp(log(2.0)))


def test_fast_1_falls_with_the_margin_and_needs_an_interval():
    found = ANALYSES["margins"](Study.of(records(0)))
    for curve in found["strategies"].values():
        assert curve["value"] == sorted(curve["value"], reverse=True)
        assert curve["falls_to"] == sorted(curve["falls_to"], reverse=True)
        assert curve["falls_at"] == sorted(curve["falls_at"])
    assert ANALYSES["margins"](Study.of(records_of({"level1/1_x": [Drawn(2.0)]}))) is None
