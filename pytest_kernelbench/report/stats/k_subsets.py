"""Success of a strategy with K of its n candidates: exact means over all K-subsets.

Throughout, ``n`` candidates were drawn, ``c`` of them are correct and ``f`` of these are fast. Counting the
subsets replaces drawing them, so these figures have no Monte Carlo error. Every function raises ValueError
unless ``1 <= K <= n``. The pass@k form is from Chen et al., arXiv 2107.03374.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def any_success(n: int, f: int, k: int) -> float:
    """Probability that at least one of ``k`` is among the ``f`` good: pass@K, or fast_1 of any of K."""
    _check(n, k)
    return 1 - comb(n - f, k) / comb(n, k)


def expected_max(scores: Sequence[float], k: int) -> float:
    """Mean of the largest of ``k`` scores, such as speed-ups with an incorrect candidate as 0."""
    n = len(scores)
    _check(n, k)
    return sum(score * comb(i, k - 1) for i, score in enumerate(sorted(scores))) / comb(n, k)


def argmax_mean(values_ranked: Sequence[float], n: int, k: int) -> float:
    """Mean value of the first-ranked correct candidate of ``k``; 0 for a subset without a correct one.

    ``values_ranked`` holds one value for each of the ``c`` correct candidates, the first choice first.
    """
    _check(n, k)
    return sum(value * comb(n - j, k - 1) for j, value in enumerate(values_ranked, 1)) / comb(n, k)


def random_correct_success(n: int, c: int, f: int, k: int) -> float:
    """Probability that a correct candidate taken at random from ``k`` is fast."""
    return any_success(n, c, k) * f / c if c else 0.0


def random_top_m_success(n: int, c: int, f: int, k: int, m: int) -> float:
    """Probability that one of ``m`` correct candidates taken at random from ``k`` is fast (of all, if fewer)."""
    _check(n, k)
    if m < 1:
        raise ValueError(f"m must be at least 1, not {m}")
    of_h = (
        comb(c, h) * comb(n - c, k - h) * (1 - comb(c - f, min(h, m)) / comb(c, min(h, m)))
        for h in range(min(c, k) + 1)
    )
    return sum(of_h) / comb(n, k)


def top_m_success(fast_ranked: Sequence[bool], n: int, k: int, m: int) -> float:
    """Probability that one of the first ``m`` correct candidates of ``k``, in ranking order, is fast.

    ``fast_ranked`` says for each of the ``c`` correct candidates, the first choice first, whether it is fast.
    """
    _check(n, k)
    if m < 1:
        raise ValueError(f"m must be at least 1, not {m}")
    c = len(fast_ranked)
    slow_ranks = [rank for rank, fast in enumerate(fast_ranked, 1) if not fast]
    w = len(slow_ranks)
    # A failure has fewer than m correct, all slow; or its m-th correct is slow, as are the m - 1 before it.
    too_few = sum(comb(w, r) * comb(n - c, k - r) for r in range(min(m, k + 1)))
    all_slow = sum(comb(t, m - 1) * comb(n - rank, k - m) for t, rank in enumerate(slow_ranks) if k >= m and t >= m - 1)
    return 1 - (too_few + all_slow) / comb(n, k)


def coin_flip_success(k: int) -> float:
    """What "any of K is faster" gives for a kernel identical to the reference under symmetric noise."""
    return 1 - 0.5**k


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"K must be from 1 to the {n} candidates drawn, not {k}")
