"""``python -m pytest_kernelbench COMMAND``: commands on finished runs, most of them without a GPU or torch."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_kernelbench import __version__
from pytest_kernelbench.commands import check, probe, replay
from pytest_kernelbench.commands import tasks as task_check
from pytest_kernelbench.commands.words import in_own_words
from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.extensions import Extensions, entry_points
from pytest_kernelbench.pinned import pins
from pytest_kernelbench.report.render import compare, export, plan
from pytest_kernelbench.serving import deployment

# As pytest ends for an error in how it is called, and for one of its own; pytest itself is not imported for it.
USAGE_ERROR, HARNESS_ERROR = 4, 3
# As a shell shows a program that was ended by SIGINT or SIGPIPE.
INTERRUPTED, PIPE_CLOSED = 130, 141


class Command(NamedTuple):
    """``add_arguments`` describes them to the parser; ``run`` gets their values and raises UsageError.

    ``other_names``: what the command has in place of an option of pytest, where it is no option of the same name.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    other_names: Mapping[str, str] = {}


def report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders: shards, seeds, or both")
    parser.add_argument("--mix", action="store_true", help="merge runs of different devices, protocols or sizes")
    parser.add_argument("--preregistered", type=Path, metavar="FILE", help="a preregistration to compare the run with")


def report(options: argparse.Namespace) -> None:
    """Print the report of a run, or of several merged, and write it into the (first) folder."""
    from pytest_kernelbench.report.records import RunRecords, merged
    from pytest_kernelbench.report.render import NOT_WRITTEN, REPORTS, render, report_json, write_reports
    from pytest_kernelbench.report.render.preregistration import preregistration_json

    records = merged({str(folder): RunRecords.load(folder) for folder in options.folders}, mix=options.mix)
    content = report_json(records)
    if options.preregistered:
        content["preregistration"] = preregistration_json(options.preregistered, records)
    folder = options.folders[0]
    left_out = write_reports(records, content, folder)
    for line in [*render(content, width=shutil.get_terminal_size().columns), "", *left_out]:
        print(line)
    if failed := [line for line in left_out if NOT_WRITTEN in line]:
        raise UsageError(failed[0])
    print(f"wrote {', '.join(REPORTS)} in {folder}")


COMMANDS = {
    "check": Command("check whether this machine has what a run needs", check.add_arguments, check.run),
    "tasks": Command(
        "list tasks, or check their references", task_check.add_arguments, task_check.run, task_check.OTHER_NAMES
    ),
    "report": Command("print the report of a run, or of several merged, and write its files", report_arguments, report),
    "plan": Command("print the power of a planned study", plan.add_arguments, plan.run),
    "compare": Command("compare two runs of the same tasks", compare.add_arguments, compare.run),
    "export": Command("write the records as CSV or Parquet", export.add_arguments, export.run),
    "probe": Command(
        "score a run's first rollouts, or a search's samples, under every checkpoint",
        probe.add_arguments,
        probe.run,
        probe.OTHER_NAMES,
    ),
    "replay": Command("judge a candidate of a run again, and show where it is wrong", replay.add_arguments, replay.run),
    "serve": Command("judge over HTTP, on a Ray cluster", deployment.add_arguments, deployment.run),
    "pin": Command(
        "keep the kernels that a run chose, for --strategy=pinned", pins.add_arguments, pins.run, {"--tasks": ""}
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 4, as pytest has it for usage errors: a folder cannot be read, runs do not belong together;
    3 where the harness or the machine failed.

    argparse ends with 2 where it cannot read the command line itself.
    """
    parser = argparse.ArgumentParser(prog="python -m pytest_kernelbench")
    parser.add_argument("--version", action="version", version=f"pytest-kernelbench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help, description=_first_sentence(command.run)))
    options = parser.parse_args(arguments)
    command = COMMANDS[options.command]
    # A model of some MB needs no progress bar. Read where transformers is imported.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        Extensions().add(entry_points())
        command.run(options)
        sys.stdout.flush()
    except (UsageError, HarnessError) as error:
        said = in_own_words(str(error), command.add_arguments, command.other_names)
        print(f"error: {said}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, UsageError) else HARNESS_ERROR
    except BrokenPipeError:
        # Its reader has what it wanted, as ``head`` does. Python would fail once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.filename is None:
            raise
        # Of a path on the command line, or one that was made from it.
        print(
            f"error: {error.filename}: cannot be read or written ({error.strerror}); name another path", file=sys.stderr
        )
        return USAGE_ERROR
    return 0


def _first_sentence(run: Callable[[argparse.Namespace], None]) -> str:
    """What a command does, from its docstring. The rest of that is for callers in Python."""
    return " ".join((run.__doc__ or "").split()).partition(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    sys.exit(main())
