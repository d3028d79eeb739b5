"""What a run folder says: read back, summed up, and shown."""

from pytest_kernelbench.reports.run_folder import RunRecords, StrategyOfRun
from pytest_kernelbench.reports.summary import report_json
from pytest_kernelbench.reports.terminal import render

__all__ = ["RunRecords", "StrategyOfRun", "render", "report_json"]
