"""Finished runs read back from their folders, and several of them joined."""

from pytest_kernelbench.report.records.folder import Probed, RunRecords, StrategyOfRun, Unit
from pytest_kernelbench.report.records.merge import check_comparable, merged

__all__ = ["Probed", "RunRecords", "StrategyOfRun", "Unit", "check_comparable", "merged"]
