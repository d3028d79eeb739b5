"""Settings of a strategy that do not go together: keys that have no effect, and training that cannot learn.

``READ_ONLY_WITH`` is the table of keys that only some methods, losses, rankings or searches read. A key whose value is
its default is never refused, so a file may spell defaults out, and a base may leave its own behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kernelbench.strategy.adaptation import SDPO, Clipped, Rewards, Sdpo

if TYPE_CHECKING:
    from pytest_kernelbench.strategy.strategy import Strategy

IN_GROUPS = ("grpo", "dr-grpo", "maxk", "entropic")


class Rule(NamedTuple):
    """``keys`` (each with its section) have an effect only in strategies for which ``holds`` returns True.

    ``words``: the error text after the key's name.
    """

    keys: tuple[str, ...]
    holds: Callable[[Any], bool]
    words: str


def _all_of(section: str, cls: type) -> tuple[str, ...]:
    return tuple(f"{section}.{each.name}" for each in fields(cls))


def _equal_rewards_matter(strategy: Strategy) -> bool:
    """Whether a group of equal rewards changes a step of training: by the batch's mean, by the divisor or a penalty."""
    adaptation = strategy.adaptation
    assert adaptation is not None
    counted = adaptation.reduction != "sum" or adaptation.kl > 0 or adaptation.entropy > 0
    return adaptation.method == "batch" or counted


READ_ONLY_WITH: tuple[Rule, ...] = (
    Rule(
        ("evaluation.parameters",),
        lambda each: each.evaluation.protocol != "paper",
        'is not read with protocol = "paper", which moves no parameters',
    ),
    Rule(
        ("selection.logprob", "selection.span"),
        lambda each: each.needs_logprobs,
        'is read with by = "surprisal", "confidence", "cluster" or "forecast" only',
    ),
    Rule(
        ("selection.top",),
        lambda each: each.selection.by != "fastest",
        'is not read with by = "fastest", which looks at every timing',
    ),
    Rule(
        ("search.history",),
        lambda each: each.search.method == "refine",
        'is read with method = "refine" only',
    ),
    Rule(
        ("search.exploration",),
        lambda each: each.search.method == "evolve",
        'is read with method = "evolve" only',
    ),
    Rule(
        ("stopping.every",),
        lambda each: each.search is None,
        "is the width of [search] where there is one",
    ),
    Rule(
        ("stopping.scale",),
        lambda each: each.stopping.gain == "speedup",
        'is read with gain = "speedup" only',
    ),
    Rule(
        _all_of("adaptation.sdpo", Sdpo),
        lambda each: each.adaptation.method == SDPO,
        'is read with method = "sdpo" only',
    ),
    Rule(
        ("adaptation.reward", *_all_of("adaptation.rewards", Rewards)),
        lambda each: each.adaptation.method != SDPO,
        'is about rewards, and method = "sdpo" learns from none',
    ),
    Rule(
        ("adaptation.maxk.k",),
        lambda each: each.adaptation.method == "maxk",
        'is read with method = "maxk" only',
    ),
    Rule(
        ("adaptation.rewards.threshold",),
        lambda each: each.adaptation.reward == "fast",
        'is read with reward = "fast" only',
    ),
    Rule(
        ("adaptation.rewards.drop_equal",),
        _equal_rewards_matter,
        'does nothing with reduction = "sum": rewards that are all equal give no advantage',
    ),
    Rule(
        ("adaptation.sdpo.teacher_rate",),
        lambda each: each.adaptation.sdpo.teacher == "average",
        'is read with teacher = "average" only',
    ),
    Rule(
        ("adaptation.sdpo.top_k", "adaptation.sdpo.teacher_share"),
        lambda each: each.adaptation.sdpo.distil == "distribution",
        'is read with distil = "distribution" only',
    ),
    Rule(
        ("adaptation.sdpo.feedback_beside_solution",),
        lambda each: each.adaptation.sdpo.feedback and each.adaptation.sdpo.demonstrations,
        "is read with both feedback and demonstrations only",
    ),
    Rule(
        ("adaptation.loss",),
        lambda each: each.adaptation.method != SDPO or each.adaptation.sdpo.distil != "distribution",
        'is not read with distil = "distribution", which has a loss of its own',
    ),
    Rule(
        _all_of("adaptation.clipped", Clipped),
        lambda each: each.adaptation.loss == "clipped",
        'is read with loss = "clipped" only',
    ),
    Rule(
        ("adaptation.train_on", "adaptation.tasks_per_step"),
        lambda each: each.adaptation.scope == "batch",
        'is read with scope = "batch" only: with "task" each task learns from itself alone',
    ),
)


