"""Clusters of programs that say the same in other words, and of each the one that the policy expected least.

A ranking by surprisal may spend its three timings on three spellings of one idea. Here the first so many are of
different clusters: one representative each, in the order of surprisal, then all others in the same order. Clusters are
not ordered by their size: among answers whose correctness is not known the largest is the likeliest to be correct, but
here every program is correct, and frequent programs are those that surprisal avoids.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.selection.base import Ranking, Sees, Visible
from pytest_kernelbench.selection.normal_form import normal_form
from pytest_kernelbench.selection.surprisal import least_expected_first


def one_of_each_cluster_first(correct: Sequence[Visible], seed: int) -> list[int]:
    """The least expected of every cluster, least expected first; then the others, in that order too."""
    form_of = {each.index: normal_form(each.source or "") for each in correct}
    ranked = least_expected_first(correct, seed)
    first_of: dict[str, int] = {}
    for index in ranked:
        first_of.setdefault(form_of[index], index)
    representatives = list(first_of.values())
    return representatives + [index for index in ranked if index not in set(representatives)]


CLUSTER = Ranking(order=one_of_each_cluster_first, sees=Sees.PROGRAMS)
