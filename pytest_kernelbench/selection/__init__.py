"""Chooses a strategy's candidate: by the properties that it may see, and by the timings that it may use.

To add a ranking: write ``selection/<name>.py``, and add its line to ``RANKINGS`` in ``registries.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.records import Judged
from pytest_kernelbench.registries import RANKINGS
from pytest_kernelbench.selection.base import Choice, Ranking, Sees, Visible, score_of, visible
from pytest_kernelbench.strategy import SelectionSettings

__all__ = ["RANKINGS", "Choice", "Ranking", "Sees", "Visible", "ranked_and_not", "select"]


def select(group: Sequence[Judged], settings: SelectionSettings, *, seed: int, named: int | None = None) -> Choice:
    """Choose among the candidates of one task; ``Choice.index`` is None where none of them is correct.

    Equal scores are decided by the lower index. Of candidates with the same source only the first is ranked, unless
    ``settings.distinct`` is false: how often a program was drawn changes neither its score nor its place. Candidates
    without the number that the ranking needs are in ``Choice.unranked``, unless another with the same source has it.
    ``named``: index of the candidate that the policy forecast to be the fastest, if it was asked.
    """
    by_index = {judged.candidate.index: judged for judged in group if judged.evaluation.correct}
    by = RANKINGS[settings.by]
    correct, unranked = ranked_and_not(group, settings)
    considered = by.order([visible(judged, by.sees, settings, named) for judged in correct], seed)
    if by.sees is not Sees.TIMINGS:
        considered = considered[: settings.top]
    then = RANKINGS[settings.then]
    shortlist = [visible(by_index[index], then.sees, settings) for index in considered]
    return Choice(
        index=next(iter(then.order(shortlist, seed)), None),
        considered=tuple(considered),
        unranked=tuple(unranked),
        by_timing=len(considered) > 1 and Sees.TIMINGS in (by.sees, then.sees),
    )


def ranked_and_not(group: Sequence[Judged], settings: SelectionSettings) -> tuple[list[Judged], list[int]]:
    """The correct candidates that a strategy ranks, each program once, and the indices of those it cannot rank."""
    correct = sorted((each for each in group if each.evaluation.correct), key=lambda each: each.candidate.index)
    sees = RANKINGS[settings.by].sees
    if settings.distinct:
        correct = _programs(correct, sees, settings)
    unranked = [each.candidate.index for each in correct if score_of(each, sees, settings) is None]
    return [each for each in correct if each.candidate.index not in unranked], unranked


def _programs(correct: Sequence[Judged], sees: Sees, settings: SelectionSettings) -> list[Judged]:
    """The first candidate of each source, the first with a score where there is one, in order of index."""
    found: dict[object, Judged] = {}
    for judged in correct:
        source = judged.evaluation.source_sha256
        program = ("index", judged.candidate.index) if source is None else source
        known = found.setdefault(program, judged)
        if score_of(known, sees, settings) is None and score_of(judged, sees, settings) is not None:
            found[program] = judged
    return sorted(found.values(), key=lambda judged: judged.candidate.index)
