"""Components of variance of tasks, programs and seeds, against simulation and a balanced layout worked out by hand."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import components


def nested(rng, at_most, spreads):
    """Values of seeds by program by task; ``at_most`` and ``spreads`` (standard deviations) of task, program, seed."""
    tasks, programs, seeds = at_most
    sd_task, sd_program, sd_seed = spreads
    return {
        f"t{t}": {
            f"p{p}": (mean_t + rng.normal(0, sd_program) + rng.normal(0, sd_seed, rng.integers(1, seeds + 1))).tolist()
            for p in range(rng.integers(1, programs + 1))
        }
        for t, mean_t in enumerate(rng.normal(0, sd_task, tasks))
    }


def test_what_was_put_in_comes_out_on_average_whatever_the_sizes():
    rng = numpy.random.default_rng(0)
    found = numpy.array([components(nested(rng, (30, 6, 3), (0.5, 0.3, 0.1))) for _ in range(80)])
    assert numpy.sqrt(found.mean(axis=0)) == pytest.approx([0.5, 0.3, 0.1], rel=0.06)


def test_a_balanced_layout_is_the_textbook_s():
    """Two tasks of two programs of two seeds: mean squares 50, 5 and 1 / 2."""
    values = {"a": {"p": [0.0, 1.0], "q": [2.0, 3.0]}, "b": {"p": [5.0, 6.0], "q": [7.0, 8.0]}}
    found = components(values)
    assert found.seed == pytest.approx(0.5)
    assert found.program == pytest.approx((4.0 - 0.5) / 2)
    assert found.task == pytest.approx((50.0 - 4.0) / 4)


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.dictionaries(st.sampled_from("pq"), st.lists(st.floats(-3, 3), max_size=3))
    )
)
def test_no_layout_is_too_poor(values):
    found = components(values)
    assert all(each is None or each >= 0 for each in found)


def test_one_seed_says_nothing_of_seeds_and_one_task_nothing_of_tasks():
    assert components({"a": {"p": [1.0], "q": [2.0]}}) == (None, pytest.approx(0.5), None)
    assert components({}) == (None, None, None)


@given(st.integers(0, 9999))
def test_unequal_groups_are_the_solution_of_the_expected_sums_of_squares(seed):
    """Sums of squares as projections, whose expectations are traces: the equations are solved, not written out."""
    rng = numpy.random.default_rng(seed)
    values = nested(rng, (4, 3, 3), (0.5, 0.3, 0.1))
    task_N = [task for task, of in values.items() for each in of.values() for _ in each]
    program_N = [(task, name) for task, of in values.items() for name, each in of.items() for _ in each]
    y = numpy.array([x for of in values.values() for each in of.values() for x in each])
    tasks, programs = len(set(task_N)), len(set(program_N))
    by_task, by_program = (
        numpy.array([[float(a == b) for b in dict.fromkeys(names)] for a in names]) for names in (task_N, program_N)
    )
    onto_task, onto_program = (each @ numpy.linalg.inv(each.T @ each) @ each.T for each in (by_task, by_program))
    forms = [onto_task - 1 / len(y), onto_program - onto_task, numpy.eye(len(y)) - onto_program]
    spreads = [by_task @ by_task.T, by_program @ by_program.T, numpy.eye(len(y))]
    if programs == tasks or len(y) == programs:
        return
    expected = numpy.linalg.solve([[numpy.trace(f @ s) for s in spreads] for f in forms], [y @ f @ y for f in forms])
    found = components(values)
    assert found.seed == pytest.approx(expected[2])
    assert found.program == pytest.approx(max(0.0, expected[1]), abs=1e-9)
    if expected[1] >= 0:
        assert found.task == pytest.approx(max(0.0, expected[0]), abs=1e-9)
