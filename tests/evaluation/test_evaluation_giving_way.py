"""Steps at which a trial lets others pass."""

from pytest_kernelbench.evaluation.sharing.giving_way import give_way, giving_way


def test_way_is_given_as_the_innermost_block_says_and_outside_of_all_nothing_happens():
    seen = []
    give_way()
    with giving_way(lambda: seen.append("outer")):
        give_way()
        with giving_way(lambda: seen.append("inner")):
            give_way()
        give_way()
    give_way()
    assert seen == ["outer", "inner", "outer"]
