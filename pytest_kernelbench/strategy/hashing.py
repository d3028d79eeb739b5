"""Hashes of a strategy's settings, which are the keys of a run's rows. Equal settings have equal hashes.

A hash is made of effective values, so it is the same whether a value stands in the file, in its base, in an override or
is a default. A change to what is hashed here means that no earlier run can be resumed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.prompting import extraction, question
from pytest_kernelbench.records import sha256_of

if TYPE_CHECKING:
    from pytest_kernelbench.strategy.strategy import Strategy

# Settings that only say how many steps a lineage has, or which step is chosen: they do not change any weights.
NOT_IN_WEIGHTS = ("steps", "checkpoint", "patience")


def of_strategy(strategy: Strategy) -> str:
    sections = [_drawing(strategy), asdict(strategy.evaluation), asdict(strategy.selection)]
    sections += [asdict(each) for each in (strategy.search, strategy.stopping) if each]
    sections += [strategy.adaptation.to_json()] if strategy.adaptation else []
    return _of_json(sections)


def of_sampling(strategy: Strategy) -> str:
    settings = {key: value for key, value in _drawing(strategy).items() if key != "k"}
    if strategy.version and strategy.version.step > 0:
        settings |= asdict(strategy.version)
    if strategy.search:
        # A prompt shows verdicts, which depend on how candidates are judged.
        settings |= {"search": asdict(strategy.search), "evaluation": asdict(strategy.evaluation)}
    return _of_json(settings)


def of_adaptation(strategy: Strategy) -> str | None:
    if strategy.adaptation is None:
        return None
    settings = {key: value for key, value in strategy.adaptation.to_json().items() if key not in NOT_IN_WEIGHTS}
    return _of_json([_drawing(strategy), asdict(strategy.evaluation), settings])


def of_evaluation(strategy: Strategy) -> str:
    return _of_json(asdict(strategy.evaluation))


def _drawing(strategy: Strategy) -> dict[str, Any]:
    """``[sampling]``, and the versions of the prompts and of the extraction of code from answers."""
    versions = {"prompt_version": question.VERSION, "extraction_version": extraction.VERSION}
    return {**asdict(strategy.sampling), **versions}


def _of_json(value: Any) -> str:
    return sha256_of(json.dumps(value, sort_keys=True, separators=(",", ":")))
