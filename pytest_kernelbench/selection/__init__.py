"""Which candidate a strategy takes: by what it may see, and by timings only of those it may look at.

To add a ranking: write ``selection/<name>.py``, and add its line to ``RANKINGS`` in ``registries.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.records import Judged
from pytest_kernelbench.registries import RANKINGS
from pytest_kernelbench.selection.base import Choice, Ranking, Sees, Visible, logprob_of, visible
from pytest_kernelbench.strategy import SelectionSettings

__all__ = ["RANKINGS", "Choice", "Ranking", "Sees", "Visible", "select"]


def select(group: Sequence[Judged], settings: SelectionSettings, *, seed: int) -> Choice:
    """Choose among the candidates of one task; ``Choice.index`` is None where none of them is correct.

    Equal scores are decided by the lower index. Of candidates with the same source the first stands for all, unless
    ``settings.distinct`` is false: how often a program was drawn changes neither its score nor its place. Those whose
    log-probability is needed and not known are not ranked, ``Choice.unranked``, unless another with the same source is.
    """
    by_index = {judged.candidate.index: judged for judged in group if judged.evaluation.correct}
    correct = [by_index[index] for index in sorted(by_index)]
    if settings.distinct:
        correct = _programs(correct, settings)
    by = RANKINGS[settings.by]
    unranked: list[int] = []
    if by.sees is Sees.LOGPROBS:
        unranked = [each.candidate.index for each in correct if logprob_of(each, settings) is None]
        correct = [each for each in correct if each.candidate.index not in unranked]
    considered = by.order([visible(judged, by.sees, settings) for judged in correct], seed)
    if by.sees is not Sees.TIMINGS:
        considered = considered[: settings.top]
    then = RANKINGS[settings.then]
    shortlist = [visible(by_index[index], then.sees, settings) for index in considered]
    return Choice(
        index=next(iter(then.order(shortlist, seed)), None),
        considered=tuple(considered),
        unranked=tuple(unranked),
    )


def _programs(correct: Sequence[Judged], settings: SelectionSettings) -> list[Judged]:
    """The first candidate of each source, the first with a log-probability where there is one, in order of index."""
    found: dict[object, Judged] = {}
    for judged in correct:
        source = judged.evaluation.source_sha256
        program = ("index", judged.candidate.index) if source is None else source
        known = found.setdefault(program, judged)
        if logprob_of(known, settings) is None and logprob_of(judged, settings) is not None:
            found[program] = judged
    return sorted(found.values(), key=lambda judged: judged.candidate.index)
