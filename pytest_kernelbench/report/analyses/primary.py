"""The one comparison that was named before anything was seen, with what it can show; all others are secondary.

``analyses["primary"]`` is null where a run names none, else::

    {"selector": SELECTOR, "control": SELECTOR, "outcome": "success" | "log_speedup", "by": "--kernelbench-primary",
     "tasks": 20, "left_out": 0, "values": [x, x], "effect": estimate, "test": TEST,
     "detectable": POWER | null, "power": [POWER, ...]}
    | {"selector": ..., "control": ..., "outcome": ..., "by": ..., "refusal": text}

    POWER = {"share": x, "effect": x, "power": x, "error": x}

``effect`` is a difference of rates, or for ``log_speedup`` a ratio of speed-ups; ``values`` the two sides. TEST as in
``analyses["selection"]``. ``power`` is that of the test on these very tasks and programs, were the score right in a
``share`` of the tasks; with the ``share`` 0 it is how often a useless score is rejected. ``detectable`` is the least
effect that is found in 80 % of studies, null where none is. Neither depends on what was observed. Against the opposite
ranking there is no power: what a score that is partly right does to both is not defined.
"""

from __future__ import annotations

import numpy

from pytest_kernelbench.report.analyses.base import Json, SampleGroup, Study
from pytest_kernelbench.report.analyses.estimates import exponential
from pytest_kernelbench.report.analyses.replay import null_of, replays, task_programs
from pytest_kernelbench.report.analyses.selection import randomised
from pytest_kernelbench.report.stats import detectable, power_at
from pytest_kernelbench.strategy.primary import Primary, parse_primary

SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)


def primary(study: Study) -> Json | None:
    text = study.records.options.get("primary")
    if not text:
        return None
    named = parse_primary(text, "run.json: primary")
    head = {
        "selector": named.selector,
        "control": named.control,
        "outcome": named.outcome,
        "by": study.records.options.get("primary_by"),
    }
    groups = [group for group in study.groups if group.n and {named.selector, named.control} <= replays(group).keys()]
    if not groups:
        return {**head, "refusal": f"no candidates that {named.selector} can rank: log-probabilities are needed"}
    # Of several sets of candidates the largest, which is known before anything of them is seen.
    largest = max(groups, key=lambda group: group.counts["drawn"])
    found = _of_group(largest, named)
    if found is None and not any(numpy.isfinite(replays(largest)[named.selector].speedup_U)):
        return {**head, "refusal": "no task whose correct programs all have a speed-up and a log-probability"}
    if found is None:
        return {**head, "refusal": "nothing is verified: the protocol gives no intervals"}
    return {**head, **found}


def _of_group(group: SampleGroup, named: Primary) -> Json | None:
    outcome = "verified" if named.outcome == "success" else named.outcome
    test = randomised(group, named.selector, named.control, outcome)
    if test is None:
        return None
    sides = [replays(group)[name].outcome_U(outcome) for name in (named.selector, named.control)]
    estimates = [group.rate(each) if named.outcome == "success" else group.geomean(each) for each in sides]
    ratios = sides[0] - sides[1]
    effect = group.difference(ratios) if named.outcome == "success" else exponential(group.estimate(ratios))
    known = len({task for task, value in zip(group.tasks_U, ratios, strict=True) if not numpy.isnan(value)})
    return {
        "tasks": known,
        "left_out": group.tasks - known,
        "values": [None if each is None else each["value"] for each in estimates],
        "effect": effect,
        "test": test._asdict(),
        **_power(group, named, outcome),
    }


def _power(group: SampleGroup, named: Primary, outcome: str) -> Json:
    if not named.control.startswith("random"):
        return {"detectable": None, "power": []}
    settings, of = replays(group)[named.selector].settings, replays(group)[named.selector].of
    tasks = task_programs(group, of, settings.logprob, outcome)
    null = null_of(group, of, settings.logprob, outcome, named.top, against_last=False)
    seed = group.results.seed
    least = detectable(tasks, named.top, seed=seed, null=null)
    return {
        "detectable": None if least is None else least._asdict(),
        "power": [power_at(tasks, named.top, share, seed=seed, null=null)._asdict() for share in SHARES],
    }
