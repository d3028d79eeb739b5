"""Every selector and control replayed on the stored candidates, and each compared with its control.

Replay uses first timings, the only ones that every candidate has; what a strategy reached when its choice was
timed again is in ``strategies``. One entry of ``analyses["selection"]`` for each set of candidates::

    {"strategies": [name, ...], "tasks": 5, "seeds": 1,
     "selectors": {SELECTOR: {"by": "surprisal", "top": 3, "logprob": "mean" | "sum" | null, "of": OF | null,
                              "fast_1": estimate, "fast_1_raw": estimate,
                              "mean_speedup": estimate, "geomean_speedup": estimate,
                              "by_seed": {"0": {"fast_1": x, "fast_1_raw": x, "mean_speedup": x,
                                                "geomean_speedup": x}},
                              "sd_over_seeds": {the same four: x | null}}},
     "comparisons": [{"selector": SELECTOR, "control": SELECTOR,
                      "verified": RATES, "raw": RATES,
                      "wilcoxon": {"n": 5, "statistic": 10.0, "p": 0.08} | null}]}

    RATES = {"difference": estimate, "cohens_h": x,
             "sign": {"wins": 3, "losses": 0, "ties": 2, "p_one_sided": 0.125, "p_two_sided": 0.25} | null,
             "chance": {"successes": 4, "expected": 2.9, "p_one_sided": x, "p_two_sided": x} | null,
             "power": {"tasks": 5, "at_observed": 0.0, "least_p": 0.0625, "tasks_for_80_percent": 23 | null}}

SELECTOR is ``oracle``, ``random``, ``random-top3``, ``confidence``, ``surprisal-top3``, ``surprisal-code-sum``, ...
OF is ``whole``, ``code`` (the tokens that are code, where known) or ``tempered`` (at the temperature sampled at, where
that was not 1). Random ones are exact expectations. A task with no correct candidate counts as not fast and as 1.0.

``wilcoxon`` is two-sided and paired by task, on the logarithm of the ratio of speed-ups. Against a random control the
test is ``chance``: is the number of successes what random choices among the same candidates give? Seeds of one task
draw the same programs and are taken to succeed together. Against another control it is the sign test over tasks.
``power`` is that test's at 5 %, two-sided, for an effect as observed; ``least_p`` the smallest p-value that so many
tasks can give at all. No p-value is adjusted for there being many: the comparison to be believed is the one that was
named before, surprisal-top3 against random-top3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import log
from statistics import stdev

import numpy

from pytest_kernelbench.analysis.base import (
    CODE,
    READINGS,
    SCORES,
    TEMPERED,
    WHOLE,
    Floats,
    Json,
    SampleGroup,
    UnitSamples,
    by_task,
    for_each_group,
)
from pytest_kernelbench.selection import RANKINGS, Sees, select
from pytest_kernelbench.stats import (
    chance_power,
    chance_test,
    cohens_h,
    first_of_subset_weights,
    least_sign_p,
    sign_test,
    sign_test_power,
    signed_rank,
    tasks_needed,
)
from pytest_kernelbench.strategy import SelectionSettings

TOPS = (1, 3)
NUMBERS = ("fast_1", "fast_1_raw", "mean_speedup", "geomean_speedup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one way to select reaches on each unit, in expectation where it draws at random.

    ``log_speedup_U`` is 0 where there is no correct candidate, for its user stays with the reference.
    """

    settings: SelectionSettings
    of: str
    fast_U: Mapping[str, Floats]
    speedup_U: Floats
    log_speedup_U: Floats


