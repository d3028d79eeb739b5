"""Rows of a made-up run as a person would count them: nothing of the package is used but ``fast`` and ``fast_raw``."""

from itertools import combinations
from math import isclose, log
from statistics import mean

from made_up_study import MARGIN


class Row:
    """One answer, from its rows."""

    def __init__(self, completion, evaluation):
        self.correct = evaluation.correct
        self.speed = evaluation.speedup if evaluation.correct else None
        self.raw = float(evaluation.fast_raw())
        self.verified = float(evaluation.fast(margin=MARGIN))
        self.source = evaluation.source_sha256
        self.tokens = completion.n_tokens
        self.sum = completion.sum_logprob
        self.mean = None if self.sum is None else self.sum / self.tokens


def rows_by_task(found) -> dict[str, list[Row]]:
    return {
        task: [
            Row(found.completions["s", of, index], evaluation)
            for (_, _, of, index), evaluation in found.evaluations.items()
            if of == task
        ]
        for task in found.tasks
    }


def same(value, expected) -> bool:
    if value is None or expected is None:
        return value is expected
    return isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)


def mean_of(values):
    known = [each for each in values if each is not None]
    return mean(known) if known else None


def value(estimate):
    return None if estimate is None else estimate["value"]


def is_verifiable(found) -> bool:
    return any(each.speedup_low is not None for each in found.evaluations.values() if each.correct) or not any(
        each.correct and each.speedup is not None for each in found.evaluations.values()
    )


def long_enough(rows_T) -> list[list[Row]]:
    """Tasks with half as many answers as the one with most, which curves are over."""
    most = max(map(len, rows_T.values()))
    return [rows for rows in rows_T.values() if rows and 2 * len(rows) >= most]


def of_random(rows, top, reading) -> float:
    """The fastest of ``top`` random ones of the distinct correct programs."""
    programs = list({row.source: row for row in rows if row.correct}.values())
    if not programs:
        return 0.0
    draws = combinations(programs, min(top, len(programs)))
    return mean(getattr(max(draw, key=lambda row: row.speed or 0), reading) for draw in draws)


def programs_of(rows, score="mean"):
    """The distinct correct ones in the order of their first answers, with the first score that one of these has."""
    answers = {}
    for row in rows:
        if row.correct:
            answers.setdefault(row.source, []).append(row)
    return [
        Program(each[0], next((value for row in each if (value := getattr(row, score)) is not None), None), len(each))
        for each in answers.values()
    ]


class Program:
    """A distinct source: what its first answer measured, the score it ranks by, and how many answers have it."""

    def __init__(self, row, score, count):
        self.source, self.speed, self.raw, self.verified = row.source, row.speed, row.raw, row.verified
        self.tokens, self.score, self.count = row.tokens, score, count


def is_timed(rows) -> bool:
    return bool(rows) and all(program.speed is not None for program in programs_of(rows))


def is_ranked(rows, score="mean") -> bool:
    return bool(rows) and all(program.score is not None for program in programs_of(rows, score))


def ranked(programs, by):
    """The most surprising first, or the least; of equal ones the first answered."""
    return sorted(programs, key=lambda each: each.score if by == "surprisal" else -each.score)


def chosen(rows, each):
    """Verified, raw, speed-up and its logarithm of what a selector takes on a task, in the mean over its draws.

    None where the task lacks what it goes by.
    """
    by, top, score, unit = (each[key] for key in ("by", "top", "logprob", "unit"))
    score = score or "mean"
    scored = by in ("surprisal", "confidence")
    if not is_timed(rows) or (scored and not is_ranked(rows, score)):
        return None
    programs = programs_of(rows, score)
    if unit == "draw":
        correct = [row for row in rows if row.correct]
        if scored and any(getattr(row, score) is None for row in correct):
            return None
        for row in correct:
            row.score = getattr(row, score)
        programs = correct
    if not programs:
        return 0.0, 0.0, 1.0, 0.0
    if by == "random":
        looked_at = combinations(programs, min(top, len(programs)))
    else:
        looked_at = [ranked(programs, by)[:top] if scored else programs]
    taken = [max(few, key=lambda one: one.speed) for few in looked_at]
    of = [(one.verified, one.raw, one.speed, log(one.speed)) for one in taken]
    return tuple(mean(column) for column in zip(*of, strict=True))


def of_oracle_verified(rows):
    if not is_timed(rows):
        return None
    programs = programs_of(rows)
    best = [each for each in programs if each.verified] or programs
    if not best:
        return 0.0, 0.0, 1.0, 0.0
    one = max(best, key=lambda each: each.speed)
    return one.verified, one.raw, one.speed, log(one.speed)


def replayed(found, selectors):
    rows_T = rows_by_task(found)
    return {
        name: [
            of_oracle_verified(rows) if name == "oracle-verified" else chosen(rows, each) for rows in rows_T.values()
        ]
        for name, each in selectors.items()
    }
