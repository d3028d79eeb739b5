"""Rows that begin alike: which of them are computed together, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Branches(NamedTuple):
    """Distinct beginnings of rows, numbered from 0: of each, the ``parents`` it continues and its last token.

    ``of_rows``: of each row, the number of its beginning. A parent's first continuation keeps its number where that is
    one of the new numbers, so that few rows of a cache have to be moved.
    """

    parents: list[int]
    token_ids: list[int]
    of_rows: list[int]


def branched(of_rows: Sequence[int], token_ids: Sequence[int]) -> Branches:
    """The beginnings of rows that had the beginnings ``of_rows``, and of which each goes on with its token."""
    grown = list(zip(of_rows, token_ids, strict=True))
    distinct = list(dict.fromkeys(grown))
    places: dict[int, tuple[int, int]] = {}
    others = []
    for each in distinct:
        if each[0] < len(distinct) and each[0] not in places:
            places[each[0]] = each
        else:
            others.append(each)
    free = (place for place in range(len(distinct)) if place not in places)
    places |= dict(zip(list(free), others, strict=True))
    number = {each: place for place, each in places.items()}
    return Branches(
        parents=[places[place][0] for place in range(len(distinct))],
        token_ids=[places[place][1] for place in range(len(distinct))],
        of_rows=[number[each] for each in grown],
    )