def refusal(strategy: Strategy, *, overridden: bool = False) -> str | None:
    """One line with the remedy where settings do not go together, or None.

    ``overridden``: the command line has set values for all strategies of a run. A strategy is then not refused for a
    key of ``[selection]`` that its ranking ignores: see ``ignored_by_all``.
    """
    skipped = ("selection",) if overridden else ()
    return (
        _sections_that_exclude_each_other(strategy)
        or nothing_reads(strategy, skipped=skipped)
        or (nothing_to_learn(strategy) if strategy.adaptation else None)
    )


def nothing_reads(strategy: Strategy, *, skipped: tuple[str, ...] = ()) -> str | None:
    """``[adaptation.maxk] k is read with method = "maxk" only; leave it out``, or None where every key is read.

    Keys of the sections ``skipped`` are not looked at.
    """
    ignored = (line for key, line in _ignored(strategy) if key.partition(".")[0] not in skipped)
    return next(ignored, None)


def ignored_by_all(strategies: Sequence[Strategy], key: str) -> str | None:
    """A line as of ``nothing_reads`` where every strategy has a value of ``key`` that it ignores, else None.

    ``key``: with its section, as in ``selection.logprob``.
    """
    lines = [dict(_ignored(strategy)).get(key) for strategy in strategies]
    return lines[0] if lines and None not in lines else None


def _ignored(strategy: Strategy) -> Iterator[tuple[str, str]]:
    """Each key, with its section, that is not read and has another value than its default, with an error line."""
    for rule in READ_ONLY_WITH:
        section = getattr(strategy, rule.keys[0].partition(".")[0])
        if section is None or rule.holds(strategy):
            continue
        default = type(section)()
        for key in rule.keys:
            value_of = attrgetter(key.partition(".")[2])
            if value_of(section) != value_of(default):
                inner, _, last = key.rpartition(".")
                yield key, f"[{inner}] {last} {rule.words}; leave it out"


def nothing_to_learn(strategy: Strategy) -> str | None:
    """Why no training step could change the weights, and the remedy; None if a step can."""
    settings, sampling = strategy.adaptation, strategy.sampling
    assert settings is not None
    if sampling.temperature == 0:
        return "[adaptation] learns from samples that differ; set sampling.temperature above 0"
    compares_groups = settings.method in IN_GROUPS or (settings.method == "batch" and settings.scope == "task")
    if sampling.k == 1 and compares_groups:
        return f'[adaptation] method = "{settings.method}" compares the rollouts of a task; set sampling.k to 2 or more'
    sdpo = settings.sdpo
    if settings.method == SDPO and sdpo.mask and not sdpo.feedback and not sdpo.demonstrations:
        return "[adaptation.sdpo] mask leaves out every rollout without advice, and there is none; set feedback = true"
    return None


def _sections_that_exclude_each_other(strategy: Strategy) -> str | None:
    search, k = strategy.search, strategy.sampling.k
    if strategy.adaptation and search:
        return "[search] and [adaptation] both say what is drawn next; leave one of them out"
    if strategy.adaptation and strategy.stopping:
        return (
            "[stopping] and [adaptation] both say how much is drawn; leave one of them out, "
            "or set adaptation.ending.patience"
        )
    if strategy.adaptation and strategy.asks_for_a_forecast:
        return '[selection] by = "forecast" asks the policy as it was loaded; leave [adaptation] out'
    if search and k % search.width:
        return f"[search] width = {search.width} does not divide sampling.k = {k}; set sampling.k to a multiple of it"
    return None
