"""Every selector and control replayed on the stored candidates, and each compared with its control.

Replay uses first timings, the only ones that every candidate has; what a strategy reached when its choice was timed
again is in ``strategies``. One entry of ``analyses["selection"]`` for each set of candidates::

    {"strategies": [name, ...], "of": COUNTS, "tasks": 5, "seeds": 1,
     "selectors": {SELECTOR: {"by": "surprisal", "top": 3, "logprob": "mean" | "sum" | null, "of": OF | null,
                              "unit": "program" | "draw",
                              "fast_1": estimate, "fast_1_raw": estimate,
                              "mean_speedup": estimate, "geomean_speedup": estimate,
                              "by_seed": {"0": {"fast_1": x, "fast_1_raw": x, "mean_speedup": x,
                                                "geomean_speedup": x}},
                              "sd_over_seeds": {the same four: x | null}}},
     "comparisons": [{"selector": SELECTOR, "control": SELECTOR, "tasks": 5,
                      "verified": RATES, "raw": RATES, "log_speedup": {"ratio": estimate, "test": TEST | null},
                      "paper": {"wilcoxon": {"n": 5, "statistic": 10.0, "p": 0.08} | null, "sign": SIGN,
                                "wilcoxon_task_seeds": the same | null, "sign_task_seeds": SIGN}}]}

    RATES = {"difference": estimate, "cohens_h": x, "test": TEST | null}
    TEST = {"statistic": x, "expected": x, "p_one_sided": x, "p_two_sided": x, "least_p": x,
            "exact": bool, "draws": 20000 | null, "p_error": x}
    SIGN = {"wins": 3, "losses": 0, "ties": 2, "p_one_sided": 0.125, "p_two_sided": 0.25}

SELECTOR is ``oracle``, ``oracle-verified``, ``random``, ``random-top3``, ``confidence``, ``surprisal-top3``,
``surprisal-code-sum``, ... OF is ``answer`` (without the reasoning before it), ``code`` (the tokens that are code,
where known), ``all`` (where there is reasoning) or ``tempered`` (all, at the temperature sampled at, where that was not
1). ``unit``: top 3 looks at three programs, random ones are exact expectations over programs; selectors named
``-draws`` rank candidates, of which several may be one program, and their random ones are exact over draws, as in the
paper. A task with no correct candidate counts as not fast and as 1.0; a unit that was not judged, timed or ranked is
left out, and ``tasks`` of an estimate says how many are in it.

TEST is the randomisation test within tasks (``stats.randomisation``), the only one here that assumes nothing but that a
useless score orders a task's programs at random: null for selectors of draws, whose programs repeat, and for oracles,
which see what they are tested on. ``paper`` holds the paper's tests, which assume more: Wilcoxon's that log ratios are
symmetric around 0, which ratios to an expectation of skewed speed-ups are not, and the sign test that a task is as
likely to be won as lost; over tasks, and over the paper's own unit, a task with a seed, as if seeds were independent.
No p-value is adjusted for there being many: the primary comparison is in ``analyses["primary"]``, all here are
secondary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import stdev

import numpy

from pytest_kernelbench.report.analyses.base import READINGS, Floats, Json, SampleGroup, for_each_group
from pytest_kernelbench.report.analyses.estimates import by_task, finite, not_negative
from pytest_kernelbench.report.analyses.replay import Replay, null_of, replays
from pytest_kernelbench.report.stats import RandomisationTest, cohens_h, randomisation_test, sign_test, signed_rank
from pytest_kernelbench.selection import RANKINGS, Sees

NUMBERS = ("fast_1", "fast_1_raw", "mean_speedup", "geomean_speedup")


def of_group(group: SampleGroup) -> Json:
    found = replays(group)
    return {
        "tasks": group.tasks,
        "seeds": group.seeds,
        "selectors": {name: _summary(group, replay) for name, replay in found.items()},
        "comparisons": [_comparison(group, name, control) for name in found for control in _controls_of(name, found)],
    }


selection = for_each_group(of_group)


def _summary(group: SampleGroup, replay: Replay) -> Json:
    settings = replay.settings
    needs_logprob = RANKINGS[settings.by].sees is Sees.LOGPROBS
    seed_of = [unit.results.seed for unit in group.units]
    by_seed: dict[str, dict[str, float | None]] = {
        str(seed): _numbers(replay, [place for place, each in enumerate(seed_of) if each == seed])
        for seed in dict.fromkeys(seed_of)
    }
    if list(by_seed) == ["None"]:
        by_seed = {str(group.results.seed): by_seed["None"]}
    return {
        "by": settings.by,
        "top": settings.top,
        "logprob": settings.logprob if needs_logprob else None,
        "of": replay.of if needs_logprob else None,
        "unit": "program" if settings.distinct else "draw",
        "fast_1": group.rate(replay.fast_U["verified"]),
        "fast_1_raw": group.rate(replay.fast_U["raw"]),
        "mean_speedup": not_negative(group.estimate(replay.speedup_U)),
        "geomean_speedup": group.geomean(replay.log_speedup_U),
        "by_seed": by_seed,
        "sd_over_seeds": {number: _sd([each[number] for each in by_seed.values()]) for number in NUMBERS},
    }


def _numbers(replay: Replay, places: list[int]) -> dict[str, float | None]:
    log_mean = _mean(replay.log_speedup_U[places])
    return {
        "fast_1": _mean(replay.fast_U["verified"][places]),
        "fast_1_raw": _mean(replay.fast_U["raw"][places]),
        "mean_speedup": _mean(replay.speedup_U[places]),
        "geomean_speedup": None if log_mean is None else float(numpy.exp(log_mean)),
    }


def _mean(values: Floats) -> float | None:
    known = values[~numpy.isnan(values)]
    return float(known.mean()) if len(known) else None


def _sd(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return stdev(known) if len(known) > 1 else None


def _controls_of(name: str, found: Mapping[str, Replay]) -> list[str]:
    """Random selection that looks at as many timings of the same unit, and for surprisal its opposite."""
    settings = found[name].settings
    if settings.by == "random":
        return []
    if settings.by == "fastest":
        return ["random"]
    words = ["random", *([] if settings.distinct else ["draws"]), *([f"top{settings.top}"] if settings.top > 1 else [])]
    opposite = name.replace("surprisal", "confidence") if settings.by == "surprisal" else None
    return [control for control in ("-".join(words), opposite) if control is not None and control in found]


def _comparison(group: SampleGroup, name: str, control: str) -> Json:
    found = replays(group)
    a, b = found[name], found[control]
    ratios_U = a.log_speedup_U - b.log_speedup_U
    known_U = ~numpy.isnan(ratios_U)
    ratios = group.estimate(ratios_U)
    return {
        "selector": name,
        "control": control,
        "tasks": 0 if ratios is None else ratios["tasks"],
        **{reading: _rates(group, name, control, reading) for reading in READINGS},
        "log_speedup": {"ratio": group.geomean(ratios_U), "test": tested(group, name, control, "log_speedup")},
        "paper": {
            **_paper(
                _over_tasks(group, ratios_U, known_U), _over_tasks(group, a.fast_U["raw"] - b.fast_U["raw"], known_U)
            ),
            **{
                f"{test}_task_seeds": value
                for test, value in _paper(
                    ratios_U[known_U].tolist(), (a.fast_U["raw"] - b.fast_U["raw"])[known_U].tolist()
                ).items()
            },
        },
    }


def _rates(group: SampleGroup, name: str, control: str, reading: str) -> Json:
    a_U, b_U = (replays(group)[each].fast_U[reading] for each in (name, control))
    known_U = ~numpy.isnan(a_U - b_U)
    rates = [float(numpy.mean(_over_tasks(group, each, known_U))) for each in (a_U, b_U)] if known_U.any() else None
    return {
        "difference": group.difference(a_U - b_U),
        "cohens_h": None if rates is None else finite(cohens_h(*(min(each, 1.0) for each in rates))),
        "test": tested(group, name, control, reading),
    }


def tested(group: SampleGroup, name: str, control: str, outcome: str) -> Json | None:
    """The randomisation test of one of ``OUTCOMES`` as a JSON value."""
    found = randomised(group, name, control, outcome)
    return None if found is None else found._asdict()


def randomised(group: SampleGroup, name: str, control: str, outcome: str) -> RandomisationTest | None:
    """None where no score is tested, or where nothing is known of the outcome."""
    a, b = (replays(group)[each] for each in (name, control))
    if a.settings.by not in ("surprisal", "confidence") or not (a.settings.distinct and b.settings.distinct):
        return None
    against_last = b.settings.by != "random"
    difference_U = a.outcome_U(outcome) - (b.outcome_U(outcome) if against_last else 0.0)
    known_U = ~numpy.isnan(difference_U)
    if not known_U.any():
        return None
    null = null_of(group, a.of, a.settings.logprob, outcome, a.settings.top, against_last=against_last)
    return randomisation_test(float(numpy.mean(_over_tasks(group, difference_U, known_U))), null)


def _over_tasks(group: SampleGroup, values_U: Floats, known_U: numpy.ndarray) -> list[float]:  # type: ignore[type-arg]
    """For each task with known units, the mean over these (its seeds)."""
    tasks = [task for task, known in zip(group.tasks_U, known_U, strict=True) if known]
    means: list[float] = by_task(tasks, values_U[known_U]).tolist() if tasks else []
    return means


def _paper(log_ratios: Sequence[float], differences: Sequence[float]) -> Json:
    ranked = signed_rank(log_ratios)
    return {
        "wilcoxon": None if ranked is None else ranked._asdict(),
        "sign": sign_test(differences)._asdict(),
    }
