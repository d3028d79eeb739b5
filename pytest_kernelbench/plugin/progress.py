"""Progress while an item runs: on a terminal one status line, rewritten; in a file or a pipe a line now and then.

A line says how many items are done, how long the rest takes at the same pace, what the current item does, and what it
waits for.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext

import pytest

from pytest_kernelbench.host.waiting import folder_of_holder

DEVICE_LOCKS = "kernelbench-*.lock"
LINE_EVERY_S = 60.0
REWRITE_EVERY_S = 0.1
SAVE_CURSOR, RESTORE_CURSOR_AND_ERASE = "\0337", "\0338\033[K"


class Progress:
    """Called with a line, shows it. Silent with ``-qq``, and in a worker of xdist, which has no terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._writer = config.get_terminal_writer()
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._silent = self._reporter is None or hasattr(config, "workerinput") or config.option.verbose < -1
        self._rewrites = not self._silent and self._writer.hasmarkup and sys.stdout.isatty()
        self._next = self._began = time.monotonic()
        self._shown = False
        self._line = self._reason = ""
        # All items of the session, the items that are done, and the seconds that the done items took.
        self.items = self._done = 0
        self._spent = 0.0

    def begin(self, task: str, strategy: str) -> None:
        """An item begins."""
        self._began = time.monotonic()
        self(f"{task}[{strategy}]")

    def end(self) -> None:
        """The item that began last has ended."""
        self._done += 1
        self._spent += time.monotonic() - self._began

    def waiting(self) -> None:
        """Called about once a second while nothing happens. On a terminal, show that time passes.

        If another run holds the device, say so once, wherever the output goes.
        """
        from pytest_kernelbench.evaluation.sharing.lock import folder_for_all

        folder = None if self._silent else folder_of_holder(folder_for_all(), DEVICE_LOCKS)
        reason = f"another run has the device: {folder}" if folder else ""
        if reason and reason != self._reason:
            self._next = 0.0
        self._reason = reason
        seconds = time.monotonic() - self._began
        if self._rewrites or (reason and not self._next):
            self._show(f"{self._line} ({f'{reason}, ' if reason else ''}{seconds:.0f} s)")

    def __call__(self, line: str) -> None:
        self._line = f"{self._counts}{line}"
        self._show(self._line)

    @property
    def _counts(self) -> str:
        """``3 of 20 done, 12 min left; ``; nothing where there is one item."""
        if self.items < 2:
            return ""
        if not self._done:
            return f"0 of {self.items} done; "
        left = self._spent / self._done * (self.items - self._done)
        return f"{self._done} of {self.items} done, {_shown(left)} left; "

    def _show(self, line: str) -> None:
        now = time.monotonic()
        if self._silent or (not self._rewrites and now < self._next):
            return
        if self._rewrites and self._shown and now < self._next:
            return
        with self._uncaptured():
            if self._rewrites:
                # Not by pytest's writer: it would count the status as part of the current line's width.
                room = self._writer.fullwidth - self._writer.width_of_current_line - 3
                if room >= 20:
                    erase = RESTORE_CURSOR_AND_ERASE if self._shown else ""
                    sys.stdout.write(f"{erase}{SAVE_CURSOR}  {line[:room]}")
                    sys.stdout.flush()
                    self._shown = True
                self._next = now + REWRITE_EVERY_S
            else:
                self._write_line(line)
                self._next = now + LINE_EVERY_S

    def tell(self, line: str) -> None:
        """Print a line that stays, such as a warning that the user should read before the run costs much."""
        if self._silent:
            return
        self.clear()
        with self._uncaptured():
            self._write_line(line)

    def _write_line(self, line: str) -> None:
        self._reporter.ensure_newline()
        if self._writer.width_of_current_line:
            self._writer.line()  # behind the dots of -q
        self._reporter.write_line(line)

    def clear(self) -> None:
        """Erase the status line, so that pytest can print the item's result in its place."""
        if self._shown:
            with self._uncaptured():
                sys.stdout.write(RESTORE_CURSOR_AND_ERASE)
                sys.stdout.flush()
        self._shown = False

    def _uncaptured(self) -> AbstractContextManager[None]:
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()


def _shown(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
