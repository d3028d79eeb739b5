"""What is going on, while an item runs: one status that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext

import pytest

FIRST_LINE_S = 10.0
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
        self._next = time.monotonic() + FIRST_LINE_S
        self._shown = False

    def __call__(self, line: str) -> None:
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
                self._reporter.ensure_newline()
                self._reporter.write_line(line)
                self._next = now + LINE_EVERY_S

    def tell(self, line: str) -> None:
        """Print a line that stays: what somebody should know before it has cost anything."""
        if self._silent:
            return
        self.clear()
        with self._uncaptured():
            self._reporter.ensure_newline()
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
