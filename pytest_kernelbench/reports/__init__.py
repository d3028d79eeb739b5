"""What a run folder says: read back, summed up, and shown."""

from .run_folder import RunRecords, StrategyOfRun
from .summary import report_json
from .terminal import render

__all__ = ["RunRecords", "StrategyOfRun", "render", "report_json"]
