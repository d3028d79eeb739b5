"""Weights for training, from shares wanted when sampling.

Sampling at temperature 0.25 raises each token's probability to the fourth power: a text that is 5 % of the corpus is
drawn 1 time in 10,000. Here the shares hold at the temperature that the strategies sample at, and the corpus is
weighted so that they do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence


def tempered(texts: Sequence[Sequence[int]], shares: Sequence[float], temperature: float) -> list[float]:
    """Probabilities of a language over ``texts`` from which sampling at ``temperature`` draws them by ``shares``.

    ``texts`` are token ids, none of them a beginning of another; equal texts divide their common share.
    Wherever texts part, the token that leads to a share s (of those still possible) gets a probability
    proportional to s ** temperature, because sampling raises it to 1 / temperature.
    """
    weights = [0.0] * len(texts)
    waiting = [(list(range(len(texts))), 0, 1.0)]
    while waiting:
        group, depth, probability = waiting.pop()
        total = sum(shares[index] for index in group)
        if all(texts[index] == texts[group[0]] for index in group):
            for index in group:
                weights[index] = probability * shares[index] / total
            continue
        branches: dict[int, list[int]] = defaultdict(list)
        for index in group:
            branches[texts[index][depth]].append(index)
        parts = [math.fsum(shares[index] for index in branch) / total for branch in branches.values()]
        normal = math.fsum(part**temperature for part in parts)
        for part, branch in zip(parts, branches.values(), strict=True):
            waiting.append((branch, depth + 1, probability * part**temperature / normal))
    return weights
