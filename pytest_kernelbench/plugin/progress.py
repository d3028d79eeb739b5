"""Signs of life while an item runs: one status that is rewritten on a terminal, a line now and then elsewhere.

A line says how many items are done, how long the others take if they take as long, what goes on, and what it waits for.
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
    """Call it with a line. ``-qq`` silences it, and so does being an xdist worker, which has no terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._writer = config.get_terminal_writer()
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._silent = self._reporter is None or hasattr(config, "workerinput") or config.option.verbose < -1
        self._rewrites = not self._silent and self._writer.hasmarkup and sys.stdout.isatty()
        self._next = self._began = time.monotonic()
        self._shown = False
        self._line = self._reason = ""
        # Items of the session, those that are done, and the seconds that these took.
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
        """Nothing has happened for about a second: say so on a terminal, and once anywhere that another run is why."""
        from pytest_kernelbench.evaluation.lock import folder_for_all

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
                # Past pytest's writer, which would count the status into the width of the current line.
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
        """Print a line that stays: what somebody should know before it has cost anything."""
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
        """Take the status away, before the item's own word is printed where it stands."""
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
