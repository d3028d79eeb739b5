"""``python -m pytest_kernelbench report DIR [DIR ...]``: finished runs reported, without a GPU or torch."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.reports import RunRecords, render, report_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 where a folder cannot be reported on."""
    parser = argparse.ArgumentParser(prog="python -m pytest_kernelbench")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser(
        "report",
        help="print the report of a run and write its report.json",
        description="Print the report of a run and write report.json into its folder; of several folders, "
        "merged by task, into the first.",
    )
    report.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run folder")
    folders = parser.parse_args(arguments).folders
    try:
        print_report(folders)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def print_report(folders: Sequence[Path]) -> None:
    runs = {str(folder): RunRecords.load(folder) for folder in folders}
    records = RunRecords.merge(runs)
    written = folders[0] / "report.json"
    written.write_text(json.dumps(report_json(records), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for line in render(records, width=shutil.get_terminal_size().columns):
        print(line)
    print(f"\nwrote {written}")


if __name__ == "__main__":
    sys.exit(main())
