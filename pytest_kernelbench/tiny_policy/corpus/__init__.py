"""Every template of the tiny policy's corpus, by family.

``measured.json`` holds the pace of those whose run contradicted the label that their family gives them; it is written
by ``python -m pytest_kernelbench.tiny_policy.execute --relabel``.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

from pytest_kernelbench.tiny_policy.corpus.base import Template

FAMILIES = (
    "elementwise",
    "norms",
    "reductions",
    "scans",
    "losses",
    "matmul",
    "convolution",
    "pooling",
)
MEASURED = Path(__file__).parent / "measured.json"


def all_templates() -> list[Template]:
    """The templates of all families, in the order of the table, with measured paces."""
    measured = json.loads(MEASURED.read_text())
    return [replace(item, pace=measured.get(item.id, item.pace)) for item in written_templates()]


def written_templates() -> list[Template]:
    """The templates as their families label them."""
    return [template for family in FAMILIES for template in importlib.import_module(f"{__name__}.{family}").templates()]