def settings_by_name(*, of: Sequence[str]) -> dict[str, tuple[str, SelectionSettings]]:
    """Every way to select that the rankings give: top 1 and top 3, mean and sum ``of`` what has log-probabilities;
    the fastest under ``oracle``."""
    found = {"oracle": (WHOLE, SelectionSettings())}
    for by, ranking in RANKINGS.items():
        if ranking.sees is Sees.TIMINGS:
            continue
        needs_logprobs = ranking.sees is Sees.LOGPROBS
        for part, score, top in product(
            of if needs_logprobs else (WHOLE,), SCORES if needs_logprobs else SCORES[:1], TOPS
        ):
            words = [by, part != WHOLE and part, score != "mean" and score, top > 1 and f"top{top}"]
            found["-".join(filter(None, words))] = (part, SelectionSettings(by=by, top=top, logprob=score))
    return found


@lru_cache(maxsize=4)
def replays(group: SampleGroup) -> Mapping[str, Replay]:
    """Every selector on every unit of ``group``, on first timings."""
    of = [WHOLE] if group.has_logprobs else []
    of += [part for part in (CODE, TEMPERED) if of and group.has_other_logprobs(part)]
    return {name: _replay(group, part, settings) for name, (part, settings) in settings_by_name(of=of).items()}


def _replay(group: SampleGroup, of: str, settings: SelectionSettings) -> Replay:
    values = [_on_unit(unit, of, settings, group.results.seed) for unit in group.units]
    columns = numpy.array(values, dtype=float).reshape(len(group.units), 4)
    return Replay(
        settings=settings,
        of=of,
        fast_U={"verified": columns[:, 0], "raw": columns[:, 1]},
        speedup_U=columns[:, 2],
        log_speedup_U=columns[:, 3],
    )


def _on_unit(unit: UnitSamples, of: str, settings: SelectionSettings, seed: int) -> tuple[float, float, float, float]:
    """Verified, raw, speed-up and its logarithm of the choice on one unit."""
    if not unit.correct_N.any():
        return 0.0, 0.0, 1.0, 0.0
    if settings.by == "random":
        return _random_on_unit(unit, settings.top)
    index = select(unit.judged(of), settings, seed=seed).index
    places = [place for place, sample in enumerate(unit.results.samples) if sample.index == index]
    if not places:
        return 0.0, 0.0, 1.0, 0.0
    (place,) = places
    speedup = unit.speedup_N[place]
    speedup = 1.0 if numpy.isnan(speedup) else float(speedup)
    return float(unit.fast_N["verified"][place]), float(unit.fast_N["raw"][place]), speedup, log(speedup)


def _random_on_unit(unit: UnitSamples, top: int) -> tuple[float, float, float, float]:
    """Exact expectation over which ``top`` of the correct candidates are drawn, of the fastest of them.

    The fastest is chosen by its point estimate, and is then verified fast or not.
    """
    places = numpy.flatnonzero(unit.correct_N)
    speedups = numpy.nan_to_num(unit.speedup_N[places], nan=1.0)
    fastest_first = numpy.argsort(-speedups, kind="stable")
    c = len(places)
    weights = first_of_subset_weights(c)[:, min(top, c) - 1]
    ranked = places[fastest_first]
    return (
        float(weights @ unit.fast_N["verified"][ranked]),
        float(weights @ unit.fast_N["raw"][ranked]),
        float(weights @ speedups[fastest_first]),
        float(weights @ numpy.log(speedups[fastest_first])),
    )


def of_group(group: SampleGroup) -> Json:
    found = replays(group)
    return {
        "tasks": group.tasks,
        "seeds": group.seeds,
        "selectors": {name: _summary(group, replay) for name, replay in found.items()},
        "comparisons": [
            _comparison(group, name, control, found[name], found[control])
            for name in found
            for control in _controls_of(name, found)
        ],
    }


selection = for_each_group(of_group)


