"""The search ``evolve``: a tree over distinct programs, and the choice of parents in it."""

from hypothesis import given
from hypothesis import strategies as st
from made_up_search import judged

from pytest_kernelbench.search import search_for
from pytest_kernelbench.search.evolve import ROOT
from pytest_kernelbench.strategy import SearchSettings


def evolve(width=2, exploration=1.0):
    return search_for(SearchSettings(method="evolve", width=width, exploration=exploration))


def test_the_first_turn_has_no_parents():
    assert evolve().parents([0, 1], {}) == {0: ROOT, 1: ROOT}
    assert evolve().shown([0, 1], {}) == {0: [], 1: []}


def test_where_nothing_is_correct_it_starts_anew():
    known = {index: judged(index, None) for index in range(2)}
    assert evolve().parents([2, 3], known) == {2: ROOT, 3: ROOT}


def test_the_best_programs_become_parents():
    known = {0: judged(0, 3.0), 1: judged(1, 2.0)}
    # Without exploration the order is that of the values; the root's is its best child's, and it comes after by index.
    assert evolve(exploration=0.0).parents([2, 3], known) == {2: ROOT, 3: 0}
    assert evolve().parents([2, 3], known)[2] == 0


def test_programs_of_one_line_are_not_parents_at_once():
    known = {0: judged(0, 1.0), 1: judged(1, None), 2: judged(2, 2.0), 3: judged(3, None)}
    search = evolve()
    assert search.parents([2, 3], known)[2] in (0, ROOT)
    parents = search.parents([4, 5], known)
    descent = search.parents([2], known)[2]
    if descent == 0:
        assert set(parents.values()) != {0, 2}


def test_a_program_seen_before_is_no_new_parent():
    known = {0: judged(0, 2.0, source="same"), 1: judged(1, 1.9, source="same"), 2: judged(2, 1.0), 3: judged(3, 1.0)}
    assert 1 not in evolve(width=4).parents([4, 5, 6, 7], known).values()


@given(
    rewards=st.lists(st.none() | st.floats(0.1, 10), min_size=12, max_size=12),
    width=st.integers(1, 4),
    exploration=st.floats(0, 3),
)
def test_parents_are_known_correct_programs_and_the_same_verdicts_give_the_same_tree(rewards, width, exploration):
    known = {index: judged(index, reward) for index, reward in enumerate(rewards)}
    turn = range(12 - 12 % width, 12 - 12 % width + width)
    before = {index: each for index, each in known.items() if index < turn[0]}
    parents = evolve(width, exploration).parents(turn, before)
    assert list(parents) == list(turn)
    assert all(each == ROOT or (each < turn[0] and rewards[each] is not None) for each in parents.values())
    assert parents == evolve(width, exploration).parents(turn, before)
