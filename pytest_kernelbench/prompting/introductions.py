"""Sentences above a block of code that say it is only shown for comparison, or that it is the answer."""

from __future__ import annotations

import re

from pytest_kernelbench.prompting.blocks import Block


def _any(words: str, others: str) -> re.Pattern[str]:
    """``words`` are whole words of a language that puts spaces between them; ``others`` may be parts of words."""
    return re.compile(rf"\b(?:{words})\b|{others}", re.IGNORECASE)


COMPARED = _any(
    r"for (?:comparison|reference)|na[iï]ve|original|baseline|unoptimi[sz]ed|slow|slower|wrong|incorrect|"
    r"do(?: not|n't) (?:use|do)|alternative(?:ly)?|fallback|zum vergleich|ursprünglich\w*|"
    r"(?:à titre de|pour) comparaison|para comparar|comparación|per confronto|для сравнения|исходн\w+|наивн\w+",
    r"对比|對比|比较|原始|参考实现|朴素|比較|元の|参考実装|비교|원본",
)
# Words that revoke the words above: "faster than the original".
MEANT = _any(
    r"optimi[sz]ed|improve[sd]?|faster|fixe[sd]|corrected|final|than|instead of|replac\w+|rather|"
    r"schneller|optimiert\w*|plus rapide|optimisée?|más rápid[ao]|optimizad[ao]|быстрее|оптимизированн\w+",
    r"优化|更快|改进|最終|最终|最適化|高速|최적화",
)
PREFERRED = _any(
    r"recommended|corrected|fixed|revised|updated|final|empfohlen|recommandée?|recomendad[ao]|рекоменду\w+",
    r"推荐|推薦|最终|最終|추천",
)


def is_for_comparison(block: Block) -> bool:
    said = _said_of(block)
    return COMPARED.search(said) is not None and MEANT.search(said) is None


def is_preferred(block: Block) -> bool:
    return PREFERRED.search(_said_of(block)) is not None


def _said_of(block: Block) -> str:
    first = block.code.lstrip().partition("\n")[0]
    return f"{block.intro} {first if first.startswith('#') else ''}"
