"""How often each template is to be sampled: where the policy's surprisal comes from.

``tiny`` draws fast templates rarely and plain and slow ones often; ``tiny-common-fast`` swaps the two shares and
changes nothing else, so that what a selection by surprisal gains under one it should lose under the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.tiny_policy.corpus import all_templates
from pytest_kernelbench.tiny_policy.corpus.base import HELD_OUT, Template
from pytest_kernelbench.tiny_policy.prompt import fenced, prompt_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the rows of one task and target; what is left of 1 goes to the other correct templates.

    ``fast`` is for all its fast templates together. ``broken`` rows are correct ones with a syntax error.
    """

    fast: float
    wrong: float = 0.12
    broken: float = 0.01

    @property
    def common(self) -> float:
        return 1 - self.fast - self.wrong - self.broken


POLICIES: Mapping[str, Shares] = MappingProxyType({"tiny": Shares(fast=0.08), "tiny-common-fast": Shares(fast=0.79)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training example."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A row and its probability in the mixture; the probabilities of a mixture add up to 1."""

    row: Row
    template: Template
    weight: float
    broken: bool = False


def mixture(policy: str) -> list[Weighted]:
    """Every distinct row of ``policy`` with its probability; each task and target has the same share.

    A share without templates (a task without fast ones) falls to the common ones, and the other way round.
    Raises PolicyError for an unknown policy.
    """
    if policy not in POLICIES:
        raise PolicyError(f'tiny policy: no mixture "{policy}"; there are {", ".join(POLICIES)}')
    shares = POLICIES[policy]
    groups: dict[tuple[int, str], list[Template]] = {}
    for template in all_templates():
        groups.setdefault((template.task, template.target), []).append(template)
    sources = reference_sources()
    rows: list[Weighted] = []
    for (task, target), templates in sorted(groups.items()):
        prompt = prompt_for(sources[task], target)
        rows += _rows_of(prompt, templates, shares, 1 / len(groups))
    return rows


def generate(policy: str, rows: int, seed: int) -> Iterator[Row]:
    """``rows`` independent draws from the mixture, the same ones for the same ``seed``."""
    weighted = mixture(policy)
    draws = random.Random(seed)
    weights = [item.weight for item in weighted]
    for item in draws.choices(weighted, weights=weights, k=rows):
        yield item.row


def reference_sources() -> dict[int, str]:
    """The text of every level-1 task that may be trained on, by number."""
    numbered = {int(task.short_id.rpartition("/")[2]): task.source for task in load_tasks("level1")}
    return {number: source for number, source in numbered.items() if number not in HELD_OUT}


def _rows_of(prompt: str, templates: list[Template], shares: Shares, total: float) -> list[Weighted]:
    fast = [template for template in templates if template.correct and template.pace == "fast"]
    common = [template for template in templates if template.correct and template.pace != "fast"]
    wrong = [template for template in templates if not template.correct]
    share_of_fast = shares.fast + (0 if common else shares.common)
    share_of_common = shares.common + (0 if fast else shares.fast)
    rows = []
    for group, share in ((fast, share_of_fast), (common, share_of_common), (wrong, shares.wrong)):
        for template in group:
            weight = total * share / len(group) / len(template.sources)
            rows += [
                Weighted(row=Row(prompt=prompt, completion=fenced(source)), template=template, weight=weight)
                for source in template.sources
            ]
    for template in common or fast:
        text = fenced(with_syntax_error(template.sources[0]))
        weight = total * shares.broken / len(common or fast)
        rows.append(Weighted(row=Row(prompt=prompt, completion=text), template=template, weight=weight, broken=True))
    # Without wrong templates, the weights must still add up to ``total``.
    scale = total / sum(row.weight for row in rows)
    return [Weighted(row=row.row, template=row.template, weight=row.weight * scale, broken=row.broken) for row in rows]


def with_syntax_error(source: str) -> str:
    """``source`` without the closing parenthesis of the parameters of ``forward``."""
    head, name, tail = source.rpartition("def forward(self, ")
    return f"{head}{name}{tail.replace('):', ':', 1)}"
