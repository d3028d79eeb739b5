"""Variance of log speed-ups: between tasks, between the programs of a task, between seeds of one program.

One entry of ``analyses["variance"]`` for each set of candidates with a timed program::

    {"strategies": [name, ...], "of": COUNTS, "programs": 424, "tasks": 20,
     "sd": {"task": x | null, "program": x | null, "seed": x | null},
     "sd_of_mean": {"1": x | null, "2": x | null, "4": x | null}}

A hierarchical model, value = mean + task + program + seed, of each distinct correct program's log speed-up, each seed
of it once (its timing in that seed); ``sd`` in its three terms, null where there is nothing to tell one from the next.
``sd_of_mean``: of the mean over these many tasks of one program each, by how many times as many tasks, which is what a
study of so many tasks is uncertain by before anything is chosen: seeds narrow only their own term.
"""

from __future__ import annotations

from math import log, sqrt

from pytest_kernelbench.report.analyses.base import Json, SampleGroup, for_each_group
from pytest_kernelbench.report.stats import components

TIMES = (1, 2, 4)


def of_group(group: SampleGroup) -> Json | None:
    values: dict[str, dict[str, list[float]]] = {}
    for unit in group.units:
        programs = unit.programs
        for source, speedup in zip(programs.source_C, programs.speedup_C.tolist(), strict=True):
            if source is not None and speedup == speedup:  # not NaN
                values.setdefault(unit.results.task, {}).setdefault(source, []).append(log(speedup))
    if not values:
        return None
    found = components(values)
    variances = [each for each in found if each is not None]
    return {
        "programs": sum(map(len, values.values())),
        "tasks": len(values),
        "sd": {name: None if each is None else sqrt(each) for name, each in found._asdict().items()},
        "sd_of_mean": {
            str(times): None if found.task is None else sqrt(sum(variances) / (times * len(values))) for times in TIMES
        },
    }


variance = for_each_group(of_group)
