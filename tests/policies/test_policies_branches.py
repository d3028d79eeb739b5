"""Which rows are computed together: those with the same tokens so far, in places that move few of them."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.policies.branches import branched

# A step: one of few tokens for each row, and which rows go on after it.
STEPS = st.integers(1, 8).flatmap(
    lambda rows: st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), min_size=rows, max_size=rows),
            st.lists(st.booleans(), min_size=rows, max_size=rows),
        ),
        max_size=6,
    ).map(lambda steps: (rows, steps))
)


@given(STEPS)
def test_each_beginning_is_held_once_and_is_that_of_its_rows(case: tuple[int, list[tuple[list[int], list[bool]]]]):
    rows, steps = case
    texts: dict[int, tuple[int, ...]] = dict.fromkeys(range(rows), ())
    of_row: dict[int, int] = dict.fromkeys(range(rows), 0)
    held: list[tuple[int, ...]] = [()]
    for tokens, goes_on in steps:
        left = list(texts)
        new = branched([of_row[row] for row in left], [tokens[row] for row in left])
        held = [(*held[parent], token) for parent, token in zip(new.parents, new.token_ids, strict=True)]
        texts = {row: (*texts[row], tokens[row]) for row in left}
        of_row = dict(zip(left, new.of_rows, strict=True))
        assert {row: held[of_row[row]] for row in left} == texts
        assert sorted(held) == sorted(set(texts.values()))
        texts = {row: text for row, text in texts.items() if goes_on[row]}


def test_a_beginning_keeps_its_place_where_there_is_one() -> None:
    assert branched([0, 1, 1, 2], [7, 7, 8, 7]).parents == [0, 1, 2, 1]
    assert branched([0, 2, 3], [7, 7, 7]).parents == [0, 3, 2]