def _summary(group: SampleGroup, replay: Replay) -> Json:
    settings = replay.settings
    needs_logprob = RANKINGS[settings.by].sees is Sees.LOGPROBS
    by_seed: dict[str, dict[str, float]] = {
        str(seed): _numbers(
            group, replay, [place for place, unit in enumerate(group.units) if unit.results.seed == seed]
        )
        for seed in dict.fromkeys(unit.results.seed for unit in group.units)
    }
    if list(by_seed) == ["None"]:
        by_seed = {str(group.results.seed): by_seed["None"]}
    return {
        "by": settings.by,
        "top": settings.top,
        "logprob": settings.logprob if needs_logprob else None,
        "of": replay.of if needs_logprob else None,
        "fast_1": group.rate(replay.fast_U["verified"]),
        "fast_1_raw": group.rate(replay.fast_U["raw"]),
        "mean_speedup": group.estimate(replay.speedup_U),
        "geomean_speedup": group.geomean(replay.log_speedup_U),
        "by_seed": by_seed,
        "sd_over_seeds": {
            number: stdev(each[number] for each in by_seed.values()) if len(by_seed) > 1 else None for number in NUMBERS
        },
    }


def _numbers(group: SampleGroup, replay: Replay, places: list[int]) -> dict[str, float]:
    return {
        "fast_1": float(replay.fast_U["verified"][places].mean()),
        "fast_1_raw": float(replay.fast_U["raw"][places].mean()),
        "mean_speedup": float(replay.speedup_U[places].mean()),
        "geomean_speedup": float(numpy.exp(replay.log_speedup_U[places].mean())),
    }


def _controls_of(name: str, found: Mapping[str, Replay]) -> list[str]:
    """Random selection that looks at as many timings, and for surprisal its opposite."""
    settings = found[name].settings
    if settings.by == "random" or name == "oracle":
        return ["random"] if name == "oracle" else []
    same_top = "random" if settings.top == 1 else f"random-top{settings.top}"
    opposite = name.replace("surprisal", "confidence") if settings.by == "surprisal" else None
    return [control for control in (same_top, opposite) if control is not None and control in found]


def _comparison(group: SampleGroup, name: str, control: str, a: Replay, b: Replay) -> Json:
    tasks_U = [unit.results.task for unit in group.units]
    ranked = signed_rank(by_task(tasks_U, a.log_speedup_U - b.log_speedup_U).tolist())
    return {
        "selector": name,
        "control": control,
        **{
            reading: _rates(group, tasks_U, a.fast_U[reading], b.fast_U[reading], chance=b.settings.by == "random")
            for reading in READINGS
        },
        "wilcoxon": None if ranked is None else ranked._asdict(),
    }


def _rates(group: SampleGroup, tasks_U: list[str], fast_U: Floats, control_U: Floats, *, chance: bool) -> Json:
    rate, control_rate = (float(by_task(tasks_U, each).mean()) for each in (fast_U, control_U))
    return {
        "difference": group.estimate(fast_U - control_U),
        "cohens_h": cohens_h(min(rate, 1.0), min(control_rate, 1.0)),
        **(_against_chance(tasks_U, fast_U, control_U) if chance else _by_sign(by_task(tasks_U, fast_U - control_U))),
    }


def _against_chance(tasks_U: list[str], fast_U: Floats, rate_U: Floats) -> Json:
    test = chance_test(fast_U.tolist(), rate_U.tolist(), tasks_U)._asdict()
    least_p = test.pop("least_p")
    power = chance_power(fast_U.tolist(), rate_U.tolist(), tasks_U)
    return {
        "sign": None,
        "chance": test,
        "power": {
            "tasks": len(set(tasks_U)),
            "at_observed": power.at_observed,
            "least_p": least_p,
            "tasks_for_80_percent": power.tasks_for_80_percent,
        },
    }


def _by_sign(differences_T: Floats) -> Json:
    # Rounding must not turn a tie between two means over seeds into a win.
    test = sign_test(numpy.round(differences_T, 12).tolist())
    tasks = len(differences_T)
    wins, losses = test.wins / tasks, test.losses / tasks
    return {
        "sign": test._asdict(),
        "chance": None,
        "power": {
            "tasks": tasks,
            "at_observed": sign_test_power(tasks, wins, losses),
            "least_p": least_sign_p(tasks),
            "tasks_for_80_percent": tasks_needed(wins, losses),
        },
    }
