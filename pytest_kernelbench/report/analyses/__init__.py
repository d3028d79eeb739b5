"""Analyses of finished runs: pure functions of the records, without torch, each giving JSON values.

``report.json`` holds each under its name in ``analyses``; what a value looks like is said at the top of its module.
To add one: write ``report/analyses/<name>.py`` with a function of a ``Study``, and add its line to ``ANALYSES``.
"""

from __future__ import annotations

from typing import Any

from pytest_kernelbench.report.analyses.adaptation import adaptation
from pytest_kernelbench.report.analyses.adaptive_k import adaptive_k
from pytest_kernelbench.report.analyses.base import Analysis, Study
from pytest_kernelbench.report.analyses.budget import budget
from pytest_kernelbench.report.analyses.calibration import calibration
from pytest_kernelbench.report.analyses.correlation import correlation
from pytest_kernelbench.report.analyses.cost import cost
from pytest_kernelbench.report.analyses.diversity import diversity
from pytest_kernelbench.report.analyses.floor import floor
from pytest_kernelbench.report.analyses.margins import margins
from pytest_kernelbench.report.analyses.prefilter import prefilter
from pytest_kernelbench.report.analyses.primary import primary
from pytest_kernelbench.report.analyses.quartiles import quartiles
from pytest_kernelbench.report.analyses.regimes import regimes
from pytest_kernelbench.report.analyses.scaling import scaling
from pytest_kernelbench.report.analyses.selection import selection
from pytest_kernelbench.report.analyses.transfer import transfer
from pytest_kernelbench.report.analyses.variance import variance

ANALYSES: dict[str, Analysis] = {
    "primary": primary,
    "scaling": scaling,
    "selection": selection,
    "quartiles": quartiles,
    "calibration": calibration,
    "correlation": correlation,
    "regimes": regimes,
    "prefilter": prefilter,
    "adaptive_k": adaptive_k,
    "margins": margins,
    "variance": variance,
    "diversity": diversity,
    "floor": floor,
    "adaptation": adaptation,
    "transfer": transfer,
    "cost": cost,
    "budget": budget,
}

__all__ = ["ANALYSES", "Analysis", "Study", "analyses"]


def analyses(study: Study) -> dict[str, Any]:
    """Every analysis, by name; ``null`` or an empty list where it has nothing to say."""
    return {name: analyse(study) for name, analyse in ANALYSES.items()}
