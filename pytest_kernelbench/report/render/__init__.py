"""Reports of runs: summaries, tables, figures and pages, printed and written into the run folder.

To add a file: write ``report/render/<name>.py`` with a ``write(records, content, folder)``, ``content`` being that of
``report.json``, which returns lines for people about what it had to leave out; and add its line to ``REPORTS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.report.render import html, summary, tables
from pytest_kernelbench.report.render.files import NOT_WRITTEN
from pytest_kernelbench.report.render.summary import report_json
from pytest_kernelbench.report.render.terminal import render

Writer = Callable[[RunRecords, Mapping[str, Any], Path], list[str]]

REPORTS: dict[str, Writer] = {
    "report.json": summary.write,
    "report.html": html.write,
    "tables": tables.write,
}


def write_reports(records: RunRecords, content: Mapping[str, Any], folder: Path) -> list[str]:
    """Write every report into ``folder``; returns a line for each part that was left out.

    If a file cannot be written (a full disk), the others still are: the measurements are in the records.
    """
    lines = []
    for name, write in REPORTS.items():
        try:
            lines += write(records, content, folder)
        except OSError as error:
            lines.append(f"{error.filename or folder / name}: {NOT_WRITTEN} ({error.strerror})")
    return lines


__all__ = ["NOT_WRITTEN", "REPORTS", "RunRecords", "StrategyOfRun", "render", "report_json", "write_reports"]
