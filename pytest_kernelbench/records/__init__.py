"""The records of a run, in the order in which they are made. Standard library only.

    Task -> Completion -> Candidate -> Evaluation -> Selection

``None`` always means "not measured" or "not known".
"""

from pytest_kernelbench.records.against import AgainstBaseline
from pytest_kernelbench.records.chosen import AdaptationStep, Forecast, Selection
from pytest_kernelbench.records.drawn import Candidate, Completion, Task
from pytest_kernelbench.records.judged import Evaluation, Judged, Outcome
from pytest_kernelbench.records.rows import fields_of, json_text, refuse_another_type, sha256_of

__all__ = [
    "AdaptationStep",
    "AgainstBaseline",
    "Candidate",
    "Completion",
    "Evaluation",
    "Forecast",
    "Judged",
    "Outcome",
    "Selection",
    "Task",
    "fields_of",
    "json_text",
    "refuse_another_type",
    "sha256_of",
]
